"""The configuration that is in force in each kind of mode. Nothing slow is imported for it."""

# ruff: noqa: PLC0415 - modes need what is imported here only once their flags are right

import argparse
from typing import TYPE_CHECKING

from class_jax.errors import UserError, end_by_ctrl_c

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from class_jax.runs.workdir import Workdir

RUNS = "runs/"  # the workdir where none is named
FIXED_IN_ONNX = ("--config.model.", "--config.eval.image_size", "--config.eval.dtype")


def configure_run(
    flags: argparse.Namespace, overrides: list[str], workdir: "Workdir"
) -> "ConfigDict":
    """Return the recipe's configuration, or that of the workdir."""
    from class_jax.config import load_config

    return load_config(flags.config, workdir, overrides)


def configure_training(
    flags: argparse.Namespace, overrides: list[str], workdir: "Workdir"
) -> "ConfigDict":
    """Return the configuration of a run, which may start from a trained network.

    Raises:
      UserError: there is nothing to train on: said before JAX is imported, which takes seconds.
    """
    from class_jax.config import load_config
    from class_jax.networks.places import read_settings

    config = load_config(flags.config, workdir, overrides, settings_of=read_settings)
    with end_by_ctrl_c():
        from datasets.inputs import check_places
    check_places(config)
    return config


def configure_evaluation(
    flags: argparse.Namespace, overrides: list[str], workdir: "Workdir"
) -> "ConfigDict":
    """Return the configuration as `configure_network`; the sets of a run are that run's alone."""
    if flags.model is None and flags.workdir is None and not flags.input:
        flags.workdir = RUNS
    return configure_network(flags, overrides, workdir)


def configure_network(
    flags: argparse.Namespace, overrides: list[str], workdir: "Workdir"
) -> "ConfigDict":
    """Return the configuration of the model, or of the workdir.

    A model that is not on this machine is downloaded. `flags.model` then names where it lies, or
    the network in the package where none was named and there is no run.

    Raises:
      UserError: there is no network; or a leaf is given that an exported network has fixed.
    """
    from class_jax import parallel
    from class_jax.config import load_config
    from class_jax.networks.places import PHOTO, choose, is_onnx, is_there, read_settings, resolve
    from class_jax.runs.workdir import Workdir

    if flags.model is None and choose(None, flags.workdir, otherwise=RUNS) == PHOTO:
        parallel.log(f"{RUNS} holds no run: by the network that comes with class_jax, photo")
        flags.model = PHOTO
    if flags.model is None:
        # What was typed is checked before what lies on the disk.
        config = load_config(flags.config, workdir, overrides) if flags.config else None
        if not is_there(workdir.path):
            read_settings(workdir.path)  # says how to get one
        return config or load_config(None, workdir, overrides)
    flags.model = resolve(flags.model)
    if not is_onnx(flags.model):
        read_settings(flags.model)  # is there a model at all
        return load_config(flags.config, Workdir(flags.model), overrides)
    for name in overrides:
        if name.startswith(FIXED_IN_ONNX):
            raise UserError(f"{name} cannot change what {flags.model} computes: leave it out.")
    return load_config(flags.config, workdir, overrides, has_network=False)

"""Start a run from a trained network: read the configuration it has, and take over its values."""

from pathlib import PurePosixPath

import jax
import numpy as np
from ml_collections import ConfigDict

from class_jax.errors import UserError
from class_jax.files import absolute
from class_jax.models.network import Network, Variables
from class_jax.networks.find import (
    BEST,
    HUB,
    WEIGHTS,
    fetch_model,
    is_exported,
    is_onnx,
    load_settings,
)
from class_jax.runs.checkpoints import Checkpoints, read_checkpoints
from class_jax.runs.manifest import DamagedError
from class_jax.runs.workdir import Workdir
from class_jax.sharding import local_mesh, replicated_sharding
from class_jax.weights.exported import load_exported
from class_jax.weights.load import load_released

RELEASED_SUFFIXES = (".safetensors", ".pth", ".pt")


def read_settings(source: str) -> ConfigDict | None:
    """Return the configuration of a network to start from.

    Args:
      source: a workdir, an exported folder, `hf://owner/name`, or the authors' checkpoint.

    Returns:
      None for the authors' checkpoint, which holds values alone.

    Raises:
      UserError: there is no network, or it is one that cannot be trained.
    """
    if is_onnx(source):
        raise UserError(
            f"{source}: an .onnx file only predicts, as its batch norms are merged into its "
            "convolutions: start from the run or the folder that it was exported from."
        )
    if _is_released(source):
        if not source.startswith(HUB) and not absolute(source).is_file():
            raise UserError(f"{source}: there is no such file of weights.")
        return None
    settings = load_settings(fetch_model(source))
    if not isinstance(settings.get("model"), ConfigDict):
        raise UserError(f"{source}: its configuration has no section model.")
    return settings


def load_start(source: str, network: Network) -> tuple[Variables, str]:
    """Return the values of a trained network, on the host, and a description for users.

    Args:
      source: as for `read_settings`. Of a workdir the best checkpoint is taken, or the latest if
        nothing was validated.
      network: what the values must fit.

    Raises:
      UserError: they are of another network, or damaged.
    """
    if _is_released(source):
        return load_released(source, network), source
    place = fetch_model(source)
    if is_exported(place):
        return load_exported(absolute(place) / WEIGHTS, network), source

    def restore(checkpoints: Checkpoints) -> tuple[Variables, str]:
        step, remark = checkpoints.find(BEST)
        # Each of several processes reads all values for itself.
        sharding = replicated_sharding(local_mesh())
        variables = checkpoints.restore_variables(step, network.shapes, sharding)
        return jax.tree.map(np.asarray, variables), f"step {step} of {source} ({remark})"

    try:
        return read_checkpoints(Workdir(place).checkpoints, restore)
    except DamagedError as error:
        raise UserError(f"{source}: {error}") from error


def _is_released(source: str) -> bool:
    """Return whether a source is a file of the authors' checkpoint, by its name."""
    return PurePosixPath(source).suffix.lower() in RELEASED_SUFFIXES

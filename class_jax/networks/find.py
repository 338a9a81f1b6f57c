"""Find a trained network: a run, an exported folder or an `.onnx` file; load it when needed."""

import functools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from etils import epath
from ml_collections import ConfigDict

from class_jax.data.folders import file_fingerprint
from class_jax.errors import HOW_TO_GET_ONE, UserError, VanishedError
from class_jax.files import absolute
from class_jax.networks.engines import Engine
from class_jax.runs.workdir import Workdir

if TYPE_CHECKING:
    from jax.sharding import Sharding

    from class_jax.models.network import Network, Variables
    from class_jax.runs.checkpoints import Checkpoints

Result = TypeVar("Result")

# JAX is imported only where it computes: an `.onnx` file needs none of it.

CONFIG, WEIGHTS = "config.json", "model.safetensors"  # of an exported folder
BEST = "best"
PATIENCE_SECONDS = 60  # with a training that removes each checkpoint before it is read
HUB = "hf://"
MANY = 2**20  # images at once: as many as the engine likes


class FoundNetwork(NamedTuple):
    """A network that was found but not yet loaded."""

    description: str  # for users
    fingerprint: str  # changes with everything that maps depend on besides the image
    load: Callable[[], Engine]  # raises VanishedError if a running training removed it


def is_onnx(model: str | os.PathLike[str]) -> bool:
    """Return whether a model is an `.onnx` file by its name."""
    return str(model).lower().endswith(".onnx")


def is_exported(model: str | os.PathLike[str]) -> bool:
    """Return whether a model is an exported folder."""
    return "://" not in str(model) and (absolute(model) / WEIGHTS).is_file()


def fetch_model(model: str | os.PathLike[str]) -> str:
    """Return where a model lies on this machine; download that of `hf://owner/name`.

    Raises:
      UserError: it cannot be downloaded.
    """
    if not str(model).startswith(HUB):
        return str(model)
    from class_jax.weights.hub import fetch_folder  # noqa: PLC0415

    return str(fetch_folder(str(model), (CONFIG, WEIGHTS)))


def load_settings(model: str) -> ConfigDict:
    """Return the configuration that a model on this machine was saved with.

    Raises:
      UserError: no model there.
    """
    if is_onnx(model):  # the file holds all but this
        return ConfigDict({"eval": {"batch_size": MANY}})
    workdir = Workdir(model)
    config = workdir.load_config()
    if config is None and (inner := workdir.path / "safetensors").is_dir():
        raise UserError(f"{workdir.path} holds exports: name {inner}, or another one of them.")
    if config is None:
        raise UserError(f"{workdir.path} holds no trained network yet: {HOW_TO_GET_ONE}")
    return config


def is_there(model: str | os.PathLike[str]) -> bool:
    """Return whether anything lies where a model should be."""
    return is_onnx(model) or is_exported(model) or Workdir(model).checkpoints.exists()


def find_network(
    model: str | os.PathLike[str], config: ConfigDict, checkpoint: str = BEST
) -> FoundNetwork:
    """Find a trained network without loading it.

    Args:
      model: a workdir, an exported folder or an `.onnx` file.
      config: the configuration in force.
      checkpoint: of a workdir: "best", "latest" or a step.

    Raises:
      UserError: there is none, or it has no such checkpoint.
    """
    exported = is_onnx(model) or is_exported(model)
    if exported and checkpoint != BEST:
        raise UserError(f"{model} holds one network, and no checkpoint {checkpoint}.")
    if is_onnx(model):
        return _find_onnx(absolute(model), config)
    if is_exported(model):
        return _find_exported(absolute(model), config)
    return _find_run(Workdir(model), config, checkpoint)


def keep_trying(load: Callable[[], Result]) -> Result:
    """Return `load()`, which finds a checkpoint; again if a running training has removed it.

    Raises:
      VanishedError: that happened for a minute.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return load()
        except VanishedError:
            if time.monotonic() > deadline:
                raise


def _find_onnx(path: Path, config: ConfigDict) -> FoundNetwork:
    from class_jax.networks.onnx_engine import OnnxEngine  # noqa: PLC0415

    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    return FoundNetwork(
        str(path),
        file_fingerprint(path) + _aspect(config),
        lambda: OnnxEngine(path, batch_size=config.eval.batch_size),
    )


def _find_exported(folder: Path, config: ConfigDict) -> FoundNetwork:
    from class_jax.networks.jax_engine import load_engine  # noqa: PLC0415
    from class_jax.weights.exported import load_exported  # noqa: PLC0415

    file = folder / WEIGHTS
    return FoundNetwork(
        str(folder),
        _fingerprint(file_fingerprint(file), config),
        lambda: load_engine(config, lambda network, _: load_exported(file, network)),
    )


def _find_run(workdir: Workdir, config: ConfigDict, checkpoint: str) -> FoundNetwork:
    from class_jax.networks.jax_engine import load_engine  # noqa: PLC0415
    from class_jax.runs.checkpoints import read_checkpoints  # noqa: PLC0415

    folder = workdir.checkpoints

    def find(checkpoints: "Checkpoints") -> FoundNetwork:
        step, remark = checkpoints.find(checkpoint)
        restore = functools.partial(_restore, folder, step)
        return FoundNetwork(
            f"step {step} ({remark})",
            _fingerprint(checkpoints.fingerprint(step), config),
            lambda: load_engine(config, restore),
        )

    return read_checkpoints(folder, find)


def _restore(
    folder: epath.Path, step: int, network: "Network", sharding: "Sharding"
) -> "Variables":
    """Return a checkpoint's values."""
    from class_jax.runs.checkpoints import read_checkpoints  # noqa: PLC0415

    return read_checkpoints(
        folder,
        lambda checkpoints: checkpoints.restore_variables(step, network.shapes, sharding),
        step_is_chosen=True,
    )


def _fingerprint(values: str, config: ConfigDict) -> str:
    """Add the settings that maps depend on to the fingerprint of a network's values."""
    model = json.dumps(config.model.to_dict(), sort_keys=True, default=str)
    return f"{values} {config.eval.image_size} {config.eval.dtype} {model}{_aspect(config)}"


def _aspect(config: ConfigDict) -> str:
    return " keep_aspect" if config.eval.get("keep_aspect") else ""

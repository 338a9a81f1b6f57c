"""Places of trained networks: runs, exports, the hub, the authors' checkpoint, the package."""

import functools
import importlib.resources
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from etils import epath
from ml_collections import ConfigDict

from class_jax.config import RELEASED_RECIPE, load_saved, load_shipped
from class_jax.data.folders import file_fingerprint
from class_jax.errors import HOW_TO_GET_ONE, UnreadableError, UserError, VanishedError
from class_jax.files import absolute
from class_jax.networks.trained import Trained, only_predicts
from class_jax.runs.workdir import Workdir
from class_jax.weights.hub import HUB, fetch_folder

if TYPE_CHECKING:
    from class_jax.models.network import Network, Variables
    from class_jax.runs.checkpoints import Checkpoints

Result = TypeVar("Result")

# JAX is imported only where it computes: ONNX Runtime needs none of it.

CONFIG, WEIGHTS, GRAPH = "config.json", "model.safetensors", "model.onnx"  # of an exported folder
PHOTO = "photo"  # the bundled network, trained on photographs
PACKAGED = Path(str(importlib.resources.files("class_jax.networks") / "photo"))
BEST = "best"
SCHEMES = ("hf", "gs", "s3")  # the hub's, and those of buckets
RELEASED = (".safetensors", ".pth", ".pt")
PATIENCE_SECONDS = 60  # with a training that removes each checkpoint before it is read
TRIES = 5  # attempts to read checkpoints that a training may be writing


def find(text: str | os.PathLike[str], checkpoint: str = BEST) -> Trained:
    """Find a trained network; nothing of it is loaded yet.

    Args:
      text: "photo", a workdir, an exported folder, an `.onnx` file, the authors' checkpoint or
        `hf://owner/name`.
      checkpoint: of a workdir: "best", "latest" or a step.

    Raises:
      UserError: there is none, it has no such checkpoint, or it cannot be downloaded.
      VanishedError: a running training removed the checkpoint; see `keep_trying`.
    """
    place = resolve(text)
    is_single = is_onnx(place) or is_released(place) or is_exported(place)
    if is_single and checkpoint != BEST:
        name = PHOTO if absolute(place) == PACKAGED else text
        raise UserError(f"{name} holds one network, and no checkpoint {checkpoint}.")
    if is_onnx(place):
        path = absolute(place)
        if not path.is_file():
            raise UserError(f"{path}: there is no such file.")
        return Trained(str(path), file_fingerprint(path), path, graph=path)
    if is_released(place):
        return _find_released(place)
    if is_exported(place):
        return _find_exported(absolute(place))
    return _find_run(Workdir(place), checkpoint)


def keep_trying(read: Callable[[], Result]) -> Result:
    """Return `read()`; again if a running training has removed the checkpoint that it found.

    Raises:
      VanishedError: that happened for a minute, or it could not be read five times.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    for attempt in itertools.count(1):
        try:
            return read()
        except VanishedError as error:
            is_last = isinstance(error, UnreadableError) and attempt == TRIES
            if is_last or time.monotonic() > deadline:
                raise
            time.sleep(0.2 * min(attempt, TRIES))
    raise AssertionError


def is_left_to_photo(workdir: str) -> bool:
    """Return whether a workdir holds no run, so that the package's network stands in for it."""
    return is_exported(PACKAGED) and not (is_there(workdir) or Workdir(workdir).has_begun())


def resolve(text: str | os.PathLike[str]) -> str:
    """Return where a network lies on this machine; download that of `hf://owner/name`.

    Raises:
      UserError: it cannot be downloaded, or the package holds none.
    """
    name = str(text)
    scheme, separator, _ = name.partition("://")
    if separator and scheme not in SCHEMES:
        raise UserError(
            f"{name}: networks are not taken from {scheme}://: expected a path, hf://owner/name or "
            "gs://bucket/folder."
        )
    if name == PHOTO:
        if not is_exported(PACKAGED):
            raise UserError("this copy of class_jax holds no network of photographs: name another.")
        return str(PACKAGED)
    if not name.startswith(HUB) or is_released(name):
        return name
    return str(fetch_folder(name, (CONFIG, WEIGHTS)))


def read_settings(text: str | os.PathLike[str]) -> ConfigDict:
    """Return the configuration that a network was saved with.

    Raises:
      UserError: there is none, or it is damaged.
    """
    place = resolve(text)
    if is_onnx(place):
        raise only_predicts(text)
    if is_released(place):
        return _released_settings(place)
    workdir = Workdir(place)
    if (settings := load_saved(workdir)) is None:
        raise _explain_absence(workdir)
    return settings


def is_onnx(place: str | os.PathLike[str]) -> bool:
    """Return whether a network is an `.onnx` file, by its name."""
    return str(place).lower().endswith(".onnx")


def is_exported(place: str | os.PathLike[str]) -> bool:
    """Return whether a network is an exported folder."""
    return "://" not in str(place) and (absolute(place) / WEIGHTS).is_file()


def is_released(place: str | os.PathLike[str]) -> bool:
    """Return whether a network is a file of the authors' checkpoint, by its name."""
    name = str(place)
    if PurePosixPath(name).suffix.lower() not in RELEASED:
        return False
    return name.count("/") > 3 if name.startswith(HUB) else not Path(name).is_dir()


def is_there(place: str | os.PathLike[str]) -> bool:
    """Return whether anything lies where a network should be."""
    return is_onnx(place) or is_exported(place) or Workdir(place).has_checkpoints()


def _explain_absence(workdir: Workdir) -> UserError:
    return UserError(
        f"{workdir.path} holds no trained network yet, neither a run's nor an exported one: "
        f"{HOW_TO_GET_ONE}"
    )


def _check_own(folder: Path) -> None:
    """Raise UserError if a file of an exported folder is a link that leads out of it.

    In the hub's cache all files are links, to a folder beside it.
    """
    real = Path(os.path.realpath(folder))
    for file in (folder / CONFIG, folder / WEIGHTS):
        home = Path(os.path.realpath(file)).parent
        if home not in (real, real.parents[min(1, len(real.parents) - 1)] / "blobs"):
            raise UserError(f"{file} is a link to another folder: name the folder with the files.")


def _find_exported(folder: Path) -> Trained:
    file, graph = folder / WEIGHTS, folder / GRAPH
    is_ours, settings = folder == PACKAGED, load_saved(Workdir(folder))
    if not is_ours:
        _check_own(folder)

    def load(network: "Network") -> "Variables":
        from class_jax.weights.saved import load_exported  # noqa: PLC0415

        return load_exported(file, network)

    return Trained(
        f"{PHOTO}, the network that comes with class_jax" if is_ours else str(folder),
        file_fingerprint(file),
        folder,
        settings,
        load,
        graph=graph if is_ours and graph.is_file() else None,
    )


def _find_released(source: str) -> Trained:
    def load(network: "Network") -> "Variables":
        from class_jax.weights.load import load_released  # noqa: PLC0415

        return load_released(source, network)

    path = source if source.startswith(HUB) else absolute(source)
    origin = str(path) if isinstance(path, str) else file_fingerprint(path)
    return Trained(source, origin, Path(path).parent, _released_settings(source), load)


def _released_settings(source: str) -> ConfigDict:
    if not source.startswith(HUB) and not absolute(source).is_file():
        raise UserError(f"{source}: there is no such file of weights.")
    return load_shipped(RELEASED_RECIPE)


def _find_run(workdir: Workdir, checkpoint: str) -> Trained:
    from class_jax.runs.checkpoints import read_checkpoints  # noqa: PLC0415

    folder = workdir.checkpoints
    if not workdir.has_checkpoints():
        raise _explain_absence(workdir)

    def choose_step(checkpoints: "Checkpoints") -> Trained:
        step, remark = checkpoints.find(checkpoint)
        return Trained(
            f"step {step} of {workdir.path} ({remark})",
            checkpoints.fingerprint(step),
            workdir.path,
            load_saved(workdir),
            functools.partial(_restore, folder, step),
            f"step {step} ({remark})",
        )

    return read_checkpoints(folder, choose_step)


def _restore(folder: epath.Path, step: int, network: "Network") -> "Variables":
    """Return the values in a checkpoint; each of several processes reads all for itself."""
    from class_jax.runs.checkpoints import read_checkpoints  # noqa: PLC0415
    from class_jax.sharding import local_mesh, replicated_sharding  # noqa: PLC0415

    sharding = replicated_sharding(local_mesh())
    return read_checkpoints(
        folder, lambda checkpoints: checkpoints.restore_variables(step, network.shapes, sharding)
    )

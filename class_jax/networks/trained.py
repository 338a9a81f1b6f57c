"""A trained network that was found: what it is, its values, and an engine that computes it."""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from etils import epath
from ml_collections import ConfigDict

from class_jax.errors import UserError, end_by_ctrl_c
from class_jax.leaves import LEAVES, check_limits, flatten
from class_jax.networks.engines import Engine
from class_jax.networks.foreign import check_graph
from class_jax.text import first_line

if TYPE_CHECKING:
    from jax.sharding import Sharding

    from class_jax.models.network import Network, Variables

# JAX is imported only where it computes: ONNX Runtime needs none of it.

EVALUATED = ("eval.image_size", "eval.batch_size", "eval.dtype")

Loader = Callable[["Network", "Sharding"], "Variables"]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network; nothing is loaded before its values or an engine are asked for."""

    description: str  # for users
    origin: str  # unique identifier of the weights
    folder: Path | epath.Path  # where it lies, and what is known of it
    settings: ConfigDict | None = None  # sections `model` and `eval`; None: not known
    load: Loader | None = None  # returns the values; None: an `.onnx` file, which only predicts
    checkpoint: str = ""  # of a run: its step, and how it was chosen
    graph: Path | None = None  # the network under these settings, as an `.onnx` file

    @property
    def fingerprint(self) -> str:
        """Return a text that changes with everything that maps depend on besides the image."""
        if self.load is None:
            return self.origin
        settings = self._settings()
        model = json.dumps(settings.model.to_dict(), sort_keys=True, default=str)
        return f"{self.origin} {settings.eval.image_size} {settings.eval.dtype} {model}"

    @property
    def can_attend(self) -> bool:
        """Return whether its attention can be shown."""
        return self.load is not None

    def with_settings(self, settings: ConfigDict) -> Self:
        """Return the same values under other settings: another size, another dtype."""
        other = dataclasses.replace(self, settings=settings)
        if self.load is None or (self.settings and other.fingerprint == self.fingerprint):
            return other
        return dataclasses.replace(other, graph=None)

    def values(self, network: "Network") -> "Variables":
        """Return the values for a network of the same form, on the host.

        Raises:
          UserError: they are of another network, or damaged; or it only predicts.
          VanishedError: a running training removed them.
        """
        import jax  # noqa: PLC0415
        import numpy as np  # noqa: PLC0415

        from class_jax.sharding import local_mesh, replicated_sharding  # noqa: PLC0415

        if self.load is None:
            raise only_predicts(self.folder)
        # Each of several processes reads all values for itself.
        values = self.load(network, replicated_sharding(local_mesh()))
        return jax.tree.map(np.asarray, values)

    def engine(self) -> Engine:
        """Load it: in ONNX Runtime where that is faster and can be done, else by JAX.

        Raises:
          UserError: it is damaged, or what it needs is not installed.
          VanishedError: a running training removed it.
        """
        if self.load is None or (self.graph and _prefers_onnx()):
            from class_jax.networks.onnx_engine import OnnxEngine  # noqa: PLC0415

            assert self.graph is not None
            if self.load is None:  # it may come from elsewhere
                check_graph(self.graph)
            size = {"batch_size": self.settings.eval.batch_size} if self.settings else {}
            attentive = functools.cache(self._jax_engine) if self.can_attend else None
            is_ours = self.can_attend
            return OnnxEngine(self.graph, **size, attentive=attentive, has_data_beside=is_ours)
        return self._jax_engine()

    def _jax_engine(self) -> Engine:
        with end_by_ctrl_c():
            from class_jax.networks.jax_engine import load_engine  # noqa: PLC0415

        assert self.load is not None
        return load_engine(self._settings(), self.load)

    def _settings(self) -> ConfigDict:
        if self.settings is None:
            raise UserError(
                f"{self.folder} holds a network, and no config.json: restore it from a copy."
            )
        _check_settings(self.settings, self.folder)
        return self.settings


def only_predicts(place: object) -> UserError:
    """Return the error for an `.onnx` file whose values are asked for."""
    return UserError(
        f"{place}: an .onnx file only predicts, as its batch norms are merged into its "
        "convolutions: name the run or the folder that it was exported from."
    )


def _check_settings(settings: ConfigDict, folder: object) -> None:
    """Raise UserError unless settings describe a network, whoever wrote them."""
    leaves = flatten(settings)
    expected = [*(name for name in LEAVES if name.startswith("model.")), *EVALUATED]
    for name in expected:
        value = leaves.get(name)
        is_usable = isinstance(value, (str, int, tuple)) or name == "model.pretrained"
        if not is_usable or isinstance(value, tuple) != (name == "model.stage_sizes"):
            raise UserError(f"{folder}: its config.json has no usable {name}.")
    try:
        check_limits(settings)
    except TypeError as error:  # values of other kinds
        raise UserError(
            f"{folder}: its config.json describes no network ({first_line(error)})."
        ) from error


def _prefers_onnx() -> bool:
    """Return whether ONNX Runtime is installed, and JAX has no accelerator that is faster."""
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    has_accelerator = bool(plugins) or importlib.util.find_spec("libtpu") is not None
    return importlib.util.find_spec("onnxruntime") is not None and not has_accelerator

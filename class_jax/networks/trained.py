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
from class_jax.networks.engines import Engine
from class_jax.networks.foreign import check_graph

if TYPE_CHECKING:
    from class_jax.models.network import Network, Variables

# JAX is imported only where it computes: ONNX Runtime needs none of it.

Loader = Callable[["Network"], "Variables"]


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

        if self.load is None:
            raise only_predicts(self.folder)
        return jax.tree.map(np.asarray, self.load(network))

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
            is_ours = self.load is not None
            attentive = functools.cache(self._jax_engine) if is_ours else None
            return OnnxEngine(self.graph, **size, attentive=attentive, has_data_beside=is_ours)
        return self._jax_engine()

    def _jax_engine(self) -> Engine:
        with end_by_ctrl_c():
            from class_jax.models.network import build_network  # noqa: PLC0415
            from class_jax.networks.jax_engine import JaxEngine  # noqa: PLC0415
            from class_jax.sharding import local_mesh  # noqa: PLC0415

        assert self.load is not None
        settings = self._settings()
        network = build_network(settings.model, dtype=settings.eval.dtype)
        return JaxEngine(
            network,
            self.load(network),
            image_size=settings.eval.image_size,
            batch_size=settings.eval.batch_size,
            mesh=local_mesh(),  # several processes make maps of their own
        )

    def _settings(self) -> ConfigDict:
        if self.settings is None:
            raise UserError(
                f"{self.folder} holds a network, and no config.json: restore it from a copy."
            )
        return self.settings


def only_predicts(place: object) -> UserError:
    """Return the error for an `.onnx` file whose values are asked for."""
    return UserError(
        f"{place}: an .onnx file only predicts, as its batch norms are merged into its "
        "convolutions: name the run or the folder that it was exported from."
    )


def _prefers_onnx() -> bool:
    """Return whether ONNX Runtime is installed, and JAX has no accelerator that is faster."""
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    has_accelerator = bool(plugins) or importlib.util.find_spec("libtpu") is not None
    return importlib.util.find_spec("onnxruntime") is not None and not has_accelerator

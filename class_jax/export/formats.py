"""The formats that a network is exported to: how each is written, and how it is read back."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from class_jax.errors import UserError
from class_jax.export.folding import fold_batch_norms
from class_jax.models.network import Network, Variables
from class_jax.networks.onnx_engine import OnnxEngine
from class_jax.networks.places import CONFIG, WEIGHTS
from class_jax.weights.load import load_released
from class_jax.weights.saved import load_exported, save_exported, save_released

Maps = Callable[[np.ndarray], np.ndarray]  # uint8 [B, S, S, 3] → float32 [B, S, S] in 0–1
PLATFORMS = ("cpu", "cuda", "tpu")  # that a StableHLO program runs on


class Export(NamedTuple):
    """A network to be exported."""

    network: Network  # computes in float32
    variables: Variables
    side: int  # of its square images, pixels
    config: ConfigDict  # without what only concerns the machine that trained it
    card: str  # the model card, Markdown
    unused: Path | None = None  # what the authors' checkpoint held beyond the network
    precision: str = "float32"  # of the kernels in an ONNX file; see proof.LIMITS


class Format(NamedTuple):
    """A format of exports: how it is written and read back."""

    default: str  # name of its file or folder
    write: Callable[[Export, Path], None]
    read: Callable[[Export, Path], Maps]


def compute_maps(network: Network, variables: Variables) -> Maps:
    """Return the function from images to maps that is exported, compiled by JAX."""
    return lambda images: np.asarray(_apply(network, variables, images))


@functools.partial(jax.jit, static_argnums=0)  # compiled once for all values of a network
def _apply(network: Network, variables: Variables, images: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(network.predict(variables, images))


def write_folder(export: Export, path: Path, *, kernels: type[np.floating] = np.float32) -> None:
    """Write a folder with configuration, weights of this type, and model card if there is one."""
    path.mkdir(exist_ok=True)
    (path / CONFIG).write_text(json.dumps(export.config.to_dict(), indent=2) + "\n")
    save_exported(path / WEIGHTS, export.variables, kernels=kernels)
    if export.card:
        (path / "README.md").write_text(export.card)


def read_folder(export: Export, path: Path) -> Maps:
    """Read such a folder."""
    return compute_maps(export.network, load_exported(path / WEIGHTS, export.network))


def write_onnx(export: Export, path: Path) -> None:
    """Write an ONNX model with batch norms folded."""
    try:
        from class_jax.export.lowering import write_model  # noqa: PLC0415 - needs an extra
    except ModuleNotFoundError as error:
        raise UserError(f"ONNX files need {error.name}: pip install onnx onnxruntime.") from error
    folded = fold_batch_norms(export.variables, epsilon=export.network.backbone.EPSILON)

    def function(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = export.network.predict(folded, images)
        return jax.nn.sigmoid(logits), logits

    write_model(export, function, path)


def write_stablehlo(export: Export, path: Path) -> None:
    """Write a StableHLO program for CPUs, GPUs and TPUs, by jax.export."""
    variables = fold_batch_norms(export.variables, epsilon=export.network.backbone.EPSILON)
    (batch,) = jax.export.symbolic_shape("b")
    shape = jax.ShapeDtypeStruct((batch, export.side, export.side, 3), jnp.uint8)
    function = jax.jit(lambda images: jax.nn.sigmoid(export.network.predict(variables, images)))
    path.write_bytes(jax.export.export(function, platforms=PLATFORMS)(shape).serialize())


def read_stablehlo(_: Export, path: Path) -> Maps:
    """Read a StableHLO program."""
    program = jax.export.deserialize(bytearray(path.read_bytes()))
    return lambda images: np.asarray(program.call(images))


FORMATS = {
    "safetensors": Format("safetensors", write_folder, read_folder),
    "onnx": Format("model.onnx", write_onnx, lambda _, path: OnnxEngine(path).maps),
    "stablehlo": Format("model.stablehlo", write_stablehlo, read_stablehlo),
    "torch": Format(  # the authors' state dict
        "class.safetensors",
        lambda export, path: save_released(path, export.network, export.variables, export.unused),
        lambda export, path: compute_maps(export.network, load_released(str(path), export.network)),
    ),
}

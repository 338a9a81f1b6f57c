"""Files of weights: safetensors, and PyTorch's .pth."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors.flax
import safetensors.numpy

from class_jax.errors import UserError
from class_jax.files import absolute
from class_jax.text import first_line
from class_jax.weights.hub import HUB, fetch_file

Weights = dict[str, np.ndarray]

SAFE_TORCH = (2, 6)  # older versions may run code when reading weights: CVE-2025-32434
COUNTER = ".num_batches_tracked"  # of batch norms: integers that are not used here


def read_weights(source: str) -> Weights:
    """Return names and arrays of a `.safetensors` or PyTorch file, in PyTorch's layout.

    All are float32 but for the counters of batch norms, which are int64.
    """
    path = fetch_file(source) if source.startswith(HUB) else absolute(source)
    if not path.is_file():
        raise UserError(f"{source}: there is no such file of weights.")
    is_safetensors = path.suffix.lower() == ".safetensors"
    tensors = _read_safetensors(path) if is_safetensors else _read_torch(path)
    weights = {name.removeprefix("module."): value for name, value in tensors.items()}
    if len(weights) < len(tensors):
        raise UserError(f"{source} holds a name twice, with and without module. before it.")
    return weights


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name."""
    contiguous = {name: np.array(value, order="C") for name, value in arrays.items()}
    # Readers of PyTorch's files ask for this entry. save_file's files can be read by nobody else.
    path.write_bytes(safetensors.numpy.save(contiguous, {"format": "pt"}))


def _read_safetensors(path: Path) -> Weights:
    try:
        with warnings.catch_warnings(action="ignore"):  # values beyond float32 are found later
            tensors = safetensors.flax.load_file(path)
    except Exception as error:  # damage shows in many ways, unknown dtypes as AttributeError
        raise UserError(
            f"{path} is not a whole safetensors file of plain numbers: {first_line(error)}."
        ) from error
    return {name: _to_float32(name, np.asarray(value), path) for name, value in tensors.items()}


def _to_float32(name: str, value: np.ndarray, path: Path) -> np.ndarray:
    """Convert to float32, counters to int64; UserError for complex and logical values."""
    if name.endswith(COUNTER):
        return value.astype(np.int64)
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise UserError(f"{path}: {name} holds values of type {value.dtype}, expected floats.")
    return value.astype(np.float32)


def _read_torch(path: Path) -> Weights:
    try:
        import torch  # noqa: PLC0415 - optional
    except ImportError as error:
        raise UserError(
            f"{path} is a PyTorch file, and PyTorch is not installed: pip install torch, or give "
            "a .safetensors file."
        ) from error
    if tuple(map(int, torch.__version__.split(".")[:2])) < SAFE_TORCH:
        raise UserError(
            f"{path}: PyTorch {torch.__version__} may run code that a file holds: install 2.6 or "
            "newer, or give a .safetensors file."
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # torch warns before it refuses
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage shows in many ways
        raise UserError(
            f"{path} is neither a .safetensors file by its name nor a PyTorch file of plain "
            "tensors: files that hold other objects are refused, as loading them could run code, "
            "and so is the tar format of before PyTorch 0.2; torchvision's ResNet-50 is "
            "at hf://timm/resnet50.tv_in1k/model.safetensors."
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and torch.is_tensor(value) for name, value in content.items()
    ):
        raise UserError(f"{path} holds no state dict: expected names with tensors.")
    return {name: _torch_to_float32(name, value, path) for name, value in content.items()}


def _torch_to_float32(name: str, value: Any, path: Path) -> np.ndarray:
    if value.is_quantized or value.is_sparse or value.is_meta or value.is_complex():
        raise UserError(f"{path}: {name} is not a plain tensor of floats ({value.dtype}).")
    # Through float32, because NumPy has no bfloat16.
    array = value.detach().float() if value.is_floating_point() else value.detach()
    return _to_float32(name, array.numpy(), path)

"""Files of PyTorch weights: safetensors, .pth, and the Hugging Face hub."""

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors.flax

from class_jax.errors import UserError
from class_jax.files import absolute

Weights = dict[str, np.ndarray]

HUB = "hf://"
# Of the recipes' defaults: another file of that name would start runs from other weights.
SHA256 = {
    "hf://timm/resnet50.tv_in1k/model.safetensors": (
        "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888"
    ),
}
COUNTER = ".num_batches_tracked"  # of batch norms: integers that nothing here uses


def read_weights(source: str) -> Weights:
    """Return names and float32 arrays of a `.safetensors` or PyTorch file, in PyTorch's layout."""
    path = _fetch(source) if source.startswith(HUB) else absolute(source)
    if not path.is_file():
        raise UserError(f"{source}: there is no such file of weights.")
    is_safetensors = path.suffix.lower() == ".safetensors"
    tensors = _read_safetensors(path) if is_safetensors else _read_torch(path)
    weights: Weights = {}
    for name, value in tensors.items():
        short = name.removeprefix("module.")
        if short in weights:
            raise UserError(f"{source} holds {short} twice, with and without module. before it.")
        weights[short] = value
    return weights


def _fetch(source: str) -> Path:
    """Return a file of a Hugging Face repository, from its cache or downloaded."""
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - slow to import
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415
    from huggingface_hub.utils import logging  # noqa: PLC0415

    logging.set_verbosity_error()  # it logs every retry

    parts = source.removeprefix(HUB).split("/", 2)
    if len(parts) != 3:
        raise UserError(f"{source}: expected hf://owner/name/file.")
    owner, name, file = parts
    try:
        path = Path(hf_hub_download(f"{owner}/{name}", file))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(
            f"{source} could not be downloaded ({_first_line(error)}): fetch "
            f"https://huggingface.co/{owner}/{name}/resolve/main/{file} by other means and give "
            "its path by config.model.pretrained, or start from random weights: "
            "config.model.pretrained=None."
        ) from error
    _check_digest(source, path)
    return path


def _check_digest(source: str, path: Path) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256.get(source, digest):
        raise UserError(
            f"{source} is another file than expected: its SHA-256 is {digest}, expected "
            f"{SHA256[source]}. Remove {path} and try again, or name a file of your own by "
            "config.model.pretrained."
        )


def _read_safetensors(path: Path) -> Weights:
    try:
        with warnings.catch_warnings(action="ignore"):  # values beyond float32 are found later
            tensors = safetensors.flax.load_file(path)
    except Exception as error:  # damage shows in many ways, unknown dtypes as AttributeError
        raise UserError(
            f"{path} is not a whole safetensors file of plain numbers: {_first_line(error)}."
        ) from error
    return {name: _to_float32(name, np.asarray(value), path) for name, value in tensors.items()}


def _to_float32(name: str, value: np.ndarray, path: Path) -> np.ndarray:
    """Convert to float32; UserError for quantised, complex and logical values."""
    is_count = name.endswith(COUNTER)
    if not is_count and not jnp.issubdtype(value.dtype, jnp.floating):
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
        raise UserError(f"{path}: {name} is no plain tensor of floats ({value.dtype}).")
    # Through float32, because NumPy has no bfloat16.
    array = value.detach().float() if value.is_floating_point() else value.detach()
    return _to_float32(name, array.numpy(), path)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]

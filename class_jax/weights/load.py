"""Weights from PyTorch, strictly: a file fits a network in every name and shape, or is refused.

Whatever a network needs and the file lacks, whatever the file holds beyond that, every shape that
differs and every value that is not finite is named in one error.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from class_jax.errors import UserError
from class_jax.models.network import Network, Variables
from class_jax.weights.files import COUNTER, read_weights
from class_jax.weights.names import LEAVES, released_name

# Parts of image classifiers beyond the backbone; only these and counters may be left over.
CLASSIFIER_HEADS = ("fc.", "classifier.", "pre_logits.", "head.")
# In the released checkpoint, but not used by its network; shapes as ours, HWIO.
UNUSED_IN_RELEASED = {
    "squeeze1.0.weight": (1, 1, 64, 64),
    "squeeze1.0.bias": (64,),
    **{f"squeeze1.1.{name}": (64,) for name in ("weight", "bias", "running_mean", "running_var")},
}


class Wanted(NamedTuple):
    """Our name of a tensor (None: it is only checked), and its shape in our layout."""

    name: str | None
    shape: tuple[int, ...]


def load_encoder(source: str, network: Network, variables: Variables) -> Variables:
    """Return `variables` with the backbone's replaced by ImageNet weights.

    Args:
      source: path of a `.safetensors` or `.pth` file with the names of the backbone's
        `torch_name`, or `hf://owner/name/file`.
      network: its backbone receives the weights.
      variables: all other values are taken from here.

    Raises:
      UserError: the file cannot be fetched or read, or does not fit.
    """
    wanted = {
        _encoder_name(network, name): Wanted(name, leaf.shape)
        for name, leaf in _named_leaves(network.shapes).items()
        if name.split("/")[1] == "encoder"
    }
    values = _match(read_weights(source), wanted, source, left_out=CLASSIFIER_HEADS)
    return _replace(variables, values)


def load_released(source: str, network: Network) -> Variables:
    """Return all variables from a checkpoint of the authors' released network.

    Raises:
      UserError: the file cannot be read, or does not fit.
    """
    wanted = {
        _released_name(network, name): Wanted(name, leaf.shape)
        for name, leaf in _named_leaves(network.shapes).items()
    }
    # The checkpoint holds a bridge of level 1 that its network never uses: checked, not kept.
    unused = {name: Wanted(None, shape) for name, shape in UNUSED_IN_RELEASED.items()}
    values = _match(read_weights(source), wanted | unused, source, left_out=())
    return _replace(network.shapes, values)


def _match(
    weights: Mapping[str, np.ndarray],
    wanted: Mapping[str, Wanted],
    source: str,
    *,
    left_out: Sequence[str],
) -> dict[str, np.ndarray]:
    """Return our name → value in our layout; UserError that lists every difference."""
    counters = {
        name.removesuffix(".running_mean") + COUNTER
        for name in wanted
        if name.endswith(".running_mean")
    }
    surplus = weights.keys() - wanted.keys() - counters
    problems = [
        f"{name} is surplus" for name in sorted(surplus) if not name.startswith(tuple(left_out))
    ]
    problems += [f"{name} is missing" for name in sorted(wanted.keys() - weights.keys())]
    values = {}
    for name, (ours, shape) in wanted.items():
        if name in weights:
            value = _to_our_layout(weights[name], scalar=shape == ())
            problems += _faults(name, value, shape)
            if ours is not None:
                values[ours] = value
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise UserError(f"{source} does not fit the network:{listed}")
    return values


def _faults(name: str, value: np.ndarray, shape: tuple[int, ...]) -> list[str]:
    """Return what is wrong with a tensor, if anything."""
    if value.shape != shape:
        found, expected = _torch_shape(value.shape), _torch_shape(shape)
        return [f"{name} has shape {found}, expected {expected}"]
    if not np.isfinite(value).all():
        return [f"{name} holds values that are not finite"]
    if name.endswith(".running_var") and value.min() < 0:
        return [f"{name} holds negative variances"]
    return []


def _to_our_layout(value: np.ndarray, *, scalar: bool) -> np.ndarray:
    """Return kernels OIHW as HWIO, and attention scales [1] as scalars."""
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    return value.reshape(()) if scalar and value.size == 1 else value


def _torch_shape(shape: tuple[int, ...]) -> list[int]:
    """Return the shape of a tensor in PyTorch's layout."""
    if len(shape) == 4:
        height, width, features_in, features_out = shape
        return [features_out, features_in, height, width]
    return list(shape) or [1]


def _encoder_name(network: Network, name: str) -> str:
    """Return the backbone's PyTorch name of a variable "params/encoder/…"."""
    module, leaf = tuple(name.split("/")[2:-1]), name.rpartition("/")[2]
    return f"{network.backbone.torch_name(module, stage_sizes=network.stage_sizes)}.{LEAVES[leaf]}"


def _released_name(network: Network, name: str) -> str:
    """Return the released network's name of a variable."""
    path = name.partition("/")[2]  # without "params" or "batch_stats"
    if path.startswith("encoder/"):
        return f"res_{_encoder_name(network, name)}"
    module, _, leaf = path.rpartition("/")
    return f"{released_name(module)}.{LEAVES[leaf]}"


def _replace(variables: Variables, values: Mapping[str, np.ndarray]) -> Variables:
    """Return `variables` with those in `values`, by name, replaced."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: values.get(_name(path), leaf), variables
    )


def _named_leaves(variables: Variables) -> dict[str, Any]:
    """Return all leaves by name: "params/encoder/layer1/0/conv1/kernel"."""
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(variables)}


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")

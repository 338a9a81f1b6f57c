"""Weights from PyTorch, strictly: a file fits a network in every name and shape, or is refused.

Every value that is missing from the file, every value that is surplus, every shape that
differs and every value that is not finite is named in one error.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from class_jax.errors import UserError
from class_jax.models.network import Network, Variables, name_of, named_leaves
from class_jax.text import printable
from class_jax.weights.files import COUNTER, Weights, read_weights
from class_jax.weights.names import BLOCK, LEAVES, RELEASED

Shape = tuple[int, ...]

# In the released checkpoint a bridge of level 1, which its network never uses: checked, not kept.
UNUSED_IN_RELEASED = {
    "squeeze1.0.weight": (64, 64, 1, 1),
    "squeeze1.0.bias": (64,),
    **{f"squeeze1.1.{name}": (64,) for name in ("weight", "bias", "running_mean", "running_var")},
}


def load_encoder(source: str, network: Network, variables: Variables) -> Variables:
    """Return `variables` with the backbone's replaced by ImageNet weights.

    Args:
      source: path of a `.safetensors` or `.pth` file with the names of the backbone's
        `torch_names`, or `hf://owner/name/file`.
      network: its backbone receives the weights.
      variables: all other values are taken from here.

    Raises:
      UserError: the file cannot be fetched or read, or does not fit.
    """
    ours = [name for name in named_leaves(variables) if name.split("/")[1] == "encoder"]
    weights = read_weights(source)
    namings = [
        dict(zip(ours, theirs, strict=True))
        for theirs in zip(*(_encoder_names(network, name) for name in ours), strict=True)
    ]
    names = max(namings, key=lambda naming: len(weights.keys() & naming.values()))
    return _convert(source, weights, names, variables, ignored=network.backbone.HEADS)


def load_released(source: str, network: Network) -> Variables:
    """Return all variables from a checkpoint of the authors' released network.

    Raises:
      UserError: the file cannot be read, or does not fit.
    """
    names = list_released_names(network)
    return _convert(source, read_weights(source), names, network.shapes, unused=UNUSED_IN_RELEASED)


def list_released_names(network: Network) -> dict[str, str]:
    """Return the released network's names by ours: "params/…/kernel" → "….weight"."""
    return {name: _released_name(network, name) for name in named_leaves(network.shapes)}


def to_torch_layout(variables: Variables, names: Mapping[str, str]) -> Weights:
    """Return a network's values in PyTorch's layout, float32, under the given names."""
    return {
        names[name]: _to_torch(np.asarray(leaf, np.float32))
        for name, leaf in named_leaves(variables).items()
    }


def _to_torch(value: np.ndarray) -> np.ndarray:
    """Return a value in PyTorch's layout: kernels are OIHW, scalars [1]."""
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else np.atleast_1d(value)


def _convert(
    source: str,
    weights: Weights,
    names: Mapping[str, str],
    variables: Variables,
    *,
    unused: Mapping[str, Shape] = MappingProxyType({}),
    ignored: tuple[str, ...] = (),
) -> Variables:
    """Return `variables` with those in `names` (PyTorch's by ours) from a file's weights.

    The file must hold those in `unused` as well, and may hold names that begin as `ignored` says.
    """
    leaves = named_leaves(variables)
    shapes = {
        theirs: _to_torch(np.broadcast_to(np.float32(0), leaves[ours].shape)).shape
        for ours, theirs in names.items()
    }
    if problems := _find_problems(weights, shapes | dict(unused), ignored):
        listed = "".join(f"\n  {printable(problem)}" for problem in problems)
        raise UserError(f"{source} does not fit the network:{listed}")

    def convert(path: tuple[Any, ...], leaf: Any) -> Any:
        if name_of(path) not in names:
            return leaf
        value = weights[names[name_of(path)]]
        return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.reshape(leaf.shape)

    return jax.tree_util.tree_map_with_path(convert, variables)


def _find_problems(
    weights: Weights, shapes: Mapping[str, Shape], ignored: tuple[str, ...]
) -> list[str]:
    """Return every difference between the tensors of a file and the expected names and shapes."""
    means = [name for name in shapes if name.endswith(".running_mean")]
    counters = {name.removesuffix(".running_mean") + COUNTER for name in means}
    surplus = weights.keys() - shapes.keys() - counters
    problems = [f"{name} is surplus" for name in sorted(surplus) if not name.startswith(ignored)]
    problems += [f"{name} is missing" for name in sorted(shapes.keys() - weights.keys())]
    for name in sorted(shapes.keys() & weights.keys()):
        value, shape = weights[name], shapes[name]
        if value.shape != shape and (value.size, shape) != (1, (1,)):  # a scalar has any rank
            problems.append(f"{name} has shape {list(value.shape)}, expected {list(shape)}")
        elif not np.isfinite(value).all():
            problems.append(f"{name} holds values that are not finite")
        elif name.endswith(".running_var") and value.min() < 0:
            problems.append(f"{name} holds negative variances")
    return problems


def _encoder_names(network: Network, name: str) -> list[str]:
    """Return the backbone's PyTorch names of a variable "params/encoder/…", one a naming."""
    module, leaf = tuple(name.split("/")[2:-1]), name.rpartition("/")[2]
    names = network.backbone.torch_names(module, stage_sizes=network.stage_sizes)
    return [f"{theirs}.{LEAVES[leaf]}" for theirs in names]


def _released_name(network: Network, name: str) -> str:
    """Return the released network's name of a variable, "params/…" or "batch_stats/…"."""
    *path, part, leaf = name.split("/")[1:]
    if (path or [part])[0] == "encoder":
        return f"res_{_encoder_names(network, name)[0]}"
    module = "/".join(path)
    theirs = f"{RELEASED[module]}.{BLOCK[part]}" if part in BLOCK else RELEASED[f"{module}/{part}"]
    return f"{theirs}.{LEAVES[leaf]}"

"""Weights from PyTorch, strictly: a file fits a network in every name and shape, or is refused.

The table runs from our names to PyTorch's. Whatever a network needs and the file lacks, whatever
the file holds beyond that, every shape that differs and every value that is not finite is named in
one error.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from class_jax.errors import UserError
from class_jax.models.network import Network, Variables
from class_jax.weights.files import COUNTER, read_weights

Path_ = tuple[str, ...]

# What image classifiers hold beyond the trunk, and counters: the only names that are left out.
CLASSIFIER_HEADS = ("fc.", "classifier.", "pre_logits.", "head.")
# In the released checkpoint, but not in use by its network; shapes as ours, HWIO.
UNUSED_IN_RELEASED = {
    "squeeze1.0.weight": (1, 1, 64, 64),
    "squeeze1.0.bias": (64,),
    **{f"squeeze1.1.{name}": (64,) for name in ("weight", "bias", "running_mean", "running_var")},
}

LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


class Wanted(NamedTuple):
    """Where a tensor goes (None: it is only checked), and its shape in our layout."""

    path: Path_ | None
    shape: tuple[int, ...]


def load_encoder(source: str, network: Network, variables: Variables) -> Variables:
    """`variables` with the encoder's replaced by ImageNet weights.

    Args:
      source: path of a `.safetensors` or `.pth` file with torchvision's names, or
        `hf://owner/name/file`.
      network: its encoder is a ResNet or a VGG.
      variables: gives all other values.

    Raises:
      UserError: the file cannot be had or read, or does not fit.
    """
    weights = read_weights(source)
    is_vgg = "groups" in network.shapes.params["encoder"]
    rename = _vgg_names(network) if is_vgg else _resnet_name
    wanted = {
        rename(path): Wanted(path, leaf.shape)
        for path, leaf in _leaves(network.shapes).items()
        if path[1] == "encoder"
    }
    values = _match(weights, wanted, source, left_out=CLASSIFIER_HEADS)
    return _replaced(variables, values)


def load_released(source: str, network: Network) -> Variables:
    """All variables from a checkpoint of the authors' released network.

    Raises:
      UserError: the file cannot be read, or does not fit.
    """
    weights = read_weights(source)
    wanted = {
        _released_name(path): Wanted(path, leaf.shape)
        for path, leaf in _leaves(network.shapes).items()
    }
    # The checkpoint holds a bridge of level 1 that its network never uses: checked, not kept.
    unused = {name: Wanted(None, shape) for name, shape in UNUSED_IN_RELEASED.items()}
    values = _match(weights, wanted | unused, source, left_out=())
    return _replaced(network.shapes, values)


def _match(
    weights: Mapping[str, np.ndarray],
    wanted: Mapping[str, Wanted],
    source: str,
    *,
    left_out: Sequence[str],
) -> dict[Path_, np.ndarray]:
    """Our path → value in our layout, or one error that names every difference."""
    counters = {
        name.removesuffix(".running_mean") + COUNTER
        for name in wanted
        if name.endswith(".running_mean")
    }
    known = wanted.keys() | counters
    surplus = sorted(
        name for name in weights.keys() - known if not name.startswith(tuple(left_out))
    )
    problems = [f"{name} is surplus" for name in surplus]
    problems += [f"{name} is missing" for name in sorted(wanted.keys() - weights.keys())]
    values = {}
    for name, (path, shape) in wanted.items():
        if name not in weights:
            continue
        value = _in_our_layout(weights[name], scalar=shape == ())
        if value.shape != shape:
            found, expected = list(weights[name].shape), _in_torch_layout(shape)
            problems.append(f"{name} has shape {found}, expected {expected}")
        elif not np.isfinite(value).all():
            problems.append(f"{name} holds values that are not finite")
        elif name.endswith(".running_var") and value.min() < 0:
            problems.append(f"{name} holds negative variances")
        if path is not None:
            values[path] = value
    if problems:
        raise UserError(f"{source} does not fit the network: {'; '.join(problems)}.")
    return values


def _in_our_layout(value: np.ndarray, *, scalar: bool) -> np.ndarray:
    """Convolutions OIHW → HWIO; attention scales [1] → scalars."""
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    return value.reshape(()) if scalar and value.size == 1 else value


def _in_torch_layout(shape: tuple[int, ...]) -> list[int]:
    """The inverse of `_in_our_layout`, for shapes."""
    if len(shape) == 4:
        height, width, features_in, features_out = shape
        return [features_out, features_in, height, width]
    return list(shape) or [1]


def _replaced(variables: Variables, values: Mapping[Path_, np.ndarray]) -> Variables:
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: values.get(_names(path), leaf), variables
    )


def _leaves(variables: Variables) -> dict[Path_, Any]:
    pairs = jax.tree_util.tree_leaves_with_path(variables)
    return {_names(path): leaf for path, leaf in pairs}


def _names(path: tuple[Any, ...]) -> Path_:
    """("params", "encoder", "layer1", "0", "conv1", "kernel")"""
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def _resnet_name(path: Path_) -> str:
    """torchvision's name: the attributes of our ResNet are named as there."""
    return ".".join((*path[2:-1], LEAVES[path[-1]]))


def _vgg_names(network: Network) -> Callable[[Path_], str]:
    """torchvision numbers convolutions, ReLUs and poolings of all groups in one sequence."""
    groups = network.shapes.params["encoder"]["groups"]
    lengths = [2 * len(groups[group]) + 1 for group in sorted(groups)]
    starts = [0, *itertools.accumulate(lengths)]

    def rename(path: Path_) -> str:
        group, index = int(path[3]), int(path[4])
        return f"features.{starts[group] + 2 * index}.{LEAVES[path[-1]]}"

    return rename


def _released_name(path: Path_) -> str:
    """The released network's name of one of our variables."""
    module, leaf = path[1:-1], path[-1]
    if module[0] == "encoder":
        return "res_" + ".".join((*module[1:], LEAVES[leaf]))
    if module[0] == "bridges":
        return f"squeeze{int(module[1]) + 2}.{_conv_or_bn(module[-1])}.{LEAVES[leaf]}"
    if module[0] == "heads":
        number = (1, 3, 4, 5)[int(module[1])]  # the finest is number 1
        return f"supervision{number}.{LEAVES[leaf]}"
    if module[0] == "last":
        return f"extra_conv{17 + _place(module[-2])}.{_conv_or_bn(module[-1])}.{LEAVES[leaf]}"
    return _released_stage_name(int(module[1]) + 2, module[2:], leaf)


def _released_stage_name(level: int, module: Path_, leaf: str) -> str:
    """Names within the stage of a level: attentions, fusion, decoder."""
    kind = module[0]
    if kind in ("transfer_high", "transfer_low"):
        # 1, 2 and 3, 4 belong to level 4, the next four to level 3, the last to level 2.
        first = 4 * (4 - level) + (1 if kind == "transfer_high" else 3)
        number = first + _place(module[-2])
        return f"extra_conv{number}.{_conv_or_bn(module[-1])}.{LEAVES[leaf]}"
    if leaf in ("alpha", "beta"):
        return f"{'PAM' if leaf == 'alpha' else 'CAM'}{level}.gamma"
    if kind == "position":
        names = {"query": "conv_high", "key": "conv_low", "value": "value_conv"}
        return f"PAM{level}.{names[module[-1]]}.{LEAVES[leaf]}"
    part = module[1]
    if part == "decode":
        place = _place(module[2]) + 1
        return f"decoder{level}_conv{place}.{_conv_or_bn(module[-1])}.{LEAVES[leaf]}"
    if part in ("reduce", "refine1"):
        name = {"reduce": "reducedim", "refine1": "conv1"}[part]
        return f"fusion{level}.{name}.{_conv_or_bn(module[-1])}.{LEAVES[leaf]}"
    return f"fusion{level}.{ {'refine2': 'conv2', 'weight': 'conv3'}[part] }.{LEAVES[leaf]}"


def _place(name: str) -> int:
    return ("first", "second").index(name)


def _conv_or_bn(name: str) -> int:
    """In PyTorch's sequences the convolution is number 0, its batch norm number 1."""
    return ("conv", "bn").index(name)

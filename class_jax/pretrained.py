"""Weights from PyTorch, strictly: a file fits a network in every name and shape, or is refused.

The table runs from our names to PyTorch's. Whatever a network needs and the file lacks, whatever
the file holds beyond that, every shape that differs and every value that is not finite is named in
one error.
"""

import hashlib
import itertools
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.flax

from class_jax.errors import UserError
from class_jax.models.build import Network, Variables

Weights = dict[str, np.ndarray]
Path_ = tuple[str, ...]

HUB = "hf://"
# Of the recipes' defaults: a file that was exchanged would start runs from something else.
SHA256 = {
    "hf://timm/resnet50.tv_in1k/model.safetensors": (
        "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888"
    ),
}
# What image classifiers hold beyond the trunk, and counters: the only names that are left out.
CLASSIFIER_HEADS = ("fc.", "classifier.", "pre_logits.", "head.")
COUNTER = ".num_batches_tracked"
# In the released checkpoint, but not in use by its network.
UNUSED_IN_RELEASED = ("squeeze1.",)
NAMED_DIFFERENCES = 20  # how many of them a message lists

LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


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
    shapes = {
        path: leaf.shape for path, leaf in _leaves(network.shapes).items() if path[1] == "encoder"
    }
    values = _match(weights, shapes, rename, source, unused=CLASSIFIER_HEADS)
    return _replaced(variables, values)


def load_released(source: str, network: Network) -> Variables:
    """All variables from a checkpoint of the authors' released network.

    Raises:
      UserError: the file cannot be read, or does not fit.
    """
    weights = read_weights(source)
    shapes = {path: leaf.shape for path, leaf in _leaves(network.shapes).items()}
    values = _match(weights, shapes, _released_name, source, unused=UNUSED_IN_RELEASED)
    return _replaced(network.shapes, values)


def read_weights(source: str) -> Weights:
    """Names and float32 arrays of a `.safetensors` or PyTorch file, in PyTorch's layout."""
    path = _fetched(source) if source.startswith(HUB) else Path(source).expanduser()
    if not path.is_file():
        raise UserError(f"{source}: there is no such file of weights.")
    tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def _fetched(source: str) -> Path:
    """A file of a repository on the Hugging Face hub, from its cache or downloaded."""
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - slow to import
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415
    from huggingface_hub.utils import logging  # noqa: PLC0415

    logging.set_verbosity_error()  # it tells of its every retry

    parts = source.removeprefix(HUB).split("/", 2)
    if len(parts) != 3:
        raise UserError(f"{source}: expected hf://owner/name/file.")
    owner, name, file = parts
    try:
        path = Path(hf_hub_download(f"{owner}/{name}", file))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(
            f"{source} could not be downloaded: fetch https://huggingface.co/{owner}/{name}/"
            f"resolve/main/{file} by other means and give its path by config.model.pretrained, or "
            "start from random weights by --config.model.pretrained=None."
        ) from error
    _check_digest(source, path)
    return path


def _check_digest(source: str, path: Path) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256.get(source, digest):
        raise UserError(
            f"{source} is not the file it was: its SHA-256 is {digest}, expected {SHA256[source]}. "
            f"Remove {path} and try again, or give a file of your own by config.model.pretrained."
        )


def _read_safetensors(path: Path) -> Weights:
    try:
        tensors = safetensors.flax.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is not a whole safetensors file: {error}.") from error
    return {name: np.asarray(value, np.float32) for name, value in tensors.items()}


def _read_torch(path: Path) -> Weights:
    try:
        import torch  # noqa: PLC0415 - optional
    except ImportError as error:
        raise UserError(
            f"{path} is a PyTorch file, and PyTorch is not installed: pip install torch, or give "
            "a .safetensors file."
        ) from error
    try:
        with warnings.catch_warnings(action="ignore"):  # on its way to a refusal, torch warns
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is not a PyTorch file of plain tensors ({_first_line(error)}): files that "
            "hold other objects are refused, as loading them could run code, and so is the tar "
            "format of before PyTorch 0.2; torchvision's ResNet-50 is to be had as "
            "hf://timm/resnet50.tv_in1k/model.safetensors."
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(map(torch.is_tensor, content.values())):
        raise UserError(f"{path} holds no state dict: expected names with tensors.")
    return {name: value.to(torch.float32).numpy() for name, value in content.items()}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _match(
    weights: Weights,
    shapes: Mapping[Path_, tuple[int, ...]],
    rename: Callable[[Path_], str],
    source: str,
    *,
    unused: Sequence[str],
) -> dict[Path_, np.ndarray]:
    """Our path → value in our layout, or one error that names every difference."""
    wanted = {rename(path): path for path in shapes}
    surplus = [
        name
        for name in weights.keys() - wanted.keys()
        if not name.startswith(tuple(unused)) and not name.endswith(COUNTER)
    ]
    problems = [f"{name} is surplus" for name in sorted(surplus)]
    problems += [f"{name} is missing" for name in sorted(wanted.keys() - weights.keys())]
    values = {}
    for name, path in wanted.items():
        if name not in weights:
            continue
        value = _in_our_layout(weights[name], scalar=shapes[path] == ())
        if value.shape != shapes[path]:
            problems.append(f"{name} has shape {list(weights[name].shape)}, which does not fit")
        elif not np.isfinite(value).all():
            problems.append(f"{name} holds values that are not finite")
        values[path] = value
    if problems:
        listed = "; ".join(problems[:NAMED_DIFFERENCES])
        more = len(problems) - NAMED_DIFFERENCES
        raise UserError(
            f"{source} does not fit the network: {listed}{f'; and {more} more' * (more > 0)}."
        )
    return values


def _in_our_layout(value: np.ndarray, *, scalar: bool) -> np.ndarray:
    """Convolutions OIHW → HWIO; attention scales [1] → scalars."""
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    return value.reshape(()) if scalar and value.size == 1 else value


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

"""The weights of an exported folder: our own names, float32, in one safetensors file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from class_jax.errors import UserError
from class_jax.models.network import Network, Variables, describe_difference
from class_jax.weights.files import read_weights, write_safetensors


def save_exported(path: Path, variables: Variables) -> None:
    """Write a network's values: "params/encoder/conv1/kernel" and so on, float32."""
    arrays = {name: np.asarray(leaf, np.float32) for name, leaf in _flatten(variables).items()}
    write_safetensors(path, arrays, {"format": "class_jax"})


def load_exported(path: Path, network: Network) -> Variables:
    """Return a network's values from such a file.

    Raises:
      UserError: the file is damaged or of another network, or holds values that are not finite.
    """
    arrays = read_weights(str(path))
    names = _flatten(network.shapes)
    if difference := describe_difference({name: names[name] for name in names}, arrays):
        raise UserError(f"{path} is of another network than its configuration: {difference}.")
    if broken := [name for name, value in arrays.items() if not np.isfinite(value).all()]:
        raise UserError(f"{path}: {broken[0]} holds values that are not finite.")
    treedef = jax.tree.structure(network.shapes)
    return jax.tree.unflatten(treedef, [arrays[name] for name in names])


def _flatten(tree: Variables) -> Mapping[str, Any]:
    """Return the leaves by their names, in the order of the tree."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }

"""The weights of an exported folder: our own names, in one safetensors file."""

from pathlib import Path

import jax
import numpy as np

from class_jax.errors import UserError
from class_jax.models.network import Network, Variables, describe_difference
from class_jax.weights.files import read_weights, write_safetensors
from class_jax.weights.load import named_leaves


def save_exported(
    path: Path, variables: Variables, *, kernels: type[np.floating] = np.float32
) -> None:
    """Write a network's values: "params/encoder/conv1/kernel" and so on.

    Kernels have the type `kernels`; all else, which is small, is float32.
    """
    with np.errstate(over="ignore"):  # infinite values are found when they are loaded
        arrays = {
            name: np.asarray(leaf, kernels if leaf.ndim == 4 else np.float32)
            for name, leaf in named_leaves(variables).items()
        }
    write_safetensors(path, arrays)


def load_exported(path: Path, network: Network) -> Variables:
    """Return a network's values from such a file, float32.

    Raises:
      UserError: the file is damaged or of another network, or holds values that are not finite.
    """
    arrays = read_weights(str(path))
    shapes = named_leaves(network.shapes)
    if difference := describe_difference(shapes, arrays):
        raise UserError(f"{path} is of another network than its configuration: {difference}.")
    if broken := [name for name, value in arrays.items() if not np.isfinite(value).all()]:
        raise UserError(f"{path}: {broken[0]} holds values that are not finite.")
    treedef = jax.tree.structure(network.shapes)
    return jax.tree.unflatten(treedef, [arrays[name] for name in shapes])

"""Networks as safetensors files: under our names in exported folders, or the authors' names.

What the authors' network never uses is kept beside a run.
"""

from pathlib import Path

import jax
import numpy as np

from class_jax.errors import UserError
from class_jax.models.network import Network, Variables, describe_difference, named_leaves
from class_jax.weights.files import COUNTER, Weights, read_weights, write_safetensors
from class_jax.weights.load import UNUSED_IN_RELEASED, list_released_names, to_torch_layout


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


def save_unused(source: str, path: Path) -> None:
    """Write what an authors' checkpoint holds beyond the network: a bridge, and counters.

    Raises:
      UserError: the source cannot be read.
    """
    weights = read_weights(source)
    unused = [name for name in weights if name.endswith(COUNTER) or name in UNUSED_IN_RELEASED]
    write_safetensors(path, {name: weights[name] for name in unused})


def save_released(path: Path, network: Network, variables: Variables, unused: Path | None) -> None:
    """Write a network as the authors' state dict, float32.

    Args:
      path: a `.safetensors` file.
      network: of the released form.
      variables: its values.
      unused: what `save_unused` wrote; None: the unused bridge is that of a network at step 0.
    """
    arrays = to_torch_layout(variables, list_released_names(network))
    beyond = read_weights(str(unused)) if unused else _fill_unused()
    write_safetensors(path, arrays | beyond)


def _fill_unused() -> Weights:
    """Return the bridge that the authors' network creates and never uses."""
    return {
        name: np.full(shape, float(name.endswith(("1.weight", "var"))), np.float32)
        for name, shape in UNUSED_IN_RELEASED.items()
    }

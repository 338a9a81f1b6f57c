"""The authors' state dict, both ways: what their network never uses is kept beside a run."""

from pathlib import Path

import numpy as np

from class_jax.models.network import Network, Variables
from class_jax.weights.files import COUNTER, Weights, read_weights, write_safetensors
from class_jax.weights.load import UNUSED_IN_RELEASED, list_released_names, to_torch_layout


def save_unused(source: str, path: Path) -> None:
    """Write what an authors' checkpoint holds beyond the network: a bridge, and counters.

    Raises:
      UserError: the source cannot be read.
    """
    weights = _read_with_counters(source)
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
    beyond = _read_with_counters(str(unused)) if unused else _fill_unused()
    write_safetensors(path, arrays | beyond)


def _read_with_counters(source: str) -> Weights:
    """Return the arrays of a file of weights, counters as the integers that they are."""
    return {
        name: value.astype(np.int64) if name.endswith(COUNTER) else value
        for name, value in read_weights(source).items()
    }


def _fill_unused() -> Weights:
    """Return the bridge that the authors' network creates and never uses."""
    return {
        name: np.full(shape, float(name.endswith(("1.weight", "var"))), np.float32)
        for name, shape in UNUSED_IN_RELEASED.items()
    }

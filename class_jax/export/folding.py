"""Fold batch norms into the convolutions before them."""

from typing import Any

import jax
import numpy as np

from class_jax.models.layers import EPSILON
from class_jax.models.network import Variables


def fold_batch_norms(variables: Variables, *, epsilon: float) -> Variables:
    """Return values of the same network whose batch norms only add a bias; in float64 meanwhile.

    `epsilon`: of the encoder's batch norms.

    With slope = scale / √(var + ε), a batch norm of a convolution is the convolution by
    slope · kernel, plus bias + slope · (the convolution's bias − mean).
    """
    params = jax.tree.map(np.asarray, variables.params)  # new dictionaries, which are changed here
    batch_stats = jax.tree.map(np.asarray, variables.batch_stats)
    for name, stats in batch_stats.items():
        _fold(params[name], stats, epsilon if name == "encoder" else EPSILON)
    return Variables(params, batch_stats)


def _fold(params: dict[Any, Any], stats: dict[Any, Any], epsilon: float) -> None:
    """Fold the batch norms of a module, in place."""
    for name, module in stats.items():
        if "mean" not in module:
            _fold(params[name], module, epsilon)
            continue
        # Of bn1 it is conv1, of 1 in a sequence 0.
        before = name - 1 if isinstance(name, int) else name.replace("bn", "conv")
        conv, norm = params[before], params[name]
        scale, bias, mean, var = (
            np.asarray(value, np.float64)
            for value in (norm["scale"], norm["bias"], module["mean"], module["var"])
        )
        slope = scale / np.sqrt(var + epsilon)
        inner = np.asarray(conv.get("bias", 0.0), np.float64)
        conv["kernel"] = (conv["kernel"] * slope).astype(np.float32)
        if "bias" in conv:
            conv["bias"] = np.zeros_like(conv["bias"])
        norm["bias"] = (bias + slope * (inner - mean)).astype(np.float32)
        norm["scale"] = np.ones_like(norm["scale"])
        module["mean"] = np.zeros_like(module["mean"])
        module["var"] = np.full_like(module["var"], 1.0 - epsilon)

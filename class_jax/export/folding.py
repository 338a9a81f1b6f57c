"""Fold batch norms into the convolutions before them."""

from typing import Any

import jax
import numpy as np

from class_jax.models.layers import EPSILON
from class_jax.models.network import Variables

IDENTITY = {"scale": 1.0, "mean": 0.0, "var": 1.0 - EPSILON}  # of a batch norm, but for its bias


def fold_batch_norms(variables: Variables) -> Variables:
    """Return values of the same network whose batch norms only add a bias; in float64 meanwhile.

    With slope = scale / √(var + ε), a batch norm of a convolution is the convolution by
    slope · kernel, plus bias + slope · (the convolution's bias − mean).
    """
    params = jax.tree.map(np.asarray, variables.params)  # new dictionaries, which are changed here
    batch_stats = jax.tree.map(np.asarray, variables.batch_stats)
    _fold(params, batch_stats)
    return Variables(params, batch_stats)


def _fold(params: dict[Any, Any], stats: dict[Any, Any]) -> None:
    """Fold the batch norms of a module, in place."""
    for name, module in stats.items():
        if "mean" not in module:
            _fold(params[name], module)
            continue
        conv, norm = params[_convolution_of(name)], params[name]
        scale, bias, mean, var = (
            np.asarray(value, np.float64)
            for value in (norm["scale"], norm["bias"], module["mean"], module["var"])
        )
        slope = scale / np.sqrt(var + EPSILON)
        inner = np.asarray(conv.get("bias", 0.0), np.float64)
        conv["kernel"] = (conv["kernel"] * slope).astype(np.float32)
        if "bias" in conv:
            conv["bias"] = np.zeros_like(conv["bias"])
        norm["bias"] = (bias + slope * (inner - mean)).astype(np.float32)
        norm["scale"] = np.full_like(norm["scale"], IDENTITY["scale"])
        for part in ("mean", "var"):
            module[part] = np.full_like(module[part], IDENTITY[part])


def _convolution_of(norm: Any) -> Any:
    """Return the name of the convolution before a batch norm: conv1 of bn1, 0 of 1."""
    return norm - 1 if isinstance(norm, int) else norm.replace("bn", "conv")

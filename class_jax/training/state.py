"""The training state: everything a step reads and writes."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from class_jax.models.build import Variables


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Frozen pytree; the data position and all randomness follow from `step`."""

    step: jax.Array  # int32 scalar: updates done so far
    variables: Variables
    opt_state: Any


def initial_state(variables: Variables, optimizer: optax.GradientTransformation) -> TrainState:
    """Step 0 of a training run that starts from `variables`."""
    variables = jax.tree.map(jnp.asarray, variables)
    return TrainState(jnp.zeros((), jnp.int32), variables, optimizer.init(variables.params))

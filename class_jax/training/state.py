"""The training state: everything a step reads and writes, and its two parts in a checkpoint."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Sharding

from class_jax.models.network import Network, Tree, Variables
from class_jax.runs.checkpoints import Checkpoints
from class_jax.runs.manifest import DamagedError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """A frozen pytree; the data position and all randomness follow from `step`."""

    step: jax.Array  # int32 scalar: updates done so far
    variables: Variables
    opt_state: Any
    ema: Tree = None  # moving average of the parameters, if one is kept

    @property
    def eval_variables(self) -> Variables:
        """Return the variables that are validated and that predict."""
        return self.variables if self.ema is None else self.variables._replace(params=self.ema)


def init_state(
    variables: Variables, optimizer: optax.GradientTransformation, *, ema: bool = False
) -> TrainState:
    """Return step 0 of a run from `variables`; `ema`: keep a moving average."""
    variables = jax.tree.map(jnp.asarray, variables)
    # A copy, because the step writes to the state's buffers, and to each only once.
    average = jax.tree.map(jnp.copy, variables.params) if ema else None
    # In one program: on its own every shape of a parameter would compile another.
    opt_state = jax.jit(optimizer.init)(variables.params)
    return TrainState(jnp.zeros((), jnp.int32), variables, opt_state, average)


def save_state(
    checkpoints: Checkpoints,
    state: TrainState,
    scores: Mapping[str, float] | None = None,
    *,
    untrained: bool = False,
) -> None:
    """Save the state with its validation scores, in the background; `untrained`: as a start."""
    checkpoints.save(int(state.step), _split(state), scores=scores, untrained=untrained)


def restore_latest(
    checkpoints: Checkpoints,
    network: Network,
    optimizer: optax.GradientTransformation,
    *,
    ema: bool = False,
    sharding: Sharding,
) -> TrainState:
    """Return the state of the latest checkpoint.

    Raises:
      UserError: it is of another network.
      DamagedError: it cannot be read, or is that of another step.
    """
    shapes = jax.eval_shape(lambda values: init_state(values, optimizer, ema=ema), network.shapes)
    latest = checkpoints.steps()[-1]
    parts = checkpoints.restore(latest, _split(shapes), sharding)
    variables, training = Variables(**parts["variables"]), parts["training"]
    if (step := int(training["step"])) != latest:  # a folder that somebody renamed or copied
        raise DamagedError(latest, f"it is that of step {step}")
    average = variables.params if ema else None
    if ema:
        variables = variables._replace(params=training["params"])
    return TrainState(training["step"], variables, training["opt_state"], average)


def _split(state: TrainState) -> dict[str, Tree]:
    """Split a state into the variables for prediction and the rest for training."""
    training = {"step": state.step, "opt_state": state.opt_state}
    if state.ema is not None:
        training["params"] = state.variables.params
    return {"variables": state.eval_variables._asdict(), "training": training}

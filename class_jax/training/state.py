"""The training state: everything a step reads and writes."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from class_jax.models.network import Tree, Variables


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Frozen pytree; the data position and all randomness follow from `step`."""

    step: jax.Array  # int32 scalar: updates done so far
    variables: Variables
    opt_state: Any
    ema: Tree = None  # moving average of the parameters, where one is kept

    @property
    def eval_variables(self) -> Variables:
        """What is validated, saved for prediction, and called best."""
        return self.variables if self.ema is None else self.variables._replace(params=self.ema)


def initial_state(
    variables: Variables, optimizer: optax.GradientTransformation, *, ema: bool = False
) -> TrainState:
    """Step 0 of a training run that starts from `variables`; `ema`: keep a moving average."""
    variables = jax.tree.map(jnp.asarray, variables)
    # A copy, because the step is given each buffer of the state to write to, and once.
    average = jax.tree.map(jnp.copy, variables.params) if ema else None
    return TrainState(
        jnp.zeros((), jnp.int32), variables, optimizer.init(variables.params), average
    )


def training_part(state: TrainState) -> dict[str, Any]:
    """What a checkpoint holds beside the variables that are evaluated."""
    part = {"step": state.step, "opt_state": state.opt_state}
    return part if state.ema is None else {**part, "params": state.variables.params}


def restored_state(evaluated: Variables, training: dict[str, Any]) -> TrainState:
    """The state of a checkpoint's two parts."""
    if "params" not in training:
        return TrainState(training["step"], evaluated, training["opt_state"])
    variables = evaluated._replace(params=training["params"])
    return TrainState(training["step"], variables, training["opt_state"], evaluated.params)

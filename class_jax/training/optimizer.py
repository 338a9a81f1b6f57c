"""SGD as the paper uses it (§4.1): two learning rates, warm-up, linear decay."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

Schedule = Callable[[jax.Array], jax.Array]


def triangle(peak: float, *, total_steps: int, warmup: float) -> Schedule:
    """Linear warm-up from 0 to `peak`, then linear decay to 0 at `total_steps`.

    lr(t) = peak · min(t/w, (1−t)/(1−w)) with t = step/total_steps and w the share of warm-up;
    w = ½ is the paper's symmetric triangle, peak · (1 − |2t − 1|).

    Args:
      peak: the largest learning rate.
      total_steps: length of the whole schedule, in steps.
      warmup: w, from 0 (none) to 1 (no decay).
    """

    def schedule(step: jax.Array) -> jax.Array:
        t = jnp.clip(step / total_steps, 0.0, 1.0)
        rising = t / warmup if warmup > 0 else jnp.inf
        falling = (1 - t) / (1 - warmup) if warmup < 1 else jnp.inf
        return peak * jnp.minimum(rising, falling)

    return schedule


def sgd(
    lr: Schedule, lr_backbone: Schedule, *, momentum: float, nesterov: bool, weight_decay: float
) -> optax.GradientTransformation:
    """SGD over two parameter groups, the pretrained encoder and everything else.

    Weight decay is added to the gradient before momentum, as PyTorch's SGD does, and acts on
    every parameter, batch norm's included.
    """

    def group(schedule: Schedule) -> optax.GradientTransformation:
        return optax.chain(
            optax.add_decayed_weights(weight_decay),
            optax.sgd(schedule, momentum=momentum, nesterov=nesterov),
        )

    return optax.partition({"backbone": group(lr_backbone), "rest": group(lr)}, _groups)


def _groups(params: dict[str, Any]) -> dict[str, Any]:
    """The group of each parameter: a tree prefix, one label for each module of the network."""
    return {name: "backbone" if name == "encoder" else "rest" for name in params}

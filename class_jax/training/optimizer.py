"""SGD as the paper uses it (§4.1): two learning rates, warm-up, linear decay."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from class_jax.models.network import Network, name_of

Schedule = Callable[[jax.Array], jax.Array]


def make_optimizer(
    train: ConfigDict, network: Network, *, total_steps: int
) -> tuple[optax.GradientTransformation, dict[str, Schedule]]:
    """Return SGD as the `train` section describes it, and its schedules `lr` and `lr_backbone`.

    The backbone and everything else are groups with rates of their own; what `train.freeze` names
    keeps its values. Weight decay is added to the gradient before momentum, as in PyTorch's SGD,
    and acts on every parameter, batch norm's included.
    """
    rate = functools.partial(triangle, total_steps=total_steps, warmup=train.warmup)
    rates = {"lr": rate(train.lr), "lr_backbone": rate(train.lr_backbone)}
    frozen = network.freeze(train.freeze, statistics=False)

    def group(schedule: Schedule) -> optax.GradientTransformation:
        return optax.chain(
            optax.add_decayed_weights(train.weight_decay),
            optax.sgd(schedule, momentum=train.momentum, nesterov=train.nesterov),
        )

    def label(path: tuple[Any, ...], _: jax.Array) -> str:
        name = name_of(path)
        if name.startswith(frozen.params):
            return "frozen"
        return "backbone" if name.startswith("encoder/") else "decoder"

    groups = {
        "backbone": group(rates["lr_backbone"]),
        "decoder": group(rates["lr"]),
        "frozen": optax.set_to_zero(),
    }
    labels = functools.partial(jax.tree_util.tree_map_with_path, label)
    return optax.partition(groups, labels), rates


def triangle(peak: float, *, total_steps: int, warmup: float) -> Schedule:
    """Return a schedule: linear warm-up from 0 to `peak`, then linear decay to 0.

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

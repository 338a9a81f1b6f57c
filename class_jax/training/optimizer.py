"""SGD as the paper uses it (§4.1): two learning rates, warm-up, linear decay."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from class_jax.models.network import NOT_FROZEN, Frozen, Network, name_of

Schedule = Callable[[jax.Array], jax.Array]


def make_optimizer(
    train: ConfigDict, network: Network, *, total_steps: int
) -> tuple[optax.GradientTransformation, dict[str, Schedule]]:
    """Return the optimiser of the `train` section, and its schedules `lr` and `lr_backbone`."""
    rate = functools.partial(triangle, total_steps=total_steps, warmup=train.warmup)
    rates = {"lr": rate(train.lr), "lr_backbone": rate(train.lr_backbone)}
    optimizer = sgd(
        **rates,
        momentum=train.momentum,
        nesterov=train.nesterov,
        weight_decay=train.weight_decay,
        frozen=network.freeze(train.freeze, statistics=False),
    )
    return optimizer, rates


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


def sgd(
    lr: Schedule,
    lr_backbone: Schedule,
    *,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    frozen: Frozen = NOT_FROZEN,
) -> optax.GradientTransformation:
    """Return SGD over two groups of parameters, the backbone and everything else.

    Weight decay is added to the gradient before momentum, as in PyTorch's SGD, and acts on every
    parameter, batch norm's included.

    Args:
      lr: schedule of the decoder.
      lr_backbone: schedule of the backbone.
      momentum: of both groups.
      nesterov: look ahead.
      weight_decay: of both groups.
      frozen: the backbone's parameters that keep their values.
    """

    def group(schedule: Schedule) -> optax.GradientTransformation:
        return optax.chain(
            optax.add_decayed_weights(weight_decay),
            optax.sgd(schedule, momentum=momentum, nesterov=nesterov),
        )

    def label(path: tuple[Any, ...], leaf: jax.Array) -> str:
        del leaf
        if frozen.holds(path):
            return "frozen"
        return "backbone" if name_of(path).startswith("encoder/") else "decoder"

    groups = {"backbone": group(lr_backbone), "decoder": group(lr), "frozen": optax.set_to_zero()}
    labels = functools.partial(jax.tree_util.tree_map_with_path, label)
    return optax.partition(groups, labels)

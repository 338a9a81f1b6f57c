"""SGD as the paper uses it (§4.1): two learning rates, warm-up, linear decay."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from class_jax.models.network import Network

Schedule = Callable[[jax.Array], jax.Array]


def make_optimizer(
    train: ConfigDict, network: Network, *, total_steps: int
) -> tuple[optax.GradientTransformation, dict[str, Schedule]]:
    """Return the configured optimizer, and its learning rates `lr` and `lr_backbone`."""
    del network
    rate = functools.partial(triangle, total_steps=total_steps, warmup=train.warmup)
    rates = {"lr": rate(train.lr), "lr_backbone": rate(train.lr_backbone)}
    optimizer = sgd(
        **rates,
        momentum=train.momentum,
        nesterov=train.nesterov,
        weight_decay=train.weight_decay,
        freeze_stem=train.freeze_stem,
    )
    return optimizer, rates


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
    lr: Schedule,
    lr_backbone: Schedule,
    *,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    freeze_stem: bool = False,
) -> optax.GradientTransformation:
    """SGD over two parameter groups, the pretrained encoder and everything else.

    Weight decay is added to the gradient before momentum, as PyTorch's SGD does, and acts on
    every parameter, batch norm's included. With `freeze_stem` the encoder's stem (ResNet's first
    convolution and batch norm, VGG's first group) keeps its values; its batch statistics, which
    no optimiser touches, go on moving.
    """

    def group(schedule: Schedule) -> optax.GradientTransformation:
        return optax.chain(
            optax.add_decayed_weights(weight_decay),
            optax.sgd(schedule, momentum=momentum, nesterov=nesterov),
        )

    groups = {"backbone": group(lr_backbone), "rest": group(lr), "frozen": optax.set_to_zero()}

    def label(path: tuple[Any, ...], _: jax.Array) -> str:
        names = [jax.tree_util.keystr((key,), simple=True) for key in path]
        if names[0] != "encoder":
            return "rest"
        stem = names[1] in ("conv1", "bn1") or names[1:3] == ["groups", "0"]
        return "frozen" if freeze_stem and stem else "backbone"

    def labels(params: dict[str, Any]) -> dict[str, Any]:
        return jax.tree_util.tree_map_with_path(label, params)

    return optax.partition(groups, labels)

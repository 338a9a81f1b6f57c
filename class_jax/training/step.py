"""One training step: forward, loss, backward, update."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from class_jax.models.network import NOT_FROZEN, Frozen, Network, Tree, Variables
from class_jax.sharding import BATCH_AXIS, batch_sharding, compiler_options, replicated_sharding
from class_jax.training.optimizer import Schedule
from class_jax.training.state import TrainState

Metrics = dict[str, jax.Array]
Loss = Callable[[jax.Array, jax.Array], tuple[jax.Array, Metrics]]
DeviceBatch = Mapping[str, jax.Array]
TrainStep = Callable[[TrainState, DeviceBatch], tuple[TrainState, Metrics]]
Gradient = Callable[[Variables, DeviceBatch], tuple[Tree, Tree, Metrics]]


def make_train_step(
    network: Network,
    optimizer: optax.GradientTransformation,
    loss: Loss,
    *,
    train: ConfigDict,
    rates: Mapping[str, Schedule],
    mesh: Mesh,
) -> TrainStep:
    """Return a jitted step: the batch is sharded, the state donated.

    The program is written for the global batch, so batch norm sees the global batch, and the
    result does not depend on the number of devices (but for rounding).

    The step takes uint8 batches {"image": [B, H, W, 3], "mask": [B, H, W]}, and returns the new
    state and scalar metrics: `loss`, the loss's own terms, `grad_norm` and the learning rates.

    Args:
      network: the network to train.
      optimizer: updates the parameters.
      loss: maps logits [K, B, H, W] and masks [B, H, W] to a scalar and its terms: `class_loss`.
      train: `freeze` and `freeze_statistics`, see `Network.freeze`; `accumulate`, the number of
        micro-batches that a batch is computed in, one after another, which needs that much less
        memory; batch norm sees one at a time, and otherwise the update is the undivided batch's;
        `ema_decay` of the state's moving average, if it has one:
        ema ← d·ema + (1 − d)·params, d = min(ema_decay, (1 + step) / (10 + step)).
      rates: the learning rates to log, by name.
      mesh: the devices.
    """
    frozen = network.freeze(train.freeze, statistics=train.freeze_statistics)
    gradient = make_gradient(network, loss, frozen=frozen)

    def step(state: TrainState, batch: DeviceBatch) -> tuple[TrainState, Metrics]:
        if train.accumulate == 1:
            grads, batch_stats, metrics = gradient(state.variables, batch)
        else:
            micro_batches = _split(batch, train.accumulate, mesh)
            grads, batch_stats, metrics = _accumulate(gradient, state.variables, micro_batches)
        metrics["grad_norm"] = optax.tree.norm(grads)
        metrics |= {name: rate(state.step) for name, rate in rates.items()}
        return _update(state, grads, batch_stats, optimizer, train.ema_decay), metrics

    replicated, sharded = replicated_sharding(mesh), batch_sharding(mesh)
    return jax.jit(
        step,
        in_shardings=(replicated, sharded),
        out_shardings=(replicated, replicated),
        donate_argnums=0,
        compiler_options=compiler_options(mesh),
    )


def make_gradient(network: Network, loss: Loss, *, frozen: Frozen = NOT_FROZEN) -> Gradient:
    """Return a function (variables, batch) → (gradient, statistics, metrics)."""

    def gradient(variables: Variables, batch: DeviceBatch) -> tuple[Tree, Tree, Metrics]:
        masks = batch["mask"].astype(jnp.float32) / 255

        def compute_loss(params: Tree) -> tuple[jax.Array, tuple[Tree, Metrics]]:
            logits, batch_stats = network.apply_train(
                Variables(params, variables.batch_stats), batch["image"], frozen=frozen
            )
            value, terms = loss(logits, masks)
            return value, (batch_stats, {"loss": value, **terms})

        grads, (batch_stats, metrics) = jax.grad(compute_loss, has_aux=True)(variables.params)
        return grads, batch_stats, metrics

    return gradient


@jax.named_scope("update")
def _update(
    state: TrainState,
    grads: Tree,
    batch_stats: Tree,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
) -> TrainState:
    """Return the state after an update by `grads`."""
    params = state.variables.params
    updates, opt_state = optimizer.update(grads, state.opt_state, params)
    params = optax.apply_updates(params, updates)
    ema = state.ema
    if ema is not None:
        # At first the average is of few steps, so that it forgets where training started.
        decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
        ema = optax.incremental_update(params, ema, 1 - decay)
    return TrainState(state.step + 1, Variables(params, batch_stats), opt_state, ema)


def _split(batch: DeviceBatch, count: int, mesh: Mesh) -> DeviceBatch:
    """Split [B, …] into [count, B / count, …], sharded along the second axis."""

    def split(x: jax.Array) -> jax.Array:
        # Every count-th image, so that none moves to another device.
        parts = x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1)
        sharding = NamedSharding(mesh, PartitionSpec(None, BATCH_AXIS))
        return jax.lax.with_sharding_constraint(parts, sharding)

    return jax.tree.map(split, batch)


def _accumulate(
    gradient: Gradient, variables: Variables, micro_batches: DeviceBatch
) -> tuple[Tree, Tree, Metrics]:
    """Return mean gradient, last statistics, mean metrics over [count, …]."""

    def add(carry: tuple[Tree, Tree], batch: DeviceBatch) -> tuple[tuple[Tree, Tree], Metrics]:
        total, batch_stats = carry
        grads, batch_stats, metrics = gradient(Variables(variables.params, batch_stats), batch)
        return (jax.tree.map(jnp.add, total, grads), batch_stats), metrics

    count = jax.tree.leaves(micro_batches)[0].shape[0]
    zeros = jax.tree.map(jnp.zeros_like, variables.params)
    (total, batch_stats), metrics = jax.lax.scan(add, (zeros, variables.batch_stats), micro_batches)
    mean = jax.tree.map(lambda x: x.mean(axis=0), metrics)
    return jax.tree.map(lambda x: x / count, total), batch_stats, mean

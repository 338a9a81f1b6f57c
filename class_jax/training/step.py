"""One training step: forward, loss, backward, update."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from class_jax.models.network import Network, Tree, Variables
from class_jax.sharding import BATCH_AXIS, batch_sharding, replicated_sharding
from class_jax.training.optimizer import Schedule
from class_jax.training.state import TrainState

Metrics = dict[str, jax.Array]
LossOfLogits = Callable[[jax.Array, jax.Array], tuple[jax.Array, Metrics]]
Batch = Mapping[str, jax.Array]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
Gradient = Callable[[Variables, Batch], tuple[Tree, Tree, Metrics]]


def make_train_step(
    network: Network,
    optimizer: optax.GradientTransformation,
    loss_of_logits: LossOfLogits,
    *,
    lr: Schedule,
    lr_backbone: Schedule,
    mesh: Mesh,
    accumulate: int = 1,
    ema_decay: float = 0.0,
) -> TrainStep:
    """A jitted step over `mesh`: the batch is sharded, the state replicated and donated.

    The program is written for the global batch, so batch norm sees the global batch, and the
    result does not depend on the number of devices (but for rounding).

    `loss_of_logits` is `class_loss`, or a part of it. The step takes uint8 batches {"image":
    [B, H, W, 3], "mask": [B, H, W]} and gives the new state and scalar metrics: `loss`, the finest
    stage's `loss_pixel`, `loss_region` and `loss_object`, `grad_norm`, `lr`, `lr_backbone`.

    With `accumulate` above 1 a batch is computed in so many micro-batches, one after another, and
    needs that much less memory. Batch norm then sees a micro-batch at a time; but for that the
    update is the undivided batch's. A state with a moving average has it updated:
    ema ← d·ema + (1 − d)·params, d = min(ema_decay, (1 + step) / (10 + step)).
    """
    gradient = make_gradient(network, loss_of_logits)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        if accumulate == 1:
            grads, batch_stats, metrics = gradient(state.variables, batch)
        else:
            grads, batch_stats, metrics = _accumulated(
                gradient, state.variables, _micro_batches(batch, accumulate, mesh)
            )
        metrics |= {
            "grad_norm": optax.tree.norm(grads),
            "lr": lr(state.step),
            "lr_backbone": lr_backbone(state.step),
        }
        return _updated(state, grads, batch_stats, optimizer, ema_decay), metrics

    replicated, sharded = replicated_sharding(mesh), batch_sharding(mesh)
    return jax.jit(
        step,
        in_shardings=(replicated, sharded),
        out_shardings=(replicated, replicated),
        donate_argnums=0,
    )


@jax.named_scope("update")
def _updated(
    state: TrainState,
    grads: Tree,
    batch_stats: Tree,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
) -> TrainState:
    """The state after a step with these gradients."""
    params = state.variables.params
    updates, opt_state = optimizer.update(grads, state.opt_state, params)
    params = optax.apply_updates(params, updates)
    ema = state.ema
    if ema is not None:
        # At first the average is of few steps, so that it forgets where training started.
        decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
        ema = optax.incremental_update(params, ema, 1 - decay)
    return TrainState(state.step + 1, Variables(params, batch_stats), opt_state, ema)


def make_gradient(network: Network, loss_of_logits: LossOfLogits) -> Gradient:
    """What gives the gradient of a batch's loss, the new batch statistics, and the loss's terms."""

    def gradient(variables: Variables, batch: Batch) -> tuple[Tree, Tree, Metrics]:
        images = batch["image"]
        masks = batch["mask"].astype(jnp.float32) / 255

        def loss_of(params: Tree) -> tuple[jax.Array, tuple[Tree, Metrics]]:
            logits, batch_stats = network.apply_train(
                Variables(params, variables.batch_stats), images
            )
            loss, terms = loss_of_logits(logits, masks)
            return loss, (batch_stats, {"loss": loss, **terms})

        grads, (batch_stats, metrics) = jax.grad(loss_of, has_aux=True)(variables.params)
        return grads, batch_stats, metrics

    return gradient


def _micro_batches(batch: Batch, count: int, mesh: Mesh) -> Batch:
    """[B, …] → [count, B / count, …], each micro-batch spread over all devices."""

    def split(x: jax.Array) -> jax.Array:
        # Every count-th image, so that none moves to another device.
        parts = x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1)
        spread = NamedSharding(mesh, PartitionSpec(None, BATCH_AXIS))
        return jax.lax.with_sharding_constraint(parts, spread)

    return jax.tree.map(split, batch)


def _accumulated(
    gradient: Gradient, variables: Variables, batches: Batch
) -> tuple[Tree, Tree, Metrics]:
    """As `gradient` of all micro-batches [count, …]: means, and statistics moved by each."""

    def add(carry: tuple[Tree, Tree], batch: Batch) -> tuple[tuple[Tree, Tree], Metrics]:
        total, batch_stats = carry
        grads, batch_stats, metrics = gradient(Variables(variables.params, batch_stats), batch)
        return (jax.tree.map(jnp.add, total, grads), batch_stats), metrics

    count = jax.tree.leaves(batches)[0].shape[0]
    zeros = jax.tree.map(jnp.zeros_like, variables.params)
    (total, batch_stats), metrics = jax.lax.scan(add, (zeros, variables.batch_stats), batches)
    mean = jax.tree.map(lambda x: x.mean(axis=0), metrics)
    return jax.tree.map(lambda x: x / count, total), batch_stats, mean

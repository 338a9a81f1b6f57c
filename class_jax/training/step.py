"""One training step: forward, loss, backward, update."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from class_jax.models.build import Network, Tree, Variables
from class_jax.models.network import normalize
from class_jax.sharding import batch_sharded, replicated
from class_jax.training.optimizer import Schedule
from class_jax.training.state import TrainState

Metrics = dict[str, jax.Array]
LossOfLogits = Callable[[jax.Array, jax.Array], tuple[jax.Array, Metrics]]
TrainStep = Callable[[TrainState, Mapping[str, jax.Array]], tuple[TrainState, Metrics]]


def make_train_step(
    network: Network,
    optimizer: optax.GradientTransformation,
    loss_of_logits: LossOfLogits,
    *,
    lr: Schedule,
    lr_backbone: Schedule,
    mesh: Mesh,
) -> TrainStep:
    """A jitted step over `mesh`: the batch is sharded, the state replicated and donated.

    The program is written for the global batch, so batch norm sees the global batch, and the
    result does not depend on the number of devices (but for rounding).

    `loss_of_logits` is `class_loss`, or a part of it. The step takes uint8 batches {"image":
    [B, H, W, 3], "mask": [B, H, W]} and gives the new state and scalar metrics: `loss`, the finest
    stage's `loss_pixel`, `loss_region` and `loss_object`, `grad_norm`, `lr`, `lr_backbone`.
    """

    def step(state: TrainState, batch: Mapping[str, jax.Array]) -> tuple[TrainState, Metrics]:
        images = normalize(batch["image"])
        masks = batch["mask"].astype(jnp.float32) / 255

        def loss_of(params: Tree) -> tuple[jax.Array, tuple[Tree, Metrics]]:
            variables = Variables(params, state.variables.batch_stats)
            logits, batch_stats = network.apply_train(variables, images)
            loss, terms = loss_of_logits(logits, masks)
            return loss, (batch_stats, terms)

        params = state.variables.params
        (loss, (batch_stats, terms)), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, state.opt_state, params)
        variables = Variables(optax.apply_updates(params, updates), batch_stats)
        metrics = {
            "loss": loss,
            **terms,
            "grad_norm": optax.tree.norm(grads),
            "lr": lr(state.step),
            "lr_backbone": lr_backbone(state.step),
        }
        return TrainState(state.step + 1, variables, opt_state), metrics

    whole, shared = replicated(mesh), batch_sharded(mesh)
    return jax.jit(
        step, in_shardings=(whole, shared), out_shardings=(whole, whole), donate_argnums=0
    )

"""The step on one and on eight devices, and what it computes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from class_jax.errors import UserError
from class_jax.losses import class_loss
from class_jax.models.network import normalize
from class_jax.sharding import check_divisible, put_batch
from tests.small_run import batches, mesh_of, small_run


def run_steps(run, count):
    """State and losses after `count` steps."""
    state, losses = run.start(), []
    for batch in itertools.islice(batches(), count):
        state, metrics = run.step(state, put_batch(batch, run.mesh))
        losses.append(float(metrics["loss"]))
    return state, losses


def test_eight_devices_compute_what_one_does(run_on_one, small_network):
    one, losses_of_one = run_steps(run_on_one, 4)
    eight, losses_of_eight = run_steps(small_run(small_network, mesh_of(8)), 4)
    np.testing.assert_allclose(losses_of_eight, losses_of_one, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-3, atol=1e-4),
        eight.variables,
        one.variables,
    )


def test_first_step_equals_loss_and_gradient_computed_by_hand(run_on_one, small_network):
    batch = next(batches())
    variables = jax.tree.map(jnp.asarray, small_network.initialize(0))
    images = normalize(jnp.asarray(batch["image"]))
    masks = jnp.asarray(batch["mask"]) / 255

    def loss_of(params):
        logits, _ = small_network.apply_train(variables._replace(params=params), images)
        return class_loss(logits, masks)[0]

    loss, gradient = jax.jit(jax.value_and_grad(loss_of))(variables.params)
    _, metrics = run_on_one.step(run_on_one.start(), put_batch(batch, run_on_one.mesh))
    assert float(metrics["loss"]) == pytest.approx(float(loss), rel=1e-5)
    norm = np.sqrt(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(gradient)))
    assert float(metrics["grad_norm"]) == pytest.approx(norm, rel=1e-3)
    assert float(metrics["lr"]) == 0.0


def test_training_learns_and_counts_steps(run_on_one):
    state, losses = run_steps(run_on_one, 12)
    assert int(state.step) == 12
    assert losses[-1] < 0.8 * losses[0]


def test_batch_that_the_devices_do_not_divide_is_refused():
    check_divisible(16, mesh_of(8), leaf="config.train.batch_size")
    with pytest.raises(UserError, match=r"config\.train\.batch_size = 12 does not divide over 8"):
        check_divisible(12, mesh_of(8), leaf="config.train.batch_size")

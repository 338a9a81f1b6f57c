"""The step on one and on eight devices, and what it computes."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.profile import PARTS, names_of, part_of
from class_jax.errors import UserError
from class_jax.losses import class_loss
from class_jax.models.network import build_network
from class_jax.sharding import check_divisible, put_batch
from tests.small_run import SMALL_MODEL, batches, mesh_of, small_run


def run_steps(run, count):
    """State and losses after `count` steps."""
    state, losses = run.start(), []
    # Batches on whose path no rounding is multiplied a thousand times within four steps.
    for batch in itertools.islice(batches(start=100), count):
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


@pytest.mark.device
def test_first_step_equals_loss_and_gradient_computed_by_hand(run_on_one, small_network):
    batch = next(batches())
    variables = jax.tree.map(jnp.asarray, small_network.initialize(0))
    images = jnp.asarray(batch["image"])
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


@pytest.mark.device
def test_training_learns_and_counts_steps(run_on_one):
    state, losses = run_steps(run_on_one, 12)
    assert int(state.step) == 12
    assert losses[-1] < 0.8 * losses[0]


class FrozenStatistics:
    """A network whose batch norm uses its running statistics, in training too."""

    def __init__(self, network):
        self.network = network

    def __getattr__(self, name):
        return getattr(self.network, name)

    def apply_train(self, variables, images, **_):
        return self.network.apply(variables, images), variables.batch_stats


@pytest.mark.device
def test_micro_batches_and_moving_average(small_network):
    network, batch = FrozenStatistics(small_network), next(batches())
    constant = {"lr": 0.01, "lr_backbone": 0.01, "warmup": 0.0, "total_steps": 10**9}

    def states(mesh, steps, **leaves):
        run = small_run(network, mesh, **constant, **leaves)
        state = run.start()
        for _ in range(steps):
            state, metrics = run.step(state, put_batch(batch, mesh))
            yield jax.device_get(state), jax.device_get(metrics)

    undivided = list(states(mesh_of(1), 2))
    divided = list(states(mesh_of(2), 2, accumulate=2, ema_decay=0.15))
    for (whole, whole_metrics), (parts, parts_metrics) in zip(undivided, divided, strict=True):
        for name, value in whole_metrics.items():
            assert parts_metrics[name] == pytest.approx(value, rel=1e-4), name
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
            parts.variables,
            whole.variables,
        )
        assert whole.ema is None
    # d = 1/10 after the first step, then 0.15, as (1 + 1) / (10 + 1) is more.
    average = jax.tree.map(np.asarray, small_network.initialize(0).params)
    for decay, (state, _) in zip((0.1, 0.15), divided, strict=True):
        average = jax.tree.map(
            lambda old, new, d=decay: (
                d * np.asarray(old, np.float64) + (1 - d) * np.asarray(new, np.float64)
            ),
            average,
            state.variables.params,
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
            state.ema,
            average,
        )
        assert state.eval_variables.params is state.ema


@pytest.mark.device
def test_bfloat16_follows_float32(run_on_one, one_device):
    network = build_network(SMALL_MODEL, dtype="bfloat16")
    half = small_run(network, one_device)
    state, losses = run_steps(half, 12)
    _, expected = run_steps(run_on_one, 12)
    np.testing.assert_allclose(losses[:4], expected[:4], rtol=0.02)
    assert losses[-1] < 0.6 * losses[0]  # later both learn on, along paths that rounding parts
    assert expected[-1] < 0.6 * expected[0]
    # What bfloat16 would spoil is kept in float32: weights, batch statistics, momentum, the loss.
    assert {leaf.dtype for leaf in jax.tree.leaves(state.variables)} == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim} == {
        jnp.dtype("float32")
    }
    program = half.step.lower(state, put_batch(next(batches()), one_device)).as_text()
    assert re.search(r"convolution.*bf16", program)  # and yet it computes in bfloat16


def test_a_profile_attributes_a_step_to_every_part_of_the_architecture(run_on_one):
    batch = put_batch(next(batches()), run_on_one.mesh)
    program = run_on_one.step.lower(run_on_one.start(), batch).compile().as_text()
    found = {part_of(name) for name in names_of(program).values()}
    directions = {"update": {""}, "loss": set()}  # the sum of the losses may be fused away
    for part in PARTS:
        for direction in directions.get(part, {"forward", "backward"}):
            assert (part, direction) in found


@pytest.fixture
def compilations():
    """The compilations since the test began, as they happen."""
    happened = []

    def listen(event, seconds, **_):
        if "backend_compile" in event:
            happened.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield happened
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.device
def test_each_size_is_compiled_once(run_on_one, compilations):
    state, of_size = run_on_one.start(), {side: next(batches(side=side)) for side in (64, 32)}

    def epoch(state):
        for side in (64, 32, 64):
            state, metrics = run_on_one.step(state, put_batch(of_size[side], run_on_one.mesh))
            jax.device_get(metrics)
        return state

    state = epoch(state)
    assert compilations  # of 32 at least: the listener hears it
    before = len(compilations)
    epoch(epoch(state))
    assert len(compilations) == before


def test_batch_that_the_devices_do_not_divide_is_refused():
    check_divisible(16, mesh_of(8), leaf="config.train.batch_size")
    with pytest.raises(UserError, match=r"config\.train\.batch_size = 12 does not divide over 8"):
        check_divisible(12, mesh_of(8), leaf="config.train.batch_size")
    check_divisible(16, mesh_of(4), 4, leaf="config.train.batch_size")
    with pytest.raises(UserError, match=r"over 4 devices in 3 micro-batches: .* of 12"):
        check_divisible(16, mesh_of(4), 3, leaf="config.train.batch_size")

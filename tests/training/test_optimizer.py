"""The schedule against its formula, SGD against PyTorch's update written out in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from class_jax.models.network import build_network
from class_jax.training.optimizer import make_optimizer, triangle
from tests.small_run import SMALL_MODEL, train_section


@settings(deadline=None)
@given(step=st.integers(0, 999), total=st.integers(1, 1000))
def test_half_warmup_is_the_papers_triangle(step, total):
    t = min(step / total, 1.0)
    expected = 0.05 * (1 - abs(2 * t - 1))
    got = triangle(0.05, total_steps=total, warmup=0.5)(step)
    assert float(got) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("warmup", "expected"), [(0.0, [1.0, 0.5, 0.0]), (1.0, [0.0, 0.5, 1.0])])
def test_all_decay_and_all_warmup(warmup, expected):
    schedule = triangle(1.0, total_steps=10, warmup=warmup)
    np.testing.assert_allclose([float(schedule(step)) for step in (0, 5, 10)], expected)


@pytest.mark.parametrize("nesterov", [False, True])
def test_updates_equal_pytorchs_sgd_with_two_learning_rates(nesterov, small_network):
    rng = np.random.default_rng(0)
    params = {
        "encoder": {"kernel": rng.standard_normal(5)},
        "heads": {"bias": rng.standard_normal(3)},
    }
    train = train_section(
        lr=0.05, lr_backbone=0.005, warmup=0.25, momentum=0.9, nesterov=nesterov, weight_decay=5e-4
    )
    optimizer, _ = make_optimizer(train, small_network, total_steps=8)
    rates = {
        "encoder": triangle(0.005, total_steps=8, warmup=0.25),
        "heads": triangle(0.05, total_steps=8, warmup=0.25),
    }
    ours = jax.tree.map(lambda leaf: jnp.array(leaf, jnp.float32), params)
    state = optimizer.init(ours)
    velocity = jax.tree.map(np.zeros_like, params)
    for step in range(8):
        grads = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape), params)
        updates, state = optimizer.update(
            jax.tree.map(lambda leaf: jnp.array(leaf, jnp.float32), grads), state, ours
        )
        ours = optax.apply_updates(ours, updates)
        for group, values in params.items():
            rate = float(rates[group](step))
            for name, value in values.items():
                decayed = grads[group][name] + 5e-4 * value
                velocity[group][name] = 0.9 * velocity[group][name] + decayed
                direction = (
                    decayed + 0.9 * velocity[group][name] if nesterov else velocity[group][name]
                )
                values[name] = value - rate * direction
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5), ours, params)


@pytest.mark.parametrize(
    ("changes", "stem"),
    [({}, {"conv1", "bn1"}), ({"backbone": "vgg", "stage_sizes": (1, 1, 1, 1, 1)}, {"groups"})],
)
def test_a_frozen_stem_holds_its_weights_alone(changes, stem):
    params = {
        "encoder": {name: {"kernel": jnp.ones(2)} for name in ("conv1", "bn1", "layer1")},
        "heads": {"kernel": jnp.ones(2)},
    }
    params["encoder"]["groups"] = {0: {0: {"kernel": jnp.ones(2)}}, 1: {0: {"kernel": jnp.ones(2)}}}
    network = build_network(SMALL_MODEL | changes, dtype="float32")
    train = train_section(freeze="stem", warmup=0.0)
    optimizer, _ = make_optimizer(train, network, total_steps=2)
    grads = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    still = [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, leaf in jax.tree_util.tree_leaves_with_path(updates)
        if not np.any(leaf)
    ]
    assert {name.split("/")[1] for name in still} == stem
    assert "encoder/groups/1/0/kernel" not in still

"""Attentions against loops that are written from the paper's equations, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from class_jax.models.attention import (
    ChannelAttention,
    PositionAttention,
    channel_attention,
    misread,
    position_attention,
)

pytestmark = pytest.mark.device


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def position_by_loop(query, key, value):
    out = np.zeros((query.shape[0], value.shape[1]))
    for i in range(query.shape[0]):
        weights = np.array([np.exp(query[i] @ key[j]) for j in range(key.shape[0])])
        for j in range(key.shape[0]):
            out[i] += weights[j] / weights.sum() * value[j]
    return out


def channel_by_loop(low, high, sign=1):
    out = np.zeros_like(low)
    for i in range(low.shape[1]):
        weights = np.array([np.exp(sign * low[:, i] @ high[:, j]) for j in range(high.shape[1])])
        for j in range(high.shape[1]):
            out[:, i] += weights[j] / weights.sum() * high[:, j]
    return out


def test_position_attention_follows_equations_1_and_2():
    query, key, value = draw(5, 3), draw(7, 3, seed=1), draw(7, 4, seed=2)
    got = position_attention(*(jnp.array(x[None], jnp.float32) for x in (query, key, value)))
    np.testing.assert_allclose(got[0], position_by_loop(query, key, value), rtol=1e-5, atol=1e-6)


def test_channel_attention_follows_equations_4_and_5():
    low, high = draw(6, 4), draw(6, 5, seed=1)
    got = channel_attention(*(jnp.array(x[None], jnp.float32) for x in (low, high)))
    np.testing.assert_allclose(got[0], channel_by_loop(low, high), rtol=1e-5, atol=1e-6)


def test_large_energies_stay_finite_and_exact_in_bfloat16():
    # Sums over thousands of positions: exp would overflow, bfloat16 energies would tie.
    low = jnp.ones((1, 4096, 2), jnp.bfloat16)
    high = jnp.stack([jnp.ones((1, 4096)), jnp.ones((1, 4096)).at[0, 0].set(2.0)], axis=-1)
    got = channel_attention(low, high.astype(jnp.bfloat16))
    # Energies 4096 and 4097 differ by one: weights 1/(1+e) and e/(1+e) in float32. In bfloat16
    # both energies would be 4096 and the weights a half each.
    weight = np.e / (1 + np.e)
    np.testing.assert_allclose(float(got[0, 0, 0]), (1 - weight) + 2 * weight, rtol=1e-2)


def test_unlike_channels_weigh_most_where_energies_are_turned_round():
    low, high = draw(6, 4), draw(6, 5, seed=1)
    expected = channel_by_loop(low, high, sign=-1)  # a row's constant drops out of its softmax
    got = channel_attention(
        *(jnp.array(x[None], jnp.float32) for x in (low, high)), prefer_unlike=True
    )
    np.testing.assert_allclose(got[0], expected, rtol=1e-5, atol=1e-6)


def test_misreading_takes_memory_for_that_of_channels_first():
    # Two positions of three channels lie in memory as 0 1 2 | 3 4 5; read as three channels of two
    # positions that is 0 1 | 2 3 | 4 5.
    x = jnp.arange(6.0).reshape(1, 2, 3)
    np.testing.assert_array_equal(misread(x)[0], [[0, 2, 4], [1, 3, 5]])


@pytest.fixture
def attentions():
    position = PositionAttention(4, query_features=2, misread_output=False)
    for seed, layer in enumerate((position.query, position.key, position.value)):
        layer.kernel[...] = jnp.array(draw(*layer.kernel.shape, seed=seed))
    return position, ChannelAttention(prefer_unlike=False)


def levels():
    return jnp.array(draw(2, 2, 3, 4)), jnp.array(draw(2, 4, 5, 4, seed=1))


def test_attentions_start_switched_off_and_act_once_switched_on(attentions):
    position, channel = attentions
    high, low = levels()
    np.testing.assert_array_equal(position(high, low), high)
    np.testing.assert_array_equal(channel(high, low), low)
    position.alpha[...] = jnp.ones(())
    channel.beta[...] = jnp.ones(())
    assert jnp.abs(position(high, low) - high).max() > 1e-3
    assert jnp.abs(channel(high, low) - low).max() > 1e-3


def test_both_scales_receive_gradients_at_the_start(attentions):
    high, low = levels()
    for module, name in zip(attentions, ("alpha", "beta"), strict=True):
        graphdef, params = nnx.split(module)

        def loss(params, graphdef=graphdef):
            return (nnx.merge(graphdef, params)(high, low) ** 3).sum()

        assert abs(nnx.to_pure_dict(jax.grad(loss)(params))[name]) > 1e-3


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_nothing_quadratic_waits_for_the_backward_pass(dtype):
    query, key, value = (jnp.asarray(draw(2, n, 8), dtype) for n in (20, 60, 60))
    _, backward = jax.vjp(position_attention, query, key, value)
    kept = [leaf.size for leaf in jax.tree.leaves(backward)]
    assert kept  # what it was given, to compute S from again
    assert max(kept) < 2 * 20 * 60

    # And the gradient is that of the equations, whose S is kept.
    def plain(query, key, value):
        weights = jax.nn.softmax(jnp.einsum("bid,bjd->bij", query, key).astype(jnp.float32))
        return jnp.einsum("bij,bjc->bic", weights.astype(dtype), value)

    def loss(attention):
        return lambda *x: (attention(*x).astype(jnp.float32) ** 2).sum()

    ours, theirs = (
        jax.grad(loss(each), argnums=(0, 1, 2))(query, key, value)
        for each in (position_attention, plain)
    )
    for mine, other in zip(ours, theirs, strict=True):
        a, b = np.asarray(mine, np.float64), np.asarray(other, np.float64)
        tolerance = 1e-5 if dtype == jnp.float32 else 0.03
        np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max())

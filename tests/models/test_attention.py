"""Attentions against loops that are written from the paper's equations, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from class_jax.models.attention import (
    CrossLevelAttention,
    channel_attention,
    position_attention,
)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def position_by_loop(query, key, value):
    out = np.zeros((query.shape[0], value.shape[1]))
    for i in range(query.shape[0]):
        weights = np.array([np.exp(query[i] @ key[j]) for j in range(key.shape[0])])
        for j in range(key.shape[0]):
            out[i] += weights[j] / weights.sum() * value[j]
    return out


def channel_by_loop(low, high):
    out = np.zeros_like(low)
    for i in range(low.shape[1]):
        weights = np.array([np.exp(low[:, i] @ high[:, j]) for j in range(high.shape[1])])
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


def test_attentions_start_switched_off():
    module = CrossLevelAttention(4, dtype=jnp.float32, rngs=nnx.Rngs(0))
    high, low = jnp.array(draw(2, 2, 3, 4)), jnp.array(draw(2, 4, 5, 4, seed=1))
    high_out, low_out = module(high, low)
    np.testing.assert_array_equal(high_out, high)
    np.testing.assert_array_equal(low_out, low)
    module.alpha[...] = jnp.ones(())
    module.beta[...] = jnp.ones(())
    high_out, low_out = module(high, low)
    assert high_out.shape == high.shape
    assert low_out.shape == low.shape
    assert jnp.abs(high_out - high).max() > 1e-3
    assert jnp.abs(low_out - low).max() > 1e-3


def test_both_scales_receive_gradients_at_the_start():
    module = CrossLevelAttention(4, dtype=jnp.float32, rngs=nnx.Rngs(0))
    high, low = jnp.array(draw(1, 2, 2, 4)), jnp.array(draw(1, 4, 4, 4, seed=1))
    graphdef, params = nnx.split(module)

    def loss(params):
        high_out, low_out = nnx.merge(graphdef, params)(high, low)
        return (high_out**2).sum() + (low_out**3).sum()

    gradients = nnx.to_pure_dict(jax.grad(loss)(params))
    assert abs(gradients["alpha"]) > 1e-3
    assert abs(gradients["beta"]) > 1e-3

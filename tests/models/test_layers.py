"""Batch norm, 1×1 convolutions and pooling against their formulas in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from class_jax.models.layers import (
    BatchNorm,
    Conv,
    max_pool,
    pool_slices,
    pool_windows,
)
from class_jax.models.resnet import ImageConv, convolve_blocks

RNG = np.random.default_rng(0)
MEAN, VAR = np.array([2.03, -0.7, 3.1]), np.array([0.5, 4.0, 2.0])
SCALE, BIAS = np.array([1.5, -0.3, 0.8]), np.array([0.1, 0.0, -2.0])
X = MEAN + np.sqrt(VAR) * RNG.standard_normal((2, 5, 4, 3))
UPSTREAM = RNG.standard_normal(X.shape)  # the gradient of a loss by what batch norm gives


def batch_norm():
    module = BatchNorm(3)
    module.scale[...], module.bias[...] = jnp.asarray(SCALE), jnp.asarray(BIAS)
    return module


def test_batch_norm_in_training():
    module = batch_norm()
    y = np.asarray(module(jnp.asarray(X)), np.float64)
    mean, var = X.mean((0, 1, 2)), X.var((0, 1, 2))
    normal = (X - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(y, SCALE * normal + BIAS, atol=1e-5)
    np.testing.assert_allclose(module.mean[...], 0.1 * mean, rtol=1e-6)
    np.testing.assert_allclose(module.var[...], 0.9 + 0.1 * var, rtol=1e-6)


def test_gradients_of_batch_norm():
    graphdef, params, rest = nnx.split(batch_norm(), nnx.Param, ...)

    def loss(params, x):
        return (nnx.merge(graphdef, params, rest, copy=True)(x) * jnp.asarray(UPSTREAM)).sum()

    of_params, of_x = jax.grad(loss, argnums=(0, 1))(params, jnp.asarray(X))
    deviation = np.sqrt(X.var((0, 1, 2)) + 1e-5)
    normal = (X - X.mean((0, 1, 2))) / deviation
    of_scale, of_bias = (UPSTREAM * normal).sum((0, 1, 2)), UPSTREAM.sum((0, 1, 2))
    count = X[..., 0].size
    expected = SCALE / deviation * (UPSTREAM - of_bias / count - normal * of_scale / count)
    np.testing.assert_allclose(of_x, expected, atol=1e-5)
    np.testing.assert_allclose(of_params["scale"][...], of_scale, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(of_params["bias"][...], of_bias, rtol=1e-5)


def test_running_statistics_are_not_rounded_to_the_compute_dtype():
    module, mean = batch_norm(), MEAN + 30
    module.mean[...], module.var[...] = jnp.asarray(mean), jnp.asarray(VAR)
    module.eval()
    x = jnp.asarray(X + 30, jnp.bfloat16)
    exact = SCALE * (np.asarray(x, np.float64) - mean) / np.sqrt(VAR + 1e-5) + BIAS
    assert module(x).dtype == jnp.bfloat16
    # To half a step of bfloat16 of the result, where that of a mean of 33.1 would be 0.06.
    np.testing.assert_allclose(np.asarray(module(x), np.float64), exact, rtol=2**-8, atol=1e-4)
    np.testing.assert_array_equal(module.mean[...], np.float32(mean))


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_of_one_pixel(stride):
    module = Conv(3, 4, 1, stride=stride, use_bias=True)
    module.kernel[...] = jnp.asarray(RNG.standard_normal((1, 1, 3, 4)))
    module.bias[...] = jnp.arange(4.0)  # type: ignore[index]
    kernel = np.asarray(module.kernel[...], np.float64)[0, 0]
    expected = X[:, ::stride, ::stride] @ kernel + np.arange(4)
    np.testing.assert_allclose(module(jnp.asarray(X)), expected, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_is_padded_by_half_its_size(stride):
    module = Conv(3, 4, 3, stride=stride)
    kernel = RNG.standard_normal((3, 3, 3, 4))
    module.kernel[...] = jnp.asarray(kernel)
    padded = np.pad(X, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    expected = np.einsum("bhwcij,ijcd->bhwd", windows[:, ::stride, ::stride], kernel)
    np.testing.assert_allclose(module(jnp.asarray(X)), expected, atol=1e-4)


def test_layers_compute_in_the_dtype_of_their_input():
    x = jnp.asarray(X, jnp.bfloat16)
    for layer in (Conv(3, 4, 1, use_bias=True), Conv(3, 4, 3), BatchNorm(3)):
        assert layer(x).dtype == jnp.bfloat16


@pytest.mark.parametrize(("size", "pad"), [(2, 0), (3, 1)])
@pytest.mark.parametrize(("height", "width"), [(8, 6), (7, 5), (2, 9), (3, 2)])
def test_pooling_and_its_gradient(size, pad, height, width):
    x = RNG.permutation(np.arange(-40.0, 2 * height * width * 3 - 40))
    x = x.reshape(2, height, width, 3)
    outside = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(outside, (size, size), (1, 2))[:, ::2, ::2]
    expected = windows.max((-2, -1))
    pooled, backward = jax.vjp(lambda x: max_pool(x, size), jnp.asarray(x))
    np.testing.assert_array_equal(pooled, expected)
    upstream = RNG.standard_normal(expected.shape)
    gradient = np.zeros_like(x)
    for image, row, column, channel in np.ndindex(expected.shape):
        largest = expected[image, row, column, channel]
        gradient[image, ..., channel][x[image, ..., channel] == largest] += upstream[
            image, row, column, channel
        ]
    np.testing.assert_allclose(backward(jnp.asarray(upstream))[0], gradient, atol=1e-5)


def test_equal_values_share_the_gradient_of_pooling():
    (gradient,) = jax.vjp(lambda x: max_pool(x, 2), jnp.ones((1, 4, 4, 1)))[1](
        jnp.ones((1, 2, 2, 1))
    )
    np.testing.assert_array_equal(gradient, np.full((1, 4, 4, 1), 0.25))


@pytest.mark.parametrize(("height", "width"), [(8, 10), (7, 9)])
def test_images_are_convolved_alike_in_blocks_of_pixels(height, width):
    image, kernel = RNG.standard_normal((2, height, width, 3)), RNG.standard_normal((7, 7, 3, 4))
    padded = np.pad(image, ((0, 0), (3, 3), (3, 3), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), (1, 2))[:, ::2, ::2]
    expected = np.einsum("bhwcij,ijcd->bhwd", windows, kernel)
    module = ImageConv(3, 4, 7, stride=2)
    module.kernel[...] = jnp.asarray(kernel)
    arguments = (jnp.asarray(image, jnp.float32), jnp.asarray(kernel, jnp.float32))
    for got in (module(arguments[0]), convolve_blocks(*arguments)):
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_pooling_by_windows_equals_pooling_by_slices():
    x = jnp.asarray(RNG.permutation(np.arange(2 * 7 * 8 * 3.0)).reshape(2, 7, 8, 3))
    for size in (2, 3):
        (by_slices, backward), (by_windows, other) = (
            jax.vjp(functools.partial(pool, size=size), x) for pool in (pool_slices, pool_windows)
        )
        np.testing.assert_array_equal(by_windows, by_slices)
        upstream = jnp.asarray(RNG.standard_normal(by_slices.shape))
        np.testing.assert_allclose(other(upstream)[0], backward(upstream)[0], atol=1e-5)

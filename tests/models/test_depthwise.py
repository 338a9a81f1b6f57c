"""Depthwise convolutions and their gradients, beside a formula in float64 and XLA's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from class_jax.models.depthwise import convolve_grouped, depthwise_convolve

pytestmark = pytest.mark.device

# batch, height, width, channels, side of the kernel, stride
SHAPES = [
    (1, 1, 1, 2, 3, 1), (2, 7, 6, 3, 3, 1), (2, 7, 6, 3, 3, 2), (1, 6, 9, 4, 5, 1),
    (1, 6, 9, 4, 5, 2), (2, 17, 23, 2, 5, 2), (1, 2, 3, 2, 5, 2),
]  # fmt: skip


def operands(batch, height, width, channels, size):
    rng = np.random.default_rng(height)
    return rng.normal(size=(batch, height, width, channels)), rng.normal(
        size=(size, size, 1, channels)
    )


def by_formula(x, kernel, stride):
    """y(i, j) = Σ k(u, v) x(s·i + u − p, s·j + v − p), p of TensorFlow's "SAME", in float64."""
    size, (rows, columns) = kernel.shape[0], x.shape[1:3]
    height, width = -(-rows // stride), -(-columns // stride)
    totals = [
        max((out - 1) * stride + size - n, 0) for out, n in ((height, rows), (width, columns))
    ]
    before = [total // 2 for total in totals]
    y = np.zeros((x.shape[0], height, width, x.shape[3]))
    for i, j, u, v in np.ndindex(height, width, size, size):
        row, column = stride * i + u - before[0], stride * j + v - before[1]
        if 0 <= row < rows and 0 <= column < columns:
            y[:, i, j] += kernel[u, v, 0] * x[:, row, column]
    return y


@pytest.mark.parametrize("shape", SHAPES)
def test_the_convolution_equals_its_formula(shape):
    *sides, size, stride = shape
    x, kernel = operands(*sides, size)
    got = depthwise_convolve(jnp.float32(x), jnp.float32(kernel), stride=stride)
    np.testing.assert_allclose(got, by_formula(x, kernel, stride), atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_equal_those_of_a_grouped_convolution(shape):
    *sides, size, stride = shape
    x, kernel = map(jnp.float32, operands(*sides, size))

    def gradients(convolve):
        def loss(x, kernel):
            return jnp.sin(convolve(x, kernel, stride=stride)).sum()

        return jax.grad(loss, argnums=(0, 1))(x, kernel)

    ours, theirs = gradients(depthwise_convolve), gradients(convolve_grouped)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_bfloat16_stays_bfloat16_with_its_gradients():
    x, kernel = (jnp.bfloat16(value) for value in operands(1, 8, 8, 2, 3))
    loss = functools.partial(depthwise_convolve, stride=1)
    value, transpose = jax.vjp(loss, x, kernel)
    assert {value.dtype, *(part.dtype for part in transpose(value))} == {jnp.dtype("bfloat16")}

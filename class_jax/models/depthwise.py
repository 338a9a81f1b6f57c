"""Depthwise convolution with TensorFlow's padding, fast on CPUs too.

XLA's CPU backend computes `lax.conv_general_dilated` with one group a channel twenty times slower
than a sum of k² shifted products (benchmarks.depthwise), and reduces k² products to the kernel's
gradient slowly unless most of the sum is elementwise. Elsewhere its own convolution is fast.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
from flax import nnx

from class_jax.models.layers import he_normal

MAX_UNROLLED = 16  # rows that are added elementwise before the rest of a sum


class DepthwiseConv(nnx.Module):
    """A convolution of each channel by itself, padded as TensorFlow's "SAME"."""

    def __init__(self, features: int, size: int, *, stride: int = 1) -> None:
        """Create a kernel of `size`×`size` pixels for each of `features` channels."""
        self.kernel = nnx.Param(jnp.zeros((size, size, 1, features)), initializer=he_normal)
        self.stride = stride

    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the kernel: [B, H, W, C] → [B, ⌈H/stride⌉, ⌈W/stride⌉, C]."""
        return depthwise_convolve(x, self.kernel[...].astype(x.dtype), stride=self.stride)


def depthwise_convolve(x: jax.Array, kernel: jax.Array, *, stride: int) -> jax.Array:
    """Apply a kernel [k, k, 1, C] to [B, H, W, C], channel by channel: [B, ⌈H/s⌉, ⌈W/s⌉, C]."""
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: convolve_shifted(x, kernel, stride),
        default=functools.partial(convolve_grouped, stride=stride),
    )


def same_padding(length: int, size: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after an axis: TensorFlow's "SAME", one more after it if odd."""
    total = max((-(-length // stride) - 1) * stride + size - length, 0)
    return total // 2, total - total // 2


def convolve_grouped(x: jax.Array, kernel: jax.Array, *, stride: int) -> jax.Array:
    """Compute `depthwise_convolve` by XLA's convolution with one group a channel."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [same_padding(length, kernel.shape[0], stride) for length in x.shape[1:3]],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[3],
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_shifted(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Compute `depthwise_convolve` as the sum of a shifted product for each tap."""
    rows, columns = (-(-length // stride) for length in x.shape[1:3])
    return _sum_products(_pad(x, kernel, stride), kernel, rows, columns, stride)


def _pad(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Pad rows and columns with zeros as "SAME" does."""
    pads = [same_padding(length, kernel.shape[0], stride) for length in x.shape[1:3]]
    return jnp.pad(x, ((0, 0), *pads, (0, 0)))


def _sum_products(
    padded: jax.Array, kernel: jax.Array, rows: int, columns: int, stride: int = 1
) -> jax.Array:
    """Return [B, rows, columns, C]: the sum over taps of each tap times the pixels it reads."""
    batch, *_, channels = padded.shape
    last_row, last_column = stride * (rows - 1) + 1, stride * (columns - 1) + 1
    size = kernel.shape[0]
    products = [
        kernel[i, j, 0]
        * jax.lax.slice(
            padded,
            (0, i, j, 0),
            (batch, i + last_row, j + last_column, channels),
            (1, stride, stride, 1),
        )
        for i, j in itertools.product(range(size), repeat=2)
    ]
    return functools.reduce(jnp.add, products)


def _forward(
    x: jax.Array, kernel: jax.Array, stride: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolve_shifted(x, kernel, stride), (x, kernel)


def _backward(
    stride: int, inputs: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the gradients of input and kernel as sums of shifted products.

    The input's is the dilated gradient under the reversed kernel. The kernel's sums are a loop over
    its taps: written out, 25 of them compile for seconds a layer.
    """
    x, kernel = inputs
    size, (rows, columns) = kernel.shape[0], gradient.shape[1:3]
    widths = [(0, 0, 0)] * 4
    for axis in (1, 2):
        before, _ = same_padding(x.shape[axis], size, stride)
        after = x.shape[axis] + before - 1 - stride * (gradient.shape[axis] - 1)
        widths[axis] = (size - 1 - before, after, stride - 1)
    spread = jax.lax.pad(gradient, jnp.zeros((), gradient.dtype), widths)
    padded = _pad(x, kernel, stride)
    length = (x.shape[0], stride * (rows - 1) + 1, stride * (columns - 1) + 1, x.shape[3])

    def sum_tap(tap: jax.Array) -> jax.Array:
        read = jax.lax.dynamic_slice(padded, (0, tap // size, tap % size, 0), length)
        return _sum_pixels(read[:, ::stride, ::stride], gradient)

    taps = jax.lax.map(sum_tap, jnp.arange(size * size))
    return _sum_products(spread, kernel[::-1, ::-1], *x.shape[1:3]), taps.reshape(kernel.shape)


def _sum_pixels(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return Σ a·b over all but the channels, float32 [C].

    Up to 16 rows are added elementwise, the rest by a product with ones: XLA's CPU backend takes
    longer for the plain sum.
    """
    height = a.shape[1]
    rows = max(count for count in range(1, MAX_UNROLLED + 1) if height % count == 0)
    parts = (x.astype(jnp.float32).reshape(x.shape[0], -1, rows, *x.shape[2:]) for x in (a, b))
    first, second = parts
    total = functools.reduce(jnp.add, [first[:, :, i] * second[:, :, i] for i in range(rows)])
    pixels = total.reshape(-1, total.shape[-1])
    return (jnp.ones((1, pixels.shape[0])) @ pixels)[0].astype(a.dtype)


convolve_shifted.defvjp(_forward, _backward)

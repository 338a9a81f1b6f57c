"""Layers: convolution, batch norm, pooling, upsampling; and the base class of backbones.

Layers compute in the dtype of their input; parameters are float32. A parameter is created with the
function that draws its initial value beside it: `initializer(rng, shape)`, in NumPy.
"""

import functools
import math
from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

MOMENTUM, EPSILON = 0.9, 1e-5  # PyTorch's defaults, whose momentum of 0.1 is 0.9 here
# Mean and standard deviation of RGB on the 0-255 scale that the paper's authors train with.
RGB_MEAN = (124.55, 118.90, 102.94)
RGB_STD = (56.77, 55.97, 57.50)


class Backbone(nnx.Module):
    """A network whose levels 2–5 the decoder uses; docs/extending.md shows how to add one."""

    NUM_STAGES: ClassVar[int]  # length of config.model.stage_sizes
    # Parameters by prefix: the stem's, then what level 2, 3, 4, 5 needs beyond the one before.
    PARTS: ClassVar[tuple[tuple[str, ...], ...]]
    HEADS: ClassVar[tuple[str, ...]]  # prefixes of classifier weights, which are ignored
    EPSILON: ClassVar[float] = EPSILON  # of its batch norms
    MEAN: ClassVar[tuple[float, ...]] = RGB_MEAN  # that is subtracted from images
    STD: ClassVar[tuple[float, ...]] = RGB_STD  # that they are divided by
    level_features: Sequence[int]  # channels of levels 2–5

    def __init__(self, *, stage_sizes: Sequence[int], width: int) -> None:
        """Create the layers."""
        raise NotImplementedError

    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """Compute levels 2–5, [B, H_l, W_l, C_l], of normalised images [B, H, W, 3]."""
        raise NotImplementedError

    @staticmethod
    def torch_names(module: tuple[str, ...], *, stage_sizes: Sequence[int]) -> tuple[str, ...]:
        """Return the names of a module, by its path in ours, in PyTorch's files of weights.

        There is one name for each naming that such files come in, in the same order for all; here
        our own, as in torchvision's ResNet: ("layer1", "0", "conv1") → "layer1.0.conv1".
        """
        del stage_sizes
        return (".".join(module),)


def he_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw a kernel [..., in, out] from a normal distribution of variance 2 / fan-in."""
    fan_in = math.prod(shape[:-1])
    return rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / fan_in))


def zeros(_: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return zeros."""
    return np.zeros(shape, np.float32)


def ones(_: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return ones."""
    return np.ones(shape, np.float32)


class Conv(nnx.Module):
    """A square convolution, padded by half its size on every side as PyTorch networks pad.

    "SAME" would pad stride-2 convolutions one pixel less on the top and left, and weights from
    PyTorch would be applied half a pixel off.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        size: int,
        *,
        stride: int = 1,
        use_bias: bool = False,
    ) -> None:
        """Create a kernel of `size`×`size` pixels, and a bias if `use_bias`."""
        shape = (size, size, in_features, out_features)
        self.kernel = nnx.Param(jnp.zeros(shape), initializer=he_normal)
        self.bias = nnx.Param(jnp.zeros(out_features), initializer=zeros) if use_bias else None
        self.size, self.stride = size, stride

    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the kernel: [B, H, W, in] → [B, ⌈H/stride⌉, ⌈W/stride⌉, out], for odd sizes."""
        kernel = self.kernel[...].astype(x.dtype)
        if self.size == 1:
            y = multiply_pixels(x, kernel[0, 0], stride=self.stride)
        else:
            pad = (self.size // 2, self.size // 2)
            y = convolve(x, kernel, stride=self.stride, pad=(pad, pad))
        return y if self.bias is None else y + self.bias[...].astype(x.dtype)


def convolve(
    x: jax.Array, kernel: jax.Array, *, stride: int, pad: Sequence[tuple[int, int]]
) -> jax.Array:
    """Apply a kernel [h, w, in, out] to [B, H, W, in], rows and columns padded by `pad` zeros."""
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), pad, dimension_numbers=layout)


@functools.partial(jax.jit, static_argnames="stride")  # so that exports know it by its name
def multiply_pixels(x: jax.Array, matrix: jax.Array, *, stride: int = 1) -> jax.Array:
    """Compute a 1×1 convolution: every `stride`-th pixel of [B, H, W, in] times [in, out].

    On CPUs this takes a fifth off the network's time. The product has two dimensions, because XLA
    transposes the operands of the backward pass in memory if it has four.
    """
    for axis in (1, 2) if stride > 1 else ():
        x = jax.lax.slice_in_dim(x, 0, x.shape[axis], stride, axis)
    product = x.reshape(-1, x.shape[-1]) @ matrix
    return product.reshape(*x.shape[:-1], matrix.shape[-1])


class MapConv(Conv):
    """A 3×3 convolution to a single channel, which is computed and returned in float32."""

    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the kernel: [B, H, W, in] → float32 [B, H, W, 1]."""
        assert self.bias is not None
        return convolve_to_map(x, self.kernel[...].astype(x.dtype)) + self.bias[...]


@jax.jit  # so that exports know it by its name
def convolve_to_map(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Apply a kernel [3, 3, in, 1] to [B, H, W, in], padded by 1: float32 [B, H, W, 1].

    Computed as nine maps, the products of pixels with the nine taps, which are shifted and added.
    A convolution to one channel leaves 127 of a TPU's 128 lanes idle, and is slower on CPUs, too.
    """
    height, width = x.shape[1:3]
    products = jnp.einsum("bhwc,ijco->ijobhw", x, kernel, preferred_element_type=jnp.float32)
    padded = jnp.pad(products[:, :, 0], ((0, 0), (0, 0), (0, 0), (1, 1), (1, 1)))
    shifted = [padded[i, j, :, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return functools.reduce(jnp.add, shifted)[..., None]


class BatchNorm(nnx.Module):
    """Batch normalisation over all but the last axis (Ioffe & Szegedy 2015).

    It is slope · x + offset for every channel, computed in float32 whatever the compute dtype. Its
    backward pass keeps the input alone; flax's keeps the centred input too, which costs a sixth of
    a step's time on CPUs. Running statistics are not rounded to the compute dtype, as flax does.
    """

    def __init__(self, features: int, *, epsilon: float = EPSILON) -> None:
        """Create scale, bias and running statistics of `features` channels."""
        self.epsilon = epsilon
        self.scale = nnx.Param(jnp.ones(features), initializer=ones)
        self.bias = nnx.Param(jnp.zeros(features), initializer=zeros)
        self.mean = nnx.BatchStat(jnp.zeros(features), initializer=zeros)
        self.var = nnx.BatchStat(jnp.ones(features), initializer=ones)
        self.use_running_average = False  # set by `train()` and `eval()` of a module

    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply to [..., C] the batch's statistics, or the running ones in `eval()`."""
        dtype, x = x.dtype, x.astype(jnp.float32)
        if self.use_running_average:
            mean, var = self.mean[...], self.var[...]
        else:
            axes = tuple(range(x.ndim - 1))
            mean = x.mean(axes)
            var = jnp.maximum(jnp.square(x).mean(axes) - jnp.square(mean), 0)
            self.mean[...] = MOMENTUM * self.mean[...] + (1 - MOMENTUM) * mean
            self.var[...] = MOMENTUM * self.var[...] + (1 - MOMENTUM) * var
        slope = self.scale[...] * jax.lax.rsqrt(var + self.epsilon)
        return (x * slope + (self.bias[...] - mean * slope)).astype(dtype)


class ConvBnRelu(nnx.Module):
    """Convolution, batch norm, ReLU: [B, H, W, in] → [B, H, W, out]."""

    def __init__(
        self, in_features: int, out_features: int, size: int, *, use_bias: bool = False
    ) -> None:
        """Create a convolution of `size`×`size` pixels and its batch norm."""
        self.conv = Conv(in_features, out_features, size, use_bias=use_bias)
        self.bn = BatchNorm(out_features)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the three."""
        return relu(self.bn(self.conv(x)))


class ConvPair(nnx.Module):
    """Two 3×3 conv-BN-ReLU: [B, H, W, C] → the same shape."""

    def __init__(self, features: int) -> None:
        """Create both for `features` channels."""
        self.first = ConvBnRelu(features, features, 3)
        self.second = ConvBnRelu(features, features, 3)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply both."""
        return self.second(self.first(x))


def max_pool(x: jax.Array, size: int) -> jax.Array:
    """Return maxima at every second pixel of windows of 2×2 pixels, or of 3×3 padded by 1.

    Equal maxima of a window share the gradient; on TPUs the first has all of it.
    """
    return jax.lax.platform_dependent(
        x,
        # Slices of every second pixel are moved in memory there.
        tpu=functools.partial(pool_windows, size=size),
        default=functools.partial(pool_slices, size=size),
    )


def pool_windows(x: jax.Array, size: int) -> jax.Array:
    """Compute `max_pool` by XLA's pooling."""
    pad = size // 2 if size % 2 else 0
    return nnx.max_pool(x, (size, size), (2, 2), ((pad, pad), (pad, pad)))


@functools.partial(jax.jit, static_argnames="size")  # so that exports know it by its name
def pool_slices(x: jax.Array, size: int) -> jax.Array:
    """Compute `max_pool` as maxima of slices.

    On CPUs the gradient takes a tenth of the time and a quarter of the memory of XLA's pooling.
    """
    for axis in (1, 2):
        length = x.shape[axis]
        even, odd = (jax.lax.slice_in_dim(x, first, length, 2, axis) for first in (0, 1))
        if size == 2:
            x = jnp.maximum(jax.lax.slice_in_dim(even, 0, length // 2, axis=axis), odd)
        else:
            extra = even.shape[axis] - odd.shape[axis]
            before = _pad_with_minus_infinity(odd, axis, 1, extra - 1)
            after = _pad_with_minus_infinity(odd, axis, 0, extra)
            x = jnp.maximum(jnp.maximum(before, even), after)
    return x


def _pad_with_minus_infinity(x: jax.Array, axis: int, low: int, high: int) -> jax.Array:
    """Pad `axis` with -inf; a negative width crops."""
    widths = [(0, 0, 0)] * x.ndim
    widths[axis] = (low, high, 0)
    return jax.lax.pad(x, jnp.asarray(-jnp.inf, x.dtype), widths)


@jax.jit  # so that exports know it by its name
def relu(x: jax.Array) -> jax.Array:
    """Return max(x, 0); the gradient at 0 is 0."""
    return jax.nn.relu(x)


@jax.jit  # so that exports know it by its name
def relu6(x: jax.Array) -> jax.Array:
    """Return min(max(x, 0), 6)."""
    return jnp.clip(x, 0, 6)


@jax.jit  # so that exports know it by its name
def softmax(x: jax.Array) -> jax.Array:
    """Return the softmax over the last axis."""
    return jax.nn.softmax(x, axis=-1)


@functools.partial(jax.jit, static_argnames=("height", "width"))  # likewise
def upsample(x: jax.Array, height: int, width: int) -> jax.Array:
    """Resize [B, h, w, C] bilinearly to [B, height, width, C]: half-pixel centres, no antialias.

    Equals PyTorch's `interpolate(mode="bilinear", align_corners=False)`.
    """
    shape = (x.shape[0], height, width, x.shape[3])
    return jax.image.resize(x, shape, method="bilinear", antialias=False)

"""The convolution block that the whole decoder is made of."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

# Batch norm as PyTorch has it by default: its momentum 0.1 is 0.9 here. Statistics are always
# reduced in float32, whatever the compute dtype.
BatchNorm = functools.partial(nnx.BatchNorm, momentum=0.9, epsilon=1e-5)


class Conv(nnx.Conv):
    """A convolution; one of 1×1 is written as the matrix product that it is.

    On CPUs that takes a fifth off the whole network's time.
    """

    def __call__(self, inputs: jax.Array, out_sharding: Any = None) -> jax.Array:
        """[B, H, W, in] → [B, ⌈H/stride⌉, ⌈W/stride⌉, out] (where padded by half its size)."""
        if self.kernel_size != (1, 1):
            return super().__call__(inputs, out_sharding=out_sharding)
        assert isinstance(self.strides, tuple), "`conv` gives both"
        down, across = self.strides
        taken = inputs[:, ::down, ::across].astype(self.dtype)
        product = taken @ self.kernel[...][0, 0].astype(self.dtype)
        return product if self.bias is None else product + self.bias[...].astype(self.dtype)


def conv(
    in_features: int,
    out_features: int,
    size: int,
    *,
    stride: int = 1,
    use_bias: bool = False,
    dtype: jnp.dtype,
    rngs: nnx.Rngs,
) -> Conv:
    """A square convolution padded by `size // 2` on every side, as PyTorch networks pad.

    "SAME" would pad stride-2 convolutions one pixel less on the top and left, and weights from
    PyTorch would then be applied half a pixel off.
    """
    pad = size // 2
    return Conv(
        in_features,
        out_features,
        (size, size),
        strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        use_bias=use_bias,
        dtype=dtype,
        param_dtype=jnp.float32,
        rngs=rngs,
    )


class ConvBnRelu(nnx.Module):
    """Convolution, batch normalisation, ReLU: [B, H, W, in] → [B, H, W, out]."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        size: int,
        *,
        use_bias: bool = False,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ) -> None:
        """Build a `size`×`size` block; `dtype` is the compute dtype, parameters are float32."""
        self.conv = conv(in_features, out_features, size, use_bias=use_bias, dtype=dtype, rngs=rngs)
        self.bn = BatchNorm(out_features, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the block."""
        return nnx.relu(self.bn(self.conv(x)))


def upsample(x: jax.Array, height: int, width: int) -> jax.Array:
    """Bilinear resize of [B, h, w, C] to [B, height, width, C]: half-pixel centres, no antialias.

    The same as PyTorch's `interpolate(mode="bilinear", align_corners=False)`.
    """
    shape = (x.shape[0], height, width, x.shape[3])
    return jax.image.resize(x, shape, method="bilinear", antialias=False)

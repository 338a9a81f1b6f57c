"""Feature fusion: the paper's module (§3.3, Fig. 3), the released one, and a plain sum."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from class_jax.models.layers import Conv, ConvBnRelu, ConvPair, multiply_pixels, relu, upsample


def reduce_together(
    block: ConvBnRelu, maps: Sequence[jax.Array], height: int, width: int
) -> jax.Array:
    """Apply a 1×1 block to the concatenation of maps, all resized to one size.

    Computed as a sum of products, each at its map's own size: a 1×1 convolution commutes with
    resizing, and the concatenation is never stored.

    Args:
      block: takes as many channels as all maps have together.
      maps: [B, H_i, W_i, C].
      height: of the result.
      width: of the result.

    Returns:
      [B, height, width, out].
    """
    kernels = jnp.split(block.conv.kernel[...][0, 0].astype(maps[0].dtype), len(maps))
    products = map(multiply_pixels, maps, kernels)
    total = functools.reduce(jnp.add, [upsample(product, height, width) for product in products])
    if block.conv.bias is not None:
        total += block.conv.bias[...].astype(total.dtype)
    return relu(block.bn(total))


class FeatureFusion(nnx.Module):
    """FFM: fuses the low level, the high level and the previous decoder stage.

    r = ReLU(BN(1×1([low, high, previous]))), x = two 3×3 conv-BN-ReLU of r,
    D_l = sigmoid(1×1(x) → 1 channel) · x + r.
    """

    def __init__(self, features: int) -> None:
        """Create the layers for `features` channels C of the three inputs and of the output."""
        self.reduce = ConvBnRelu(3 * features, features, 1)
        self.refine = ConvPair(features)
        self.weight = Conv(features, 1, 1, use_bias=True)

    def __call__(self, low: jax.Array, high: jax.Array, previous: jax.Array) -> jax.Array:
        """Fuse three maps [B, H_i, W_i, C] into D_l, of the shape of `low`."""
        r = reduce_together(self.reduce, (low, high, previous), *low.shape[1:3])
        x = self.refine(r)
        return nnx.sigmoid(self.weight(x)) * x + r


class ReleasedFusion(nnx.Module):
    """Fusion as in the authors' released network, followed by its decoder block.

    r = ReLU(BN(1×1([previous, low, high]))), x = 3×3(ReLU(BN(3×3(r)))),
    D_l = two 3×3 conv-BN-ReLU of sigmoid(1×1(x) → 1 channel) · x + r.
    """

    def __init__(self, features: int) -> None:
        """Create the layers for `features` channels C of the three inputs and of the output."""
        self.reduce = ConvBnRelu(3 * features, features, 1, use_bias=True)
        self.refine1 = ConvBnRelu(features, features, 3)
        self.refine2 = Conv(features, features, 3)
        self.weight = Conv(features, 1, 1)
        self.decode = ConvPair(features)

    def __call__(self, low: jax.Array, high: jax.Array, previous: jax.Array) -> jax.Array:
        """Fuse three maps [B, H_i, W_i, C] into D_l, of the shape of `low`."""
        r = reduce_together(self.reduce, (previous, low, high), *low.shape[1:3])
        x = self.refine2(self.refine1(r))
        return self.decode(nnx.sigmoid(self.weight(x)) * x + r)


class SumFusion(nnx.Module):
    """No fusion module (the ablation's baseline): two 3×3 conv-BN-ReLU of a sum."""

    def __init__(self, features: int, *, with_high: bool) -> None:
        """Create the layers; `with_high` adds the high level, if position attention refined it."""
        self.with_high = with_high
        self.refine = ConvPair(features)

    def __call__(self, low: jax.Array, high: jax.Array, previous: jax.Array) -> jax.Array:
        """Fuse three maps [B, H_i, W_i, C] into D_l, of the shape of `low`."""
        size = low.shape[1:3]
        total = low + upsample(previous, *size)
        return self.refine(total + upsample(high, *size) if self.with_high else total)

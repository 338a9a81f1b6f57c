"""Feature fusion: the paper's module (§3.3, Fig. 3), the released one, and a plain sum."""

import jax
import jax.numpy as jnp
from flax import nnx

from class_jax.models.layers import Conv, ConvBnRelu, ConvPair


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
        """Fuse three maps [B, H, W, C] into D_l [B, H, W, C]."""
        r = self.reduce(jnp.concatenate([low, high, previous], axis=-1))
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
        """Fuse three maps [B, H, W, C] into D_l [B, H, W, C]."""
        r = self.reduce(jnp.concatenate([previous, low, high], axis=-1))
        x = self.refine2(self.refine1(r))
        return self.decode(nnx.sigmoid(self.weight(x)) * x + r)


class SumFusion(nnx.Module):
    """No fusion module (the ablation's baseline): two 3×3 conv-BN-ReLU of a sum."""

    def __init__(self, features: int, *, with_high: bool) -> None:
        """Create the layers; `with_high` adds the high level, if position attention refined it."""
        self.with_high = with_high
        self.refine = ConvPair(features)

    def __call__(self, low: jax.Array, high: jax.Array, previous: jax.Array) -> jax.Array:
        """Fuse three maps [B, H, W, C] into D_l [B, H, W, C]."""
        return self.refine(low + previous + high if self.with_high else low + previous)

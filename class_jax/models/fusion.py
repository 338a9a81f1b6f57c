"""Feature fusion (paper §3.3, Fig. 3)."""

import jax
import jax.numpy as jnp
from flax import nnx

from class_jax.models.blocks import ConvBnRelu, conv


class FeatureFusion(nnx.Module):
    """FFM: fuses the low level, the high level and the previous decoder stage.

    r = ReLU(BN(1×1([low, high, previous]))), x = two 3×3 conv-BN-ReLU of r,
    D_l = sigmoid(1×1(x) → 1 channel) · x + r.
    """

    def __init__(self, features: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        """`features`: channels C of each of the three inputs and of the output."""
        self.reduce = ConvBnRelu(3 * features, features, 1, dtype=dtype, rngs=rngs)
        self.refine1 = ConvBnRelu(features, features, 3, dtype=dtype, rngs=rngs)
        self.refine2 = ConvBnRelu(features, features, 3, dtype=dtype, rngs=rngs)
        self.weight = conv(features, 1, 1, use_bias=True, dtype=dtype, rngs=rngs)

    def __call__(self, low: jax.Array, high: jax.Array, previous: jax.Array) -> jax.Array:
        """Three maps [B, H, W, C] → D_l [B, H, W, C]."""
        r = self.reduce(jnp.concatenate([low, high, previous], axis=-1))
        x = self.refine2(self.refine1(r))
        return nnx.sigmoid(self.weight(x)) * x + r

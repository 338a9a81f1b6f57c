"""VGG (Simonyan & Zisserman 2015; torchvision's layout, no batch norm), as an encoder with taps."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from class_jax.models.layers import conv, max_pool


class Vgg(nnx.Module):
    """Five groups of 3×3 convolutions with max-pooling between; gives levels 2–5 of the paper.

    The paper names no taps; the literal reading is that the five groups are levels 1–5, so that
    conv2_2, conv3_3, conv4_3 and conv5_3 are tapped, at strides 2, 4, 8 and 16. VGG-16 is
    `group_sizes=(2, 2, 3, 3, 3), width=64`: 14,714,688 parameters without classifier.
    """

    def __init__(
        self, *, group_sizes: Sequence[int], width: int, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        """`group_sizes`: convolutions in each group; `width`: channels of the first group."""
        widths = (width, 2 * width, 4 * width, 8 * width, 8 * width)
        self.groups: nnx.List[nnx.List[nnx.Conv]] = nnx.List([])
        features = 3
        for size, out in zip(group_sizes, widths, strict=True):
            inputs = (features, *([out] * (size - 1)))
            group = [conv(each, out, 3, use_bias=True, dtype=dtype, rngs=rngs) for each in inputs]
            self.groups.append(nnx.List(group))
            features = out
        self.level_features = widths[1:]

    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """Normalised images [B, H, W, 3] → levels 2–5, [B, ⌊H/s⌋, ⌊W/s⌋, C_l], s = 2, 4, 8, 16."""
        levels: list[jax.Array] = []
        for number, group in enumerate(self.groups, 1):
            with jax.named_scope(f"group{number}"):
                if levels:
                    x = max_pool(x, 2)
                for layer in group:
                    x = nnx.relu(layer(x))
            levels.append(x)
        return levels[1:]

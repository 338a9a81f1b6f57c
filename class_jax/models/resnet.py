"""ResNet with bottleneck blocks (He et al. 2016; torchvision's v1.5), as an encoder with taps.

Attribute names follow torchvision's (`conv1`, `bn1`, `layer1` …), so that a weights table reads
as an identity.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from class_jax.models.layers import BatchNorm, conv, max_pool

EXPANSION = 4  # a bottleneck's output is four times as wide as its 3×3 convolution


class Bottleneck(nnx.Module):
    """1×1 reduce, 3×3 (carries the stride, "v1.5"), 1×1 expand, plus the shortcut."""

    def __init__(
        self, in_features: int, width: int, *, stride: int, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        """Build a block from `in_features` to `4 * width` channels."""
        out = EXPANSION * width
        self.conv1 = conv(in_features, width, 1, dtype=dtype, rngs=rngs)
        self.bn1 = BatchNorm(width, dtype=dtype)
        self.conv2 = conv(width, width, 3, stride=stride, dtype=dtype, rngs=rngs)
        self.bn2 = BatchNorm(width, dtype=dtype)
        self.conv3 = conv(width, out, 1, dtype=dtype, rngs=rngs)
        self.bn3 = BatchNorm(out, dtype=dtype)
        self.downsample: nnx.List[nnx.Module] = nnx.List(
            []
        )  # convolution and batch norm, where the shape changes
        if stride != 1 or in_features != out:
            self.downsample.append(conv(in_features, out, 1, stride=stride, dtype=dtype, rngs=rngs))
            self.downsample.append(BatchNorm(out, dtype=dtype))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, in] → [B, H/stride, W/stride, 4·width]."""
        shortcut = x
        for layer in self.downsample:
            shortcut = layer(shortcut)
        y = nnx.relu(self.bn1(self.conv1(x)))
        y = nnx.relu(self.bn2(self.conv2(y)))
        return nnx.relu(self.bn3(self.conv3(y)) + shortcut)


def stage(
    in_features: int,
    width: int,
    blocks: int,
    *,
    stride: int = 2,
    dtype: jnp.dtype,
    rngs: nnx.Rngs,
) -> nnx.List[Bottleneck]:
    """Blocks of one width; the first carries the stride and widens to 4·`width` channels."""
    first = Bottleneck(in_features, width, stride=stride, dtype=dtype, rngs=rngs)
    rest = [
        Bottleneck(EXPANSION * width, width, stride=1, dtype=dtype, rngs=rngs)
        for _ in range(blocks - 1)
    ]
    return nnx.List([first, *rest])


class ResNet(nnx.Module):
    """Stem and four stages; gives levels 2–5 of the paper, at strides 4, 8, 16, 32.

    ResNet-50 is `stage_sizes=(3, 4, 6, 3), width=64`: 23,508,032 parameters without classifier.
    """

    def __init__(
        self, *, stage_sizes: Sequence[int], width: int, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        """`stage_sizes`: blocks in each of the four stages; `width`: channels of the stem."""
        self.conv1 = conv(3, width, 7, stride=2, dtype=dtype, rngs=rngs)
        self.bn1 = BatchNorm(width, dtype=dtype)
        self.layer1 = stage(width, width, stage_sizes[0], stride=1, dtype=dtype, rngs=rngs)
        self.layer2 = stage(4 * width, 2 * width, stage_sizes[1], dtype=dtype, rngs=rngs)
        self.layer3 = stage(8 * width, 4 * width, stage_sizes[2], dtype=dtype, rngs=rngs)
        self.layer4 = stage(16 * width, 8 * width, stage_sizes[3], dtype=dtype, rngs=rngs)
        self.level_features = (4 * width, 8 * width, 16 * width, 32 * width)

    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """Normalised images [B, H, W, 3] → levels 2–5, [B, ⌈H/s⌉, ⌈W/s⌉, 4·width·s/4]."""
        with jax.named_scope("stem"):
            x = nnx.relu(self.bn1(self.conv1(x)))
            x = max_pool(x, 3)
        levels = []
        for number, layer in enumerate((self.layer1, self.layer2, self.layer3, self.layer4), 1):
            with jax.named_scope(f"layer{number}"):
                for block in layer:
                    x = block(x)
            levels.append(x)
        return levels

"""ResNet with bottleneck blocks (He et al. 2016; torchvision's v1.5) as a backbone.

Attributes are named as in torchvision (`conv1`, `bn1`, `layer1`, …).
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from class_jax.models.layers import Backbone, BatchNorm, Conv, convolve, max_pool, relu

EXPANSION = 4  # the output of a bottleneck is four times as wide as its 3×3 convolution


class ImageConv(Conv):
    """The first convolution: 7×7 with stride 2, of images.

    TPUs keep an image's three channels in the place of 128, and move it about for this convolution
    longer than they compute. There it is computed on blocks of 2×2 pixels.
    """

    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the kernel: [B, H, W, 3] → [B, ⌈H/2⌉, ⌈W/2⌉, features]."""
        plain = functools.partial(convolve, stride=2, pad=((3, 3), (3, 3)))
        kernel = self.kernel[...].astype(x.dtype)
        return jax.lax.platform_dependent(x, kernel, tpu=convolve_blocks, default=plain)


def convolve_blocks(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Apply the kernel of `ImageConv` as one of 4×4 on blocks of 2×2 pixels.

    Row 2i + k − 3 of the image, which tap k reads for output i, is row (k + 1) mod 2 of block
    i + ⌊(k + 1) / 2⌋ − 2.
    """
    batch, height, width, channels = x.shape
    rows, columns = -(-height // 2), -(-width // 2)
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    x = x.reshape(batch, rows, 2, columns, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    kernel = jnp.pad(kernel, ((1, 0), (1, 0), (0, 0), (0, 0)))
    kernel = kernel.reshape(4, 2, 4, 2, channels, -1).transpose(0, 2, 1, 3, 4, 5)
    x = x.reshape(batch, rows, columns, 4 * channels)
    kernel = kernel.reshape(4, 4, 4 * channels, -1)
    return convolve(x, kernel, stride=1, pad=((2, 1), (2, 1)))


class Bottleneck(nnx.Module):
    """1×1 reduction, 3×3 (with the stride, "v1.5"), 1×1 expansion, plus the shortcut."""

    def __init__(self, in_features: int, width: int, *, stride: int) -> None:
        """Create a block from `in_features` to `4 * width` channels."""
        out = EXPANSION * width
        self.conv1, self.bn1 = Conv(in_features, width, 1), BatchNorm(width)
        self.conv2, self.bn2 = Conv(width, width, 3, stride=stride), BatchNorm(width)
        self.conv3, self.bn3 = Conv(width, out, 1), BatchNorm(out)
        changes_shape = stride != 1 or in_features != out
        self.downsample = (
            nnx.List([Conv(in_features, out, 1, stride=stride), BatchNorm(out)])
            if changes_shape
            else None
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the block: [B, H, W, in] → [B, ⌈H/stride⌉, ⌈W/stride⌉, 4·width]."""
        y = relu(self.bn1(self.conv1(x)))
        y = relu(self.bn2(self.conv2(y)))
        shortcut = x
        for layer in self.downsample or ():
            shortcut = layer(shortcut)
        return relu(self.bn3(self.conv3(y)) + shortcut)


def make_stage(
    in_features: int, width: int, blocks: int, *, stride: int = 2
) -> nnx.List[Bottleneck]:
    """Create blocks of one width; the first carries the stride and widens to 4·`width`."""
    first = Bottleneck(in_features, width, stride=stride)
    rest = [Bottleneck(EXPANSION * width, width, stride=1) for _ in range(blocks - 1)]
    return nnx.List([first, *rest])


class ResNet(Backbone):
    """Stem and four stages; returns levels 2–5 of the paper, at strides 4, 8, 16, 32.

    ResNet-50 is `stage_sizes=(3, 4, 6, 3), width=64`: 23,508,032 parameters without classifier;
    ResNet-101 is `(3, 4, 23, 3)`.
    """

    NUM_STAGES = 4
    PARTS = (
        ("conv1", "bn1"),
        *((f"layer{number}",) for number in (1, 2, 3, 4)),
    )
    HEADS = ("fc.",)

    def __init__(self, *, stage_sizes: Sequence[int], width: int) -> None:
        """Create `stage_sizes` blocks in the four stages, on a stem of `width` channels."""
        self.conv1, self.bn1 = ImageConv(3, width, 7, stride=2), BatchNorm(width)
        self.layer1 = make_stage(width, width, stage_sizes[0], stride=1)
        self.layer2 = make_stage(4 * width, 2 * width, stage_sizes[1])
        self.layer3 = make_stage(8 * width, 4 * width, stage_sizes[2])
        self.layer4 = make_stage(16 * width, 8 * width, stage_sizes[3])
        self.level_features = (4 * width, 8 * width, 16 * width, 32 * width)

    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """Compute levels 2–5 of normalised images [B, H, W, 3].

        Returns:
          [B, ⌈H/s⌉, ⌈W/s⌉, width·s] at the strides s = 4, 8, 16, 32.
        """
        with jax.named_scope("stem"):
            x = max_pool(relu(self.bn1(self.conv1(x))), 3)
        levels = []
        for number, layer in enumerate((self.layer1, self.layer2, self.layer3, self.layer4), 1):
            with jax.named_scope(f"layer{number}"):
                for block in layer:
                    x = block(x)
            levels.append(x)
        return levels

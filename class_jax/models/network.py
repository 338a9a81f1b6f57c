"""The CLASS network (paper §3.1, Fig. 2): encoder, bridge, cross-level attention, decoder."""

import jax
import jax.numpy as jnp
from flax import nnx

from class_jax.models.attention import CrossLevelAttention
from class_jax.models.blocks import ConvBnRelu, conv, upsample
from class_jax.models.fusion import FeatureFusion
from class_jax.models.resnet import ResNet

# Mean and standard deviation of RGB on the 0–255 scale that the authors train with.
RGB_MEAN = (124.55, 118.90, 102.94)
RGB_STD = (56.77, 55.97, 57.50)


def normalize(images: jax.Array) -> jax.Array:
    """RGB 0–255, any dtype, [..., 3] → float32 of zero mean and unit variance per channel."""
    return (images.astype(jnp.float32) - jnp.array(RGB_MEAN)) / jnp.array(RGB_STD)


class Bridge(nnx.Module):
    """Compress a level to C channels (1×1), then transfer it to the task (3×3)."""

    def __init__(
        self, in_features: int, features: int, *, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        """From `in_features` to `features` = C channels."""
        self.compress = ConvBnRelu(in_features, features, 1, dtype=dtype, rngs=rngs)
        self.transfer = ConvBnRelu(features, features, 3, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, in] → [B, H, W, C]."""
        return self.transfer(self.compress(x))


class ClassNet(nnx.Module):
    """CLASS: images in, four maps of saliency logits out, the finest first."""

    def __init__(self, encoder: ResNet, *, features: int, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        """Put a decoder of width `features` (the paper's C) on an encoder that gives levels 2–5."""
        self.encoder = encoder
        self.dtype = dtype
        self.bridges = nnx.List(
            [Bridge(width, features, dtype=dtype, rngs=rngs) for width in encoder.level_features]
        )
        # Entry 0 of these serves level 2, entry 2 level 4.
        self.attentions = nnx.List(
            [CrossLevelAttention(features, dtype=dtype, rngs=rngs) for _ in range(3)]
        )
        self.fusions = nnx.List([FeatureFusion(features, dtype=dtype, rngs=rngs) for _ in range(3)])
        # Entry 0 supervises D_2, the finest stage, entry 3 D_5.
        self.heads = nnx.List(
            [conv(features, 1, 3, use_bias=True, dtype=dtype, rngs=rngs) for _ in range(4)]
        )

    def __call__(self, images: jax.Array) -> jax.Array:
        """Saliency logits of the four supervised stages.

        Args:
          images: normalised RGB, [B, H, W, 3], any H and W of at least 32.

        Returns:
          float32 [4, B, H, W]: logits of D_2, D_3, D_4, D_5 at the size of the images. The
          prediction is the sigmoid of entry 0.
        """
        levels = self.encoder(images.astype(self.dtype))
        levels = [bridge(level) for bridge, level in zip(self.bridges, levels, strict=True)]
        stages = self.decode(levels)
        return self.supervise(stages, images.shape[1], images.shape[2])

    def decode(self, levels: list[jax.Array]) -> list[jax.Array]:
        """Levels 2–5, [B, H_l, W_l, C] each → decoder stages D_2–D_5 of the same shapes."""
        high = levels[3]
        stages = [high]  # D_5 is level 5
        for index in (2, 1, 0):
            low = levels[index]
            size = low.shape[1:3]
            high_out, low_out = self.attentions[index](high, low)
            stage = self.fusions[index](
                low_out, upsample(high_out, *size), upsample(stages[0], *size)
            )
            stages.insert(0, stage)
        return stages

    def supervise(self, stages: list[jax.Array], height: int, width: int) -> jax.Array:
        """A 3×3 convolution to one logit for each stage, bilinear to the size of the images."""
        logits = [
            # Float32 before upsampling: losses and maps are computed from these values.
            upsample(head(stage).astype(jnp.float32), height, width)[..., 0]
            for head, stage in zip(self.heads, stages, strict=True)
        ]
        return jnp.stack(logits)

"""The CLASS network (paper §3.1, Fig. 2): encoder, bridge, cross-level attention, decoder."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from class_jax.models.attention import ChannelAttention, PositionAttention
from class_jax.models.fusion import ConvPair, FeatureFusion, ReleasedFusion, SumFusion
from class_jax.models.layers import ConvBnRelu, conv, upsample
from class_jax.models.resnet import ResNet
from class_jax.models.vgg import Vgg

# Mean and standard deviation of RGB on the 0–255 scale that the authors train with.
RGB_MEAN = (124.55, 118.90, 102.94)
RGB_STD = (56.77, 55.97, 57.50)

STAGES = 4  # supervised: D_2, D_3, D_4, D_5


def normalize(images: jax.Array) -> jax.Array:
    """RGB 0–255, any dtype, [..., 3] → float32 of zero mean and unit variance per channel."""
    return (images.astype(jnp.float32) - jnp.array(RGB_MEAN)) / jnp.array(RGB_STD)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoder:
    """The decoder's settings; the defaults are the paper's.

    The authors' released network differs in `global_context`, `transfer_per_attention`,
    `query_reduction`, `misread_positions`, `prefer_unlike_channels` and `fusion`; the paper's
    ablations leave out attentions or the fusion module.
    """

    features: int = 64  # C, channels of the whole decoder
    global_context: bool = False  # add level 5's global average to level 5
    transfer_per_attention: bool = False  # 3×3 pairs for each attention, not one per level
    position_attention: bool = True
    channel_attention: bool = True
    query_reduction: int = 1  # queries and keys have C divided by this many channels
    misread_positions: bool = False  # what position attention gathers, see attention.misread
    prefer_unlike_channels: bool = False  # turn the channel energies round
    fusion: str = "paper"  # "paper", "released" or "sum"


class Bridge(nnx.Module):
    """Compress a level to C channels (1×1), then transfer it to the task (3×3)."""

    def __init__(
        self, in_features: int, settings: Decoder, *, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        """From `in_features` to C channels; where attentions transfer, only compress."""
        features, compress_only = settings.features, settings.transfer_per_attention
        self.compress = ConvBnRelu(
            in_features, features, 1, use_bias=compress_only, dtype=dtype, rngs=rngs
        )
        self.transfer: nnx.List[ConvBnRelu] = nnx.List([])
        if not compress_only:
            self.transfer.append(ConvBnRelu(features, features, 3, dtype=dtype, rngs=rngs))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, in] → [B, H, W, C]."""
        x = self.compress(x)
        for layer in self.transfer:
            x = layer(x)
        return x


class Stage(nnx.Module):
    """Cross-level attention of level 5 and a level l, then their fusion into D_l."""

    def __init__(self, settings: Decoder, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        """Build the parts that the settings ask for; each list has one entry or none."""
        features = settings.features
        self.transfer_high: nnx.List[ConvPair] = nnx.List([])
        self.transfer_low: nnx.List[ConvPair] = nnx.List([])
        if settings.transfer_per_attention:
            self.transfer_high.append(ConvPair(features, dtype=dtype, rngs=rngs))
            self.transfer_low.append(ConvPair(features, dtype=dtype, rngs=rngs))
        self.position: nnx.List[PositionAttention] = nnx.List([])
        self.channel: nnx.List[ChannelAttention] = nnx.List([])
        if settings.position_attention:
            self.position.append(
                PositionAttention(
                    features,
                    query_features=features // settings.query_reduction,
                    misread_output=settings.misread_positions,
                    dtype=dtype,
                    rngs=rngs,
                )
            )
        if settings.channel_attention:
            self.channel.append(ChannelAttention(prefer_unlike=settings.prefer_unlike_channels))
        self.fusion = make_fusion(settings, dtype=dtype, rngs=rngs)

    def __call__(self, high: jax.Array, low: jax.Array, previous: jax.Array) -> jax.Array:
        """Level 5, level l and D_{l+1}, [B, H, W, C] each → D_l of the shape of level l."""
        for layer in self.transfer_high:
            high = layer(high)
        for layer in self.transfer_low:
            low = layer(low)
        high_out, low_out = high, low
        for position in self.position:
            high_out = position(high, low)
        for channel in self.channel:
            low_out = channel(high, low)
        size = low.shape[1:3]
        with jax.named_scope("fusion"):
            return self.fusion(low_out, upsample(high_out, *size), upsample(previous, *size))


def make_fusion(
    settings: Decoder, *, dtype: jnp.dtype, rngs: nnx.Rngs
) -> FeatureFusion | ReleasedFusion | SumFusion:
    """The fusion that the settings name."""
    if settings.fusion == "paper":
        return FeatureFusion(settings.features, dtype=dtype, rngs=rngs)
    if settings.fusion == "released":
        return ReleasedFusion(settings.features, dtype=dtype, rngs=rngs)
    return SumFusion(
        settings.features, with_high=settings.position_attention, dtype=dtype, rngs=rngs
    )


class ClassNet(nnx.Module):
    """CLASS: images in, four maps of saliency logits out, the finest first."""

    def __init__(
        self, encoder: ResNet | Vgg, settings: Decoder, *, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        """Put a decoder on an encoder that gives levels 2–5."""
        self.encoder = encoder
        self.dtype = dtype
        self.global_context = settings.global_context
        self.bridges = nnx.List(
            [Bridge(width, settings, dtype=dtype, rngs=rngs) for width in encoder.level_features]
        )
        # Entry 0 makes D_2, entry 2 D_4.
        self.stages = nnx.List([Stage(settings, dtype=dtype, rngs=rngs) for _ in range(STAGES - 1)])
        self.last: nnx.List[ConvPair] = nnx.List([])  # D_5 is level 5, or made from it
        if settings.transfer_per_attention:
            self.last.append(ConvPair(settings.features, dtype=dtype, rngs=rngs))
        # Entry 0 supervises D_2, the finest stage, entry 3 D_5.
        self.heads = nnx.List(
            [
                conv(settings.features, 1, 3, use_bias=True, dtype=dtype, rngs=rngs)
                for _ in range(STAGES)
            ]
        )

    def __call__(self, images: jax.Array) -> jax.Array:
        """Saliency logits of the four supervised stages.

        Args:
          images: normalised RGB, [B, H, W, 3], any H and W of at least 32.

        Returns:
          float32 [4, B, H, W]: logits of D_2, D_3, D_4, D_5 at the size of the images. The
          prediction is the sigmoid of entry 0.
        """
        with jax.named_scope("encoder"):
            levels = self.encoder(images.astype(self.dtype))
        with jax.named_scope("bridges"):
            if self.global_context:
                average = levels[-1].mean(axis=(1, 2), keepdims=True, dtype=jnp.float32)
                levels[-1] = levels[-1] + average.astype(self.dtype)
            levels = [bridge(level) for bridge, level in zip(self.bridges, levels, strict=True)]
        return self.supervise(self.decode(levels), images.shape[1], images.shape[2])

    def decode(self, levels: list[jax.Array]) -> list[jax.Array]:
        """Levels 2–5, [B, H_l, W_l, C] each → decoder stages D_2–D_5 of the same shapes."""
        *low_levels, high = levels
        decoded = high
        for layer in self.last:
            decoded = layer(decoded)
        stages = [decoded]
        for stage, low in zip(reversed(self.stages), reversed(low_levels), strict=True):
            with jax.named_scope(f"stage{STAGES + 1 - len(stages)}"):
                stages.insert(0, stage(high, low, stages[0]))
        return stages

    @jax.named_scope("heads")
    def supervise(self, stages: list[jax.Array], height: int, width: int) -> jax.Array:
        """A 3×3 convolution to one logit for each stage, bilinear to the size of the images."""
        logits = [
            # Float32 before upsampling: losses and maps are computed from these values.
            upsample(head(stage).astype(jnp.float32), height, width)[..., 0]
            for head, stage in zip(self.heads, stages, strict=True)
        ]
        return jnp.stack(logits)

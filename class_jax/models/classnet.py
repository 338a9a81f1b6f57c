"""The CLASS network (paper §3.1, Fig. 2): backbone, bridges, cross-level attention, decoder."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from class_jax.models.attention import ChannelAttention, PositionAttention
from class_jax.models.fusion import FeatureFusion, ReleasedFusion, SumFusion
from class_jax.models.layers import Backbone, ConvBnRelu, ConvPair, MapConv, upsample

STAGES = 4  # supervised: D_2, D_3, D_4, D_5
QUERY_REDUCTION = 8  # in the released form queries and keys have C / 8 channels


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderSettings:
    """The decoder's settings; the defaults are the paper's.

    The authors' released network has another form (docs/weights.md lists the differences); the
    paper's ablations leave out attentions or the fusion module.
    """

    form: str = "paper"  # or "released"
    features: int = 64  # C, channels of the whole decoder
    position_attention: bool = True
    channel_attention: bool = True
    fusion_module: bool = True  # False: a sum in its place

    @property
    def is_released(self) -> bool:
        """Return whether the network is of the authors' released form."""
        return self.form == "released"


class Attention(NamedTuple):
    """The attention weights of a stage; None where it has no such attention."""

    position: jax.Array | None  # S, float32 [B, H_h·W_h, H_l·W_l]
    alpha: jax.Array | None  # the scale of what position attention gathers
    channel: jax.Array | None  # Z, float32 [B, C, C]
    high: jax.Array  # level 5 as the attentions see it, [B, H_h, W_h, C]
    low_shape: tuple[int, ...]  # H_l, W_l


class Bridge(nnx.Module):
    """Compresses a level to C channels (1×1), then transfers it to the task (3×3).

    In the released form the first has a bias, and each stage transfers both its levels instead.
    """

    def __init__(self, in_features: int, settings: DecoderSettings) -> None:
        """Create the layers."""
        features, is_released = settings.features, settings.is_released
        self.compress = ConvBnRelu(in_features, features, 1, use_bias=is_released)
        self.transfer = None if is_released else ConvBnRelu(features, features, 3)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the bridge: [B, H, W, in] → [B, H, W, C]."""
        x = self.compress(x)
        return x if self.transfer is None else self.transfer(x)


class Stage(nnx.Module):
    """Cross-level attention of level 5 and a level l, then their fusion into D_l."""

    def __init__(self, settings: DecoderSettings) -> None:
        """Create the parts that the settings ask for."""
        features, is_released = settings.features, settings.is_released
        self.transfer_high = ConvPair(features) if is_released else None
        self.transfer_low = ConvPair(features) if is_released else None
        queries = max(features // QUERY_REDUCTION, 1) if is_released else features
        position = PositionAttention(features, query_features=queries, misread_output=is_released)
        self.position = position if settings.position_attention else None
        channel = ChannelAttention(prefer_unlike=is_released)
        self.channel = channel if settings.channel_attention else None
        fusion = ReleasedFusion if is_released else FeatureFusion
        self.fusion = (
            fusion(features)
            if settings.fusion_module
            else SumFusion(features, with_high=settings.position_attention)
        )

    def __call__(self, high: jax.Array, low: jax.Array, previous: jax.Array) -> jax.Array:
        """Compute D_l, of the shape of level l, from level 5, level l and D_{l+1}, [B, H, W, C]."""
        high, low = self._transfer(high, low)
        high_out = high if self.position is None else self.position(high, low)
        low_out = low if self.channel is None else self.channel(high, low)
        with jax.named_scope("fusion"):
            return self.fusion(low_out, high_out, previous)

    def _transfer(self, high: jax.Array, low: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return both levels as the attentions see them."""
        high = high if self.transfer_high is None else self.transfer_high(high)
        return high, low if self.transfer_low is None else self.transfer_low(low)

    def attend(self, high: jax.Array, low: jax.Array) -> Attention:
        """Return the weights of both attentions."""
        high, low = self._transfer(high, low)
        return Attention(
            None if self.position is None else self.position.weights(high, low),
            None if self.position is None else self.position.alpha[...],
            None if self.channel is None else self.channel.weights(high, low),
            high,
            low.shape[1:3],
        )


class ClassNet(nnx.Module):
    """CLASS: normalised images in, four maps of saliency logits out, the finest first."""

    def __init__(self, encoder: Backbone, settings: DecoderSettings) -> None:
        """Put a decoder on a backbone."""
        self.encoder = encoder
        self.has_global_context = settings.is_released
        self.bridges = nnx.List([Bridge(width, settings) for width in encoder.level_features])
        # Entry 0 makes D_2, entry 2 D_4.
        self.stages = nnx.List([Stage(settings) for _ in range(STAGES - 1)])
        # D_5 is level 5, or in the released form made from it.
        self.last = ConvPair(settings.features) if settings.is_released else None
        # Entry 0 supervises D_2, the finest stage, entry 3 D_5.
        heads = [MapConv(settings.features, 1, 3, use_bias=True) for _ in range(STAGES)]
        self.heads = nnx.List(heads)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Return the saliency logits of the four supervised stages.

        Args:
          images: normalised RGB, [B, H, W, 3] in the compute dtype, H and W of at least 32.

        Returns:
          float32 [4, B, H, W]: logits of D_2, D_3, D_4, D_5 at the size of the images.
        """
        return jnp.stack(self.supervise(self.decode(self.extract(images)), *images.shape[1:3]))

    def predict(self, images: jax.Array) -> jax.Array:
        """Return the logits of D_2, float32 [B, H, W], whose sigmoid is the prediction."""
        finest = self.decode(self.extract(images))[:1]
        return self.supervise(finest, *images.shape[1:3])[0]

    def extract(self, images: jax.Array) -> list[jax.Array]:
        """Return levels 2–5 behind their bridges, [B, H_l, W_l, C], of normalised images."""
        with jax.named_scope("encoder"):
            levels = self.encoder(images)
        with jax.named_scope("bridges"):
            if self.has_global_context:
                average = levels[-1].mean(axis=(1, 2), keepdims=True, dtype=jnp.float32)
                levels[-1] = levels[-1] + average.astype(levels[-1].dtype)
            return [bridge(level) for bridge, level in zip(self.bridges, levels, strict=True)]

    def attend(self, images: jax.Array) -> list[Attention]:
        """Return the attention weights of the stages of levels 2, 3, 4, of normalised images."""
        *low_levels, high = self.extract(images)
        return [stage.attend(high, low) for stage, low in zip(self.stages, low_levels, strict=True)]

    def decode(self, levels: list[jax.Array]) -> list[jax.Array]:
        """Return decoder stages D_2–D_5 of levels 2–5, both [B, H_l, W_l, C]."""
        *low_levels, high = levels
        stages = [high if self.last is None else self.last(high)]
        for stage, low in zip(reversed(self.stages), reversed(low_levels), strict=True):
            with jax.named_scope(f"stage{STAGES + 1 - len(stages)}"):
                stages.insert(0, stage(high, low, stages[0]))
        return stages

    @jax.named_scope("heads")
    def supervise(self, stages: list[jax.Array], height: int, width: int) -> list[jax.Array]:
        """Return the logits of the first stages, a 3×3 convolution resized to the images' size."""
        return [
            upsample(head(stage), height, width)[..., 0]
            for head, stage in zip(self.heads, stages, strict=False)
        ]

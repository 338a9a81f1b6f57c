"""EfficientNet-Lite (Tan & Le 2019; the TPU project's "Lite" form) as a backbone.

Inverted residual blocks with ReLU6 and without squeeze-and-excitation. Weights are TensorFlow's:
"SAME" padding, batch norm with ε = 1e-3, images as (x − 127) / 128.
"""

import functools
from collections.abc import Sequence

import jax
from flax import nnx

from class_jax.models.depthwise import DepthwiseConv, same_padding
from class_jax.models.layers import Backbone, BatchNorm, Conv, convolve, relu6

EPSILON = 1e-3
EXPANSION = 6
KERNELS = (3, 3, 5, 3, 5, 5, 3)  # sides, of the seven stages
STRIDES = (1, 2, 2, 2, 1, 2, 1)
WIDTHS = (16, 24, 40, 80, 112, 192, 320)  # for a stem of 32 channels
TAPPED = (1, 2, 4, 6)  # stages whose last outputs are levels 2–5


class Stem(Conv):
    """The first convolution: 3×3 with stride 2, padded as TensorFlow's "SAME"."""

    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the kernel: [B, H, W, 3] → [B, ⌈H/2⌉, ⌈W/2⌉, features]."""
        pads = [same_padding(length, self.size, self.stride) for length in x.shape[1:3]]
        return convolve(x, self.kernel[...].astype(x.dtype), stride=self.stride, pad=pads)


class Block(nnx.Module):
    """Inverted residual: 1×1 to more channels (not in the first stage), depthwise, 1×1 back."""

    def __init__(
        self, in_features: int, out_features: int, size: int, *, stride: int, expansion: int
    ) -> None:
        """Create a block from `in_features` to `out_features` channels."""
        inner = expansion * in_features
        layers: list[tuple[nnx.Module, int]] = [
            (DepthwiseConv(inner, size, stride=stride), inner),
            (Conv(inner, out_features, 1), out_features),
        ]
        if expansion > 1:
            layers.insert(0, (Conv(in_features, inner, 1), inner))
        self.depth = len(layers)
        for number, (layer, features) in enumerate(layers, 1):
            setattr(self, f"conv{number}", layer)
            setattr(self, f"bn{number}", BatchNorm(features, epsilon=EPSILON))
        self.has_shortcut = stride == 1 and in_features == out_features

    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the block: [B, H, W, in] → [B, ⌈H/stride⌉, ⌈W/stride⌉, out]."""
        y = x
        for number in range(1, self.depth + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = relu6(y) if number < self.depth else y
        return y + x if self.has_shortcut else y


class EfficientNet(Backbone):
    """Stem and seven stages; returns levels 2–5 of the paper, at strides 4, 8, 16, 32.

    EfficientNet-Lite0 is `stage_sizes=(1, 2, 2, 3, 3, 4, 1), width=32`: 2,958,848 parameters
    without its head (a 1×1 convolution to 1,280 channels and the classifier).
    """

    NUM_STAGES = 7
    PARTS = (
        ("conv1", "bn1", "blocks/0"),
        ("blocks/1",),
        ("blocks/2",),
        ("blocks/3", "blocks/4"),
        ("blocks/5", "blocks/6"),
    )
    EPSILON = EPSILON
    MEAN = (127.0, 127.0, 127.0)
    STD = (128.0, 128.0, 128.0)
    HEADS = ("conv_head.", "bn2.", "classifier.", "_conv_head.", "_bn1.", "_fc.")

    def __init__(self, *, stage_sizes: Sequence[int], width: int) -> None:
        """Create `stage_sizes` blocks in the seven stages, on a stem of `width` channels."""
        widths = [max(1, width * count // 32) for count in WIDTHS]
        self.conv1 = Stem(3, width, 3, stride=2)
        self.bn1 = BatchNorm(width, epsilon=EPSILON)
        self.blocks: nnx.List[nnx.List[Block]] = nnx.List([])
        features = width
        for stage, (count, out) in enumerate(zip(stage_sizes, widths, strict=True)):
            make = functools.partial(
                Block, size=KERNELS[stage], expansion=EXPANSION if stage else 1
            )
            first = make(features, out, stride=STRIDES[stage])
            rest = [make(out, out, stride=1) for _ in range(count - 1)]
            self.blocks.append(nnx.List([first, *rest]))
            features = out
        self.level_features = tuple(widths[stage] for stage in TAPPED)

    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """Compute levels 2–5 of normalised images [B, H, W, 3].

        Returns:
          [B, ⌈H/s⌉, ⌈W/s⌉, C_l] at the strides s = 4, 8, 16, 32; 24, 40, 112, 320 channels.
        """
        with jax.named_scope("stem"):
            x = relu6(self.bn1(self.conv1(x)))
        levels = []
        for number, blocks in enumerate(self.blocks):
            with jax.named_scope(f"blocks{number}"):
                for block in blocks:
                    x = block(x)
            if number in TAPPED:
                levels.append(x)
        return levels

    @staticmethod
    def torch_names(module: tuple[str, ...], *, stage_sizes: Sequence[int]) -> tuple[str, ...]:
        """Return timm's name of a module and that of efficientnet-lite-pytorch.

        ("blocks", "1", "0", "conv2") → "blocks.1.0.conv_dw", "_blocks.1._depthwise_conv".
        """
        if module[0] != "blocks":
            return {"conv1": ("conv_stem", "_conv_stem"), "bn1": ("bn1", "_bn0")}[module[0]]
        stage, block, layer = int(module[1]), int(module[2]), int(module[3][-1])
        place = layer - 1 if stage else layer  # in an inverted block; the first stage begins later
        if module[3].startswith("bn"):
            timm, other = f"bn{layer}", f"_bn{place}"
        else:
            timm = ("conv_pw", "conv_dw", "conv_pwl" if stage else "conv_pw")[place]
            other = ("_expand_conv", "_depthwise_conv", "_project_conv")[place]
        number = sum(stage_sizes[:stage]) + block
        return f"blocks.{stage}.{block}.{timm}", f"_blocks.{number}.{other}"

"""VGG (Simonyan & Zisserman 2015; torchvision's layout, no batch norm) as a backbone."""

from collections.abc import Sequence

import jax
from flax import nnx

from class_jax.models.layers import Backbone, Conv, max_pool, relu


class Vgg(Backbone):
    """Five groups of 3×3 convolutions with max-pooling between; returns levels 2–5 of the paper.

    The paper names no taps; read literally the five groups are levels 1–5, so that conv2_2,
    conv3_3, conv4_3 and conv5_3 are tapped, at strides 2, 4, 8 and 16. VGG-16 is
    `stage_sizes=(2, 2, 3, 3, 3), width=64`: 14,714,688 parameters without classifier.
    """

    NUM_STAGES = 5
    PARTS = tuple((f"groups/{i}",) for i in range(5))
    HEADS = ("classifier.", "pre_logits.", "head.")

    def __init__(self, *, stage_sizes: Sequence[int], width: int) -> None:
        """Create groups of `stage_sizes` convolutions; the first has `width` channels."""
        widths = (width, 2 * width, 4 * width, 8 * width, 8 * width)
        self.groups: nnx.List[nnx.List[Conv]] = nnx.List([])
        features = 3
        for size, out in zip(stage_sizes, widths, strict=True):
            inputs = (features, *([out] * (size - 1)))
            self.groups.append(nnx.List([Conv(count, out, 3, use_bias=True) for count in inputs]))
            features = out
        self.level_features = widths[1:]

    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """Compute levels 2–5 of normalised images [B, H, W, 3].

        Returns:
          [B, ⌊H/s⌋, ⌊W/s⌋, C_l] at the strides s = 2, 4, 8, 16.
        """
        levels: list[jax.Array] = []
        for number, group in enumerate(self.groups, 1):
            with jax.named_scope(f"group{number}"):
                if levels:
                    x = max_pool(x, 2)
                for layer in group:
                    x = relu(layer(x))
            levels.append(x)
        return levels[1:]

    @staticmethod
    def torch_names(module: tuple[str, ...], *, stage_sizes: Sequence[int]) -> tuple[str, ...]:
        """Return torchvision's name of a module: ("groups", "1", "0") → "features.5".

        torchvision counts the convolutions, ReLUs and poolings of all groups in one sequence.
        """
        _, group, index = module
        start = sum(2 * size + 1 for size in stage_sizes[: int(group)])
        return (f"features.{start + 2 * int(index)}",)

"""The backbones that `config.model.backbone` may name; docs/extending.md shows how to add one."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import jax

from class_jax.models.efficientnet import EfficientNet
from class_jax.models.resnet import ResNet
from class_jax.models.vgg import Vgg


class Backbone(Protocol):
    """A network whose levels 2–5 the decoder uses."""

    NUM_STAGES: ClassVar[int]  # length of config.model.stage_sizes
    # Parameters by prefix: the stem's, then what level 2, 3, 4, 5 needs beyond the one before.
    PARTS: ClassVar[tuple[tuple[str, ...], ...]]
    HEADS: ClassVar[tuple[str, ...]]  # prefixes of classifier weights, which are ignored
    EPSILON: ClassVar[float]  # of its batch norms
    MEAN: ClassVar[tuple[float, ...]]  # RGB mean (0–255) that is subtracted from images
    STD: ClassVar[tuple[float, ...]]  # RGB standard deviation (0–255) that they are divided by

    @property
    def level_features(self) -> Sequence[int]:
        """Return the channels of levels 2–5."""
        ...

    def __init__(self, *, stage_sizes: Sequence[int], width: int) -> None:
        """Create the layers."""
        ...

    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """Compute levels 2–5, [B, H_l, W_l, C_l], of normalised images [B, H, W, 3]."""
        ...

    @staticmethod
    def torch_names(module: tuple[str, ...], *, stage_sizes: Sequence[int]) -> tuple[str, ...]:
        """Return the names of a module, by its path in ours, in PyTorch's files of weights.

        There is one name for each naming that such files come in, in the same order for all.
        """
        ...


BACKBONES: dict[str, type[Backbone]] = {
    "resnet": ResNet,
    "vgg": Vgg,
    "efficientnet": EfficientNet,
}

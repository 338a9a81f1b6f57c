"""The backbones that `config.model.backbone` may name; docs/extending.md shows how to add one."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import jax

from class_jax.models.resnet import ResNet
from class_jax.models.vgg import Vgg


class Backbone(Protocol):
    """A network whose levels 2–5 the decoder uses."""

    NUM_STAGES: ClassVar[int]  # length of config.model.stage_sizes
    STEM: ClassVar[tuple[str, ...]]  # parameters that config.train.freeze_stem holds, by prefix

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
    def torch_name(module: tuple[str, ...], *, stage_sizes: Sequence[int]) -> str:
        """Return the name of a module, by its path in ours, in PyTorch's files of weights."""
        ...


BACKBONES: dict[str, type[Backbone]] = {
    "resnet": ResNet,
    "vgg": Vgg,
}

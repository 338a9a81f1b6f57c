"""The interface of engines, which compute logits of square images."""

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from class_jax.models.classnet import Attention


class Engine(Protocol):
    """A loaded network, on any device."""

    image_size: int  # side of its square images, pixels
    batch_size: int  # the most images at once
    device: str  # for users
    is_on_cpu: bool

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Compute the finest logits, float32 [B, S, S], of RGB images, uint8 [B, S, S, 3]."""
        ...

    def attend(self, images: np.ndarray) -> "list[Attention]":
        """Compute the attention weights at levels 2, 3, 4, as arrays of NumPy.

        Raises:
          UserError: the network cannot show them.
        """
        ...

    def expect(self, count: int) -> None:
        """Compute batches as if each were one of `count` images, so that results are equal.

        The size of a batch may decide how sums are rounded.
        """
        ...

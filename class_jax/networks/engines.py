"""Engines compute logits of square images; predictors know nothing else of them."""

from typing import Protocol

import numpy as np


class Engine(Protocol):
    """A network that is loaded, on whatever computes it."""

    image_size: int  # side of its square images, pixels
    batch_size: int  # the most images at once
    device: str  # for users
    is_on_cpu: bool

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Compute the finest logits, float32 [B, S, S], of RGB images, uint8 [B, S, S, 3]."""
        ...

    def expect(self, count: int) -> None:
        """Compute batches as if each were one of `count` images, so that results are equal.

        The size of a batch may decide how sums are rounded.
        """
        ...

"""Augmentation for training: crop, flip, resize; images and masks alike (paper §4.1)."""

import cv2
import numpy as np

from class_jax.data.resize import resize
from class_jax.data.sources import Example


def augment(
    example: Example,
    rng: np.random.Generator,
    *,
    crop: float,
    image: np.ndarray,
    mask: np.ndarray,
) -> None:
    """Crop, flip with probability ½, and resize an example into `image` and `mask`.

    Masks stay soft: they are not made binary again after resizing.

    Args:
      example: image and mask of one size.
      rng: source of randomness.
      crop: largest share of a side that is cropped off; 0 for none.
      image: filled with the result, uint8 [S, S, 3].
      mask: filled with the result, uint8 [S, S].
    """
    height, width = example["mask"].shape
    rows, columns = random_span(height, rng, crop=crop), random_span(width, rng, crop=crop)
    is_flipped = rng.random() < 0.5
    for array, out in ((example["image"], image), (example["mask"], mask)):
        part = array[rows, columns]
        # By OpenCV, because it reads no negative strides, which a slice would leave.
        height, width = out.shape[:2]
        resize(cv2.flip(part, 1) if is_flipped else part, height, width, out=out)


def random_span(side: int, rng: np.random.Generator, *, crop: float) -> slice:
    """Draw the part of a side that is kept: 0 to side·crop pixels are removed, uniformly.

    How many of them are removed from the front is uniform too.
    """
    removed = int(rng.integers(0, int(side * crop) + 1))
    front = int(rng.integers(0, removed + 1))
    return slice(front, side - removed + front)

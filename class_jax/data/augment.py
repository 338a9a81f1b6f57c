"""Augmentation for training: crop, flip, resize; images and masks alike (paper §4.1)."""

import cv2
import numpy as np

from class_jax.data.images import resize_into
from class_jax.data.sources import Example


def augment(
    example: Example,
    rng: np.random.Generator,
    *,
    crop: float,
    image: np.ndarray,
    mask: np.ndarray,
) -> None:
    """Random crop, horizontal flip with probability ½, bilinear resize.

    Masks stay soft: they are not made binary again after resizing.

    Args:
      example: image and mask of one size.
      rng: where the randomness comes from.
      crop: the largest share of each side that is cropped off; 0 for none.
      image: is filled with the result, uint8 [S, S, 3].
      mask: is filled with the result, uint8 [S, S].
    """
    height, width = example["mask"].shape
    rows, columns = random_span(height, rng, crop=crop), random_span(width, rng, crop=crop)
    flipped = rng.random() < 0.5
    for whole, result in ((example["image"], image), (example["mask"], mask)):
        part = whole[rows, columns]
        # By OpenCV, because it reads no negative strides, which a slice would leave.
        resize_into(cv2.flip(part, 1) if flipped else part, result)


def random_span(side: int, rng: np.random.Generator, *, crop: float) -> slice:
    """What is kept of a side: a whole number from 0 to side·crop of pixels is removed in all.

    How many is drawn uniformly, and so is how many of them go from the front.
    """
    removed = int(rng.integers(0, int(side * crop) + 1))
    front = int(rng.integers(0, removed + 1))
    return slice(front, side - removed + front)

"""Augmentation for training: crop, flip, resize; images and masks alike (paper §4.1)."""

import cv2
import numpy as np

from class_jax.data.images import resize
from class_jax.data.sources import Example


def augment(example: Example, rng: np.random.Generator, *, size: int, crop: float) -> Example:
    """Random crop, horizontal flip with probability ½, bilinear resize to `size`×`size`.

    Masks stay soft: they are not made binary again after resizing.

    Args:
      example: image and mask of one size.
      rng: where the randomness comes from.
      size: side of the result, pixels.
      crop: the largest share of each side that is cropped off; 0 for none.
    """
    height, width = example["mask"].shape
    rows, columns = random_span(height, rng, crop=crop), random_span(width, rng, crop=crop)
    image, mask = example["image"][rows, columns], example["mask"][rows, columns]
    if rng.random() < 0.5:
        # By OpenCV, because it reads no negative strides, which a slice would leave.
        image, mask = cv2.flip(image, 1), cv2.flip(mask, 1)
    return {
        "name": example["name"],
        "image": resize(image, size, size),
        "mask": resize(mask, size, size),
    }


def random_span(side: int, rng: np.random.Generator, *, crop: float) -> slice:
    """What is kept of a side: a whole number from 0 to side·crop of pixels is removed in all.

    How many is drawn uniformly, and so is how many of them go from the front.
    """
    removed = int(rng.integers(0, int(side * crop) + 1))
    front = int(rng.integers(0, removed + 1))
    return slice(front, side - removed + front)

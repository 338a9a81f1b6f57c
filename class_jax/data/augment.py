"""Augmentation for training: the paper's crop, flip and resize (§4.1), and stronger kinds."""

from typing import NamedTuple

import cv2
import numpy as np

from class_jax.data.photometric import blur, compress, jitter_colour, paste_object, take_colour
from class_jax.data.resize import resize
from class_jax.data.sources import Example, Source

KEPT = 0.7  # share of the salient pixels that a window must hold
TRIES = 8  # windows, before the whole image is taken


class Augmentation(NamedTuple):
    """Kinds of augmentation; the defaults leave out everything but the flip."""

    crop: float = 0.0  # up to this share of a side is cropped off
    scale: float = 1.0  # below 1: random window with sides from `scale` to 1; replaces `crop`
    colour: float = 0.0  # strength of colour changes
    grey: float = 0.0  # share of images without colour
    blur: float = 0.0  # share of images that are blurred
    jpeg: float = 0.0  # share of images that are compressed
    composite: float = 0.0  # share of images whose object is placed on a background


def augment(
    example: Example,
    rng: np.random.Generator,
    *,
    settings: Augmentation,
    image: np.ndarray,
    mask: np.ndarray,
    backgrounds: Source | None = None,
) -> None:
    """Crop, flip with probability ½, and resize an example into `image` and `mask`.

    Masks stay soft: they are not made binary again after resizing. Kinds that are switched off draw
    no random number, so that batches of the paper's recipe do not depend on them.

    Args:
      example: image and mask of one size.
      rng: source of randomness.
      settings: kinds and strengths.
      image: filled with the result, uint8 [S, S, 3].
      mask: filled with the result, uint8 [S, S].
      backgrounds: images for composites.
    """
    if backgrounds and settings.composite > 0 and rng.random() < settings.composite:
        chosen = backgrounds.load(int(rng.integers(len(backgrounds.names))), side=len(image))
        example = paste_object(example, chosen["image"], rng) or example
    if settings.scale < 1:
        rows, columns = random_window(example["mask"], rng, scale=settings.scale)
    else:
        height, width = example["mask"].shape
        rows = random_span(height, rng, crop=settings.crop)
        columns = random_span(width, rng, crop=settings.crop)
    is_flipped = rng.random() < 0.5
    for array, out in ((example["image"], image), (example["mask"], mask)):
        part = array[rows, columns]
        # By OpenCV, because it reads no negative strides, which a slice would leave.
        height, width = out.shape[:2]
        resize(cv2.flip(part, 1) if is_flipped else part, height, width, out=out)
    if (changed := change_pixels(image, rng, settings)) is not image:
        image[...] = changed


def change_pixels(
    image: np.ndarray, rng: np.random.Generator, settings: Augmentation
) -> np.ndarray:
    """Return uint8 [H, W, 3] with colour, grey, blur and JPEG as the settings ask for."""
    if settings.colour > 0:
        image = jitter_colour(image, rng, strength=settings.colour)
    if settings.grey > 0 and rng.random() < settings.grey:
        image = take_colour(image)
    if settings.blur > 0 and rng.random() < settings.blur:
        image = blur(image, rng)
    if settings.jpeg > 0 and rng.random() < settings.jpeg:
        image = compress(image, rng)
    return image


def random_span(side: int, rng: np.random.Generator, *, crop: float) -> slice:
    """Draw the part of a side that is kept: 0 to side·crop pixels are removed, uniformly.

    How many of them are removed from the front is uniform too.
    """
    removed = int(rng.integers(0, int(side * crop) + 1))
    front = int(rng.integers(0, removed + 1))
    return slice(front, side - removed + front)


def random_window(
    mask: np.ndarray, rng: np.random.Generator, *, scale: float
) -> tuple[slice, slice]:
    """Draw rows and columns that hold most of the salient pixels of a mask [H, W].

    Each side of the window is `scale` to 1 of the mask's, the two within a quarter of each other.
    """
    salient = mask > 128
    total = salient.sum()
    for _ in range(TRIES):
        share = rng.uniform(scale, 1)
        shares = np.clip(share * rng.uniform(0.8, 1.25, 2), scale, 1)
        parts = np.maximum(1, np.rint(mask.shape * shares).astype(int))
        tops = [int(rng.integers(0, most + 1)) for most in mask.shape - parts]
        rows, columns = (slice(*span) for span in zip(tops, tops + parts, strict=True))
        if salient[rows, columns].sum() >= KEPT * total:
            return rows, columns
    return slice(None), slice(None)

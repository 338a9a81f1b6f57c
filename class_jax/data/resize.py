"""Resizing: images for the network, maps for scoring."""

import math

import cv2
import numpy as np
from PIL import Image


def resize(array: np.ndarray, height: int, width: int, out: np.ndarray | None = None) -> np.ndarray:
    """Resize [H, W] or [H, W, C] for the network, into `out` if given.

    A side that shrinks by two or more is averaged by area, which keeps noise and thin structures
    from aliasing; else, as for the published sets, bilinear with half-pixel centres.
    """
    tall, wide = array.shape[:2]
    by_area = (height if tall >= 2 * height else tall, width if wide >= 2 * width else wide)
    if by_area != (tall, wide):
        array = cv2.resize(array, by_area[::-1], interpolation=cv2.INTER_AREA)
    return cv2.resize(array, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)


def resize_bilinear(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize [H, W] or [H, W, C]: half-pixel centres, no antialias, as scoring scripts do."""
    return cv2.resize(array, (width, height), interpolation=cv2.INTER_LINEAR)


def resize_bicubic(levels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 [H, W] as MATLAB's imresize: bicubic, a = −0.5, antialiased when shrinking."""
    tall, wide = levels.shape
    # Pillow weighs pixels outside of `box` too: mirrored at the edges, as MATLAB has them.
    below = 2 * math.ceil(max(1, tall / height)) + 1
    beside = 2 * math.ceil(max(1, wide / width)) + 1
    mirrored = np.pad(levels, ((below, below), (beside, beside)), mode="symmetric")
    # As floats: of 8 bits Pillow would round after each of the two axes.
    resized = Image.fromarray(mirrored.astype(np.float32)).resize(
        (width, height),
        Image.Resampling.BICUBIC,
        box=(beside, below, beside + wide, below + tall),
    )
    return np.rint(np.asarray(resized)).clip(0, 255).astype(np.uint8)

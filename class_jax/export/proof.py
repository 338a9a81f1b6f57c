"""Compare an exported network with the one that was trained."""

import importlib.resources
from pathlib import Path

import numpy as np

from class_jax.data.images import load_image
from class_jax.data.resize import resize
from class_jax.export.formats import Maps

LIMIT = 1e-4  # of the range of maps, 0–1
LIMITS = {"float32": LIMIT, "float16": 0.05, "int8": 0.25}  # by the precision of the weights
BATCHES = (1, 3)
EXAMPLES = Path(str(importlib.resources.files("class_jax.serving") / "examples"))


def gather_images(side: int) -> np.ndarray:
    """Return images to compare on, uint8 [N, S, S, 3] of S pixels: photographs and noise."""
    paths = sorted(EXAMPLES.glob("*.jpg"))
    photographs = [resize(load_image(path).pixels, side, side) for path in paths]
    noise = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
    return np.stack([*photographs, *noise])


def measure_difference(ours: Maps, exported: Maps, images: np.ndarray) -> float:
    """Return the largest difference of the maps of images, in batches of one and of three.

    A map of the exported network that is not finite counts as a difference of infinity.
    """
    largest = 0.0
    for size in BATCHES:
        for start in range(0, len(images) - size + 1, size):
            batch = images[start : start + size]
            difference = np.abs(exported(batch).astype(np.float64) - ours(batch)).max()
            largest = max(largest, float(np.nan_to_num(difference, nan=np.inf)))
    return largest

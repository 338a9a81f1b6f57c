"""Composites: an object cut out by its mask, placed on another picture."""

import cv2
import numpy as np

from class_jax.data.sources import Example

SHARES = (0.3, 0.9)  # longer side of the object, of the background's shorter side
MIN_AREA = 0.01  # of its image that an object must cover
SOFT_SIGMA = 1.0  # pixels that the seam is softened by


def paste_object(
    example: Example, background: np.ndarray, rng: np.random.Generator
) -> Example | None:
    """Place the salient part of an example at random on a picture without an object.

    Args:
      example: its mask says what is cut out.
      background: uint8 [H, W, 3].
      rng: source of randomness: size, place, and a flip of the background.

    Returns:
      An example of the background's size; None if the mask is (nearly) empty or fills the image.
    """
    mask = example["mask"]
    rows, columns = (np.flatnonzero((mask > 128).any(axis=axis)) for axis in (1, 0))
    if rows.size == 0 or not MIN_AREA < (mask > 128).mean() < 1 - MIN_AREA:
        return None
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = background.shape[:2]
    scale = rng.uniform(*SHARES) * min(height, width) / max(mask[window].shape)
    size = [max(2, round(side * scale)) for side in mask[window].shape[::-1]]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    pixels = cv2.resize(np.ascontiguousarray(example["image"][window]), size, interpolation=method)
    levels = cv2.resize(np.ascontiguousarray(mask[window]), size, interpolation=method)
    top = int(rng.integers(0, height - size[1] + 1))
    left = int(rng.integers(0, width - size[0] + 1))
    canvas = background[:, ::-1].copy() if rng.random() < 0.5 else background.copy()
    place = np.s_[top : top + size[1], left : left + size[0]]
    result = np.zeros((height, width), np.uint8)
    result[place] = levels
    alpha = cv2.GaussianBlur(result, (0, 0), SOFT_SIGMA)[place][..., None].astype(np.float32) / 255
    canvas[place] = np.rint(alpha * pixels + (1 - alpha) * canvas[place]).astype(np.uint8)
    return {"name": example["name"], "image": canvas, "mask": result, "size": (height, width)}

"""Stronger augmentation: colour, grey, blur, JPEG and composites; pure functions of their rng."""

import cv2
import numpy as np

from class_jax.data.sources import Example

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of RGB, ITU-R BT.601
GAIN, CONTRAST, SATURATION, TINT = 0.4, 0.4, 0.5, 0.1  # largest relative changes at strength 1
BLUR_SIGMAS = (0.4, 2.0)  # pixels at a side of 224
JPEG_QUALITIES = (15, 75)
SHARES = (0.3, 0.9)  # object's longer side / background's shorter side
MIN_AREA = 0.01  # share of the image that an object must cover
SOFT_SIGMA = 1.0  # pixels, of the seam's blur


def jitter_colour(image: np.ndarray, rng: np.random.Generator, *, strength: float) -> np.ndarray:
    """Draw changes of brightness, contrast, saturation and tint, and apply them.

    y = gain · (m + contrast · (g + saturation · (x − g) − m)) · tint, with g the pixel's grey and
    m the image's mean grey.

    Args:
      image: uint8 [H, W, 3].
      rng: source of randomness.
      strength: 0 changes nothing, 1 the most.
    """
    limits = np.array([GAIN, CONTRAST, SATURATION, TINT, TINT, TINT])
    factors = 1 + strength * limits * rng.uniform(-1, 1, 6)
    gain, contrast, saturation = factors[:3].astype(np.float32)
    x = image.astype(np.float32)
    grey = (x @ LUMA)[..., None]
    mean = grey.mean()
    y = gain * (mean + contrast * (grey + saturation * (x - grey) - mean))
    return np.clip(np.rint(y * factors[3:].astype(np.float32)), 0, 255).astype(np.uint8)


def take_colour(image: np.ndarray) -> np.ndarray:
    """Return uint8 [H, W, 3] with each pixel's grey in all channels."""
    grey = np.rint(image.astype(np.float32) @ LUMA).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur uint8 [H, W, 3] by a Gaussian of random width, in proportion to the image's side."""
    sigma = rng.uniform(*BLUR_SIGMAS) * max(image.shape[:2]) / 224
    return cv2.GaussianBlur(image, (0, 0), sigma)


def compress(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return uint8 [H, W, 3] as a JPEG of random quality shows it."""
    quality = int(rng.integers(*JPEG_QUALITIES, endpoint=True))
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def paste_object(
    example: Example, background: np.ndarray, rng: np.random.Generator
) -> Example | None:
    """Place the salient part of an example at random on an image without an object.

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

"""Stronger augmentation of pixels: colour, grey, blur, JPEG; each a pure function of its rng."""

import cv2
import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of RGB, ITU-R BT.601
GAIN, CONTRAST, SATURATION, TINT = 0.4, 0.4, 0.5, 0.1  # largest relative changes at strength 1
BLUR_SIGMAS = (0.4, 2.0)  # pixels at a side of 224
JPEG_QUALITIES = (15, 75)


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

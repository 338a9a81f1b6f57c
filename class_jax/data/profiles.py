"""Colours between colour profiles, by LittleCMS."""

import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms


def convert_colours(pixels: np.ndarray, source: bytes | None, target: bytes | None) -> np.ndarray:
    """Convert uint8 RGB [H, W, 3] from one ICC profile to another; None stands for sRGB.

    Colours stay as they are where a profile cannot be used.
    """
    if source == target:
        return pixels
    try:
        converted = ImageCms.profileToProfile(
            Image.fromarray(np.ascontiguousarray(pixels)),
            _open(source),
            _open(target),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
        )
    except (OSError, ValueError, ImageCms.PyCMSError):  # damaged, or of another kind of colours
        return pixels
    return np.asarray(converted)


def _open(profile: bytes | None) -> Any:
    if profile is None:
        return ImageCms.createProfile("sRGB")
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))

"""Maps, cut-outs and overlays, drawn of an image and its map."""

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageOps

from class_jax.data.images import Original, convert_colours, to_levels
from class_jax.errors import UserError
from class_jax.pictures.alpha import blur_background, cut_out, estimate_foreground, refine_alpha

if TYPE_CHECKING:
    from class_jax.pictures.outputs import Background, Output, Scene

DIMMED = 0.25  # brightness of the background in an overlay
MARGIN = 0.05  # around a crop, as a share of the object's sides
EDGE = 0.5  # least level of the object in a crop


def draw_map(output: "Output", scene: "Scene") -> np.ndarray:
    """Draw a map as 8-bit grey."""
    mask = _find_mask(output, scene)
    return _crop(output, mask, to_levels(mask, scene.name))


def draw_overlay(output: "Output", scene: "Scene") -> np.ndarray:
    """Draw the image, dimmed where it is not salient."""
    assert scene.original is not None
    mask = _find_mask(output, scene)
    factor = (DIMMED + (1 - DIMMED) * mask)[..., None]
    return _crop(output, mask, np.rint(scene.original.pixels[..., :3] * factor).astype(np.uint8))


def draw_cutout(output: "Output", scene: "Scene") -> np.ndarray:
    """Cut out the object: transparent around it, or on a background."""
    assert scene.original is not None
    pixels = scene.original.pixels
    colours = np.ascontiguousarray(pixels[..., :3])
    mask = _find_mask(output, scene, refine=True)
    alpha = mask
    if pixels.shape[2] == 4:  # transparent parts of the image stay transparent
        alpha = np.minimum(mask, pixels[..., 3] * np.float32(1 / 255))
    if output.background is None:
        return _crop(output, mask, cut_out(colours, alpha))
    foreground = estimate_foreground(colours, alpha)
    profile = scene.original.metadata.get("icc_profile")
    behind = _fill_background(output.background, colours, alpha, profile)
    return _crop(output, mask, lay_over(foreground, alpha, behind))


def lay_over(foreground: np.ndarray, alpha: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Return α F + (1 − α) B, uint8 [H, W, 3]."""
    return cv2.blendLinear(foreground, behind, alpha, 1 - alpha)


def _find_mask(output: "Output", scene: "Scene", *, refine: bool = False) -> np.ndarray:
    """Return the map, hard if asked for; its edges are the image's if it was smoothed."""
    mask = scene.saliency
    if scene.original and (refine or output.smooth is not None):
        mask = refine_alpha(np.ascontiguousarray(scene.original.pixels[..., :3]), mask)
    return mask if output.threshold is None else (mask >= output.threshold).astype(np.float32)


def _fill_background(
    background: "Background", colours: np.ndarray, alpha: np.ndarray, profile: bytes | None
) -> np.ndarray:
    """Return a background, uint8, of the image's size and in its colour profile."""
    height, width = alpha.shape
    if isinstance(background, str):
        return blur_background(colours, alpha)
    if isinstance(background, Path):
        raise UserError(f"{background} is a video, and lies behind videos, not behind images.")
    if not isinstance(background, Original):
        colour = convert_colours(np.array([[background]], np.uint8), None, profile)
        return np.full((height, width, 3), colour[0, 0], np.uint8)
    image = Image.fromarray(background.pixels)
    inner = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    return convert_colours(np.asarray(inner), background.metadata.get("icc_profile"), profile)


def _crop(output: "Output", mask: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Crop to the object with a margin, if asked for and if there is an object."""
    if not output.crop:
        return pixels
    inside = mask >= EDGE
    if not inside.any():
        return pixels
    spans = []
    for places in map(np.flatnonzero, (inside.any(1), inside.any(0))):
        first, end = int(places[0]), int(places[-1]) + 1
        margin = round(MARGIN * (end - first))
        spans.append(slice(max(0, first - margin), end + margin))
    return np.ascontiguousarray(pixels[tuple(spans)])

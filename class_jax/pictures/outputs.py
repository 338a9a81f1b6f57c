"""Outputs of prediction beside maps: cut-outs and overlays, thresholds and crops."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ImageColor

from class_jax.data.images import read_image, to_levels
from class_jax.data.resize import resize
from class_jax.errors import UserError
from class_jax.pictures.alpha import (
    blur_background,
    cut_out,
    estimate_foreground,
    refine_alpha,
)

MAP, CUTOUT, OVERLAY, ATTENTION = "map", "cutout", "overlay", "attention"
KINDS = {MAP: "maps", CUTOUT: "cut-outs", OVERLAY: "overlays", ATTENTION: "sheets"}
SETTINGS = {  # that each kind takes
    MAP: ("threshold", "crop"),
    CUTOUT: ("threshold", "crop", "background"),
    OVERLAY: ("threshold", "crop"),
    ATTENTION: ("point",),
}
BLUR = "blur"
DIMMED = 0.25  # brightness of what is not salient in an overlay
MARGIN = 0.05  # of the object's sides, around a crop
OBJECT_LEVEL = 0.5  # from here on a pixel belongs to the object, unless a threshold is given

Background = str | np.ndarray | tuple[int, int, int]  # "blur", a picture or a colour


class Output(NamedTuple):
    """A kind of output: which picture is made of an image and its map."""

    kind: str = MAP  # one of KINDS
    background: Background | None = None  # of a cut-out; None: transparent
    threshold: float | None = None  # a hard mask at this level
    crop: bool = False  # to the object
    point: tuple[int, int] | None = None  # x, y: whose attention is shown
    text: str = ""  # differs if any of these does; "" for plain maps

    @property
    def noun(self) -> str:
        """Return what to call several of it."""
        return KINDS[self.kind]

    @property
    def needs_image(self) -> bool:
        """Return whether the image is needed beside its map."""
        return self.kind != MAP

    @property
    def has_alpha(self) -> bool:
        """Return whether the output is transparent in parts."""
        return self.kind == CUTOUT and self.background is None


MAPS = Output()


def parse_background(text: str | None) -> Background | None:
    """Return the background that a user named: "blur", a colour, or the path of a picture.

    Raises:
      UserError: it is none of them.
    """
    if text is None or text == BLUR:
        return text
    if (colour := parse_colour(text)) is not None:
        return colour
    if Path(text).expanduser().is_file():
        return read_image(Path(text).expanduser())
    raise UserError(
        f'{text} is no background: expected a colour such as "white" or "#20a0ff", the path of a '
        f'picture, or "{BLUR}".'
    )


def parse_colour(text: str) -> tuple[int, int, int] | None:
    """Return the red, green and blue of a colour's name or #RRGGBB; None if it is none."""
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        return None
    return red, green, blue


def parse_point(text: str | None, name: str) -> tuple[int, int] | None:
    """Return x and y of "X,Y"; UserError, which calls the setting `name`, for other texts."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise UserError(f"{name}={text}: expected X,Y in pixels, as in 120,80.")
    return int(parts[0]), int(parts[1])


def parse_threshold(text: str | float | None, name: str) -> float | None:
    """Return a level; UserError, which calls the setting `name`, unless it is above 0, up to 1."""
    if text is None:
        return None
    try:
        level = float(text)
    except ValueError:
        level = -1
    if not 0 < level <= 1:
        raise UserError(f"{name}={text}: expected a level above 0, up to 1.")
    return level


def render(
    output: Output, saliency: np.ndarray, image: np.ndarray | None, name: object
) -> np.ndarray:
    """Return the pixels of an output, uint8.

    Args:
      output: what to make.
      saliency: float32 [H, W] in 0–1.
      image: uint8 RGB or RGBA [H, W, C]; None for a map.
      name: of the output, for messages.

    Returns:
      [h, w] for a map, [h, w, 4] for a transparent cut-out, else [h, w, 3]; h and w are those of
      the map unless it is cropped.

    Raises:
      UserError: the map is not finite or not in 0–1.
    """
    to_levels(saliency, str(name))  # NaN would pass for an alpha
    mask = saliency
    if output.kind == CUTOUT and image is not None:
        mask = refine_alpha(image[..., :3], saliency)
    if output.threshold is not None:
        mask = (mask >= output.threshold).astype(np.float32)
    pixels = to_levels(mask, str(name)) if image is None else _paint(output, mask, image)
    return np.ascontiguousarray(pixels[_object_box(output, mask)]) if output.crop else pixels


def _paint(output: Output, mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the picture of a cut-out or an overlay, uncropped."""
    colours = image[..., :3]
    if output.kind == OVERLAY:
        return _multiply(colours, DIMMED + (1 - DIMMED) * mask)
    if image.shape[2] == 4:  # what the picture itself leaves transparent stays so
        mask = mask * (image[..., 3] * np.float32(1 / 255))
    if output.background is None:
        return cut_out(colours, mask)
    foreground = estimate_foreground(colours, mask)
    behind = _fill_background(output.background, colours, mask)
    return lay_over(foreground, mask, behind)


def lay_over(foreground: np.ndarray, alpha: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Return α F + (1 − α) B, uint8 [H, W, 3]."""
    return cv2.blendLinear(foreground, behind, alpha, 1 - alpha)


def _multiply(colours: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return np.rint(colours * factor[..., None]).astype(np.uint8)


def _fill_background(background: Background, image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return a background, uint8, of the image's size; a picture is cropped to its aspect."""
    height, width = alpha.shape
    if isinstance(background, str):
        return blur_background(image, alpha)
    if isinstance(background, tuple):
        return np.full((height, width, 3), background, np.uint8)
    tall, wide = background.shape[:2]
    scale = max(height / tall, width / wide)
    inner_height, inner_width = (min(side, round(new / scale)) for side, new in
                                 ((tall, height), (wide, width)))  # fmt: skip
    top, left = (tall - inner_height) // 2, (wide - inner_width) // 2
    inner = background[top : top + max(1, inner_height), left : left + max(1, inner_width)]
    return resize(np.ascontiguousarray(inner), height, width)


def _object_box(output: Output, mask: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns of the object with a margin; all of them if there is none."""
    inside = mask >= (OBJECT_LEVEL if output.threshold is None else 1)
    spans: list[slice] = []
    for axis in (1, 0):
        places: Sequence[int] = np.flatnonzero(inside.any(axis)).tolist()
        if not places:
            return slice(None), slice(None)
        margin = round(MARGIN * (places[-1] + 1 - places[0]))
        spans.append(slice(max(0, places[0] - margin), places[-1] + 1 + margin))
    return spans[0], spans[1]

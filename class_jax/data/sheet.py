"""Contact sheets: rows of images under captions. The one layout of all sheets."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from class_jax.data.check import SALIENT_ABOVE
from class_jax.data.sources import Example
from class_jax.text import shorten

CELL, GAP, LETTERS = 240, 4, 16  # pixels: the longer side of an image, between them, of text
GREY = 200  # of the paper: unlike a mask's black and white, so that its edges are seen
OUTLINE = (255, 255, 0)
ACROSS = 4  # images with outlines in a row


class Panel(NamedTuple):
    """An image, uint8 [H, W, 3] or [H, W], or none, and the line above it."""

    pixels: np.ndarray | None = None
    caption: str = ""


Row = str | Sequence[Panel]  # a line of text, or panels from the left


def draw_sheet(
    rows: Sequence[Row], *, cell: int = CELL, letters: int = LETTERS, paper: int = GREY
) -> np.ndarray:
    """Draw rows of panels and lines of text, each image in the middle of its cell.

    Images keep their aspect, and their longer side is `cell`; a row is as high as its highest
    image. Text that does not fit loses its beginning.

    Args:
      rows: at least one of panels.
      cell: pixels.
      letters: height of the text, pixels.
      paper: grey level of the background.

    Returns:
      uint8 [H, GAP + columns·(cell + GAP), 3].
    """
    across = max(len(row) for row in rows if not isinstance(row, str))
    width = GAP + across * (cell + GAP)
    font = ImageFont.load_default(letters)
    strips = [np.full((GAP, width, 3), paper, np.uint8)]
    for row in rows:
        captions = [row] if isinstance(row, str) else [panel.caption for panel in row]
        pitch = width - GAP if isinstance(row, str) else cell + GAP
        if any(captions):
            strip = Image.new("RGB", (width, letters * 3 // 2), (paper,) * 3)
            for index, caption in enumerate(captions):
                text = _fit_text(caption, font.getlength, pitch - GAP)
                left = GAP + index * pitch, strip.height // 2
                ImageDraw.Draw(strip).text(left, text, fill=(0, 0, 0), font=font, anchor="lm")
            strips.append(np.asarray(strip))
        if not isinstance(row, str) and any(panel.pixels is not None for panel in row):
            strips.append(_draw_pictures([panel.pixels for panel in row], width, cell, paper))
    return np.concatenate(strips)


def draw_outlines(examples: Sequence[Example]) -> np.ndarray:
    """Draw a sheet of images with the outlines of their masks over them, uint8 [H, W, 3]."""
    panels = []
    for example in examples:
        image, mask = fit(example["image"], CELL), fit(example["mask"], CELL)
        salient = (mask[..., 0] > SALIENT_ABOVE).astype(np.uint8)
        outlines, _ = cv2.findContours(salient, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        image = cv2.drawContours(np.ascontiguousarray(image), outlines, -1, (0, 0, 0), 3)
        panels.append(Panel(cv2.drawContours(image, outlines, -1, OUTLINE, 1)))
    return draw_sheet([panels[start : start + ACROSS] for start in range(0, len(panels), ACROSS)])


def _draw_pictures(
    pictures: Sequence[np.ndarray | None], width: int, cell: int, paper: int
) -> np.ndarray:
    """Draw a row of images and the gap below it."""
    fitted = [None if picture is None else fit(picture, cell) for picture in pictures]
    tallest = max(len(picture) for picture in fitted if picture is not None)
    strip = np.full((tallest + GAP, width, 3), paper, np.uint8)
    for index, picture in enumerate(fitted):
        if picture is not None:
            height, wide = picture.shape[:2]
            top = (tallest - height) // 2
            left = GAP + index * (cell + GAP) + (cell - wide) // 2
            strip[top : top + height, left : left + wide] = picture
    return strip


def fit(picture: np.ndarray, cell: int) -> np.ndarray:
    """Resize to RGB whose longer side is `cell`."""
    scale = cell / max(picture.shape[:2])
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    # Areas are averaged when shrinking: bilinear sampling would drop thin structures of a mask.
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    fitted = cv2.resize(picture, (width, height), interpolation=method)
    return fitted if fitted.ndim == 3 else np.repeat(fitted[..., None], 3, axis=-1)


def _fit_text(text: str, measure: Callable[[str], float], width: int) -> str:
    """Return as much of a text as fits into a width; the end is kept."""
    length = len(text)
    while length > 3 and measure(shorten(text, length)) > width:
        length -= 1
    return shorten(text, length)

"""Sheets for looking: images beside masks and maps, and masks' outlines over images."""

from collections.abc import Sequence

import cv2
import numpy as np

from class_jax.data.sources import Example

GAP = 4  # pixels between cells and around them
OUTLINE = (255, 255, 0)
BACKGROUND = 200  # unlike a mask's black and white, so that its edges are seen

Row = Sequence[np.ndarray | None]


def draw_montage(rows: Sequence[Row], *, cell: int = 160) -> np.ndarray:
    """Draw rows of image | mask | map or more, each fitted into a square cell.

    The aspect ratio is kept.

    Args:
      rows: equally many images, uint8 [H, W, 3] or [H, W], of any sizes, or None.
      cell: side of a cell, pixels.

    Returns:
      uint8 [GAP + rows·(cell + GAP), GAP + columns·(cell + GAP), 3].

    Raises:
      ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("a montage needs at least one row")
    return _draw_grid([array for row in rows for array in row], len(rows[0]), cell)


def draw_outlines(examples: Sequence[Example], *, cell: int = 240) -> np.ndarray:
    """Draw images with the outlines of their masks over them, four in a row.

    Args:
      examples: images and masks; at least one.
      cell: side of a cell, pixels.

    Returns:
      uint8 [H, W, 3].
    """
    drawn = []
    for example in examples:
        image, mask = _fit(example["image"], cell), _fit(example["mask"], cell)
        salient = (mask[..., 0] > 128).astype(np.uint8)
        outlines, _ = cv2.findContours(salient, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        image = cv2.drawContours(np.ascontiguousarray(image), outlines, -1, (0, 0, 0), 3)
        drawn.append(cv2.drawContours(image, outlines, -1, OUTLINE, 1))
    return _draw_grid(drawn, min(4, len(drawn)), cell)


def _draw_grid(arrays: Sequence[np.ndarray | None], across: int, cell: int) -> np.ndarray:
    """Draw images, uint8 [H, W, 3] or [H, W], into square cells, row by row."""
    pitch, down = cell + GAP, -(-len(arrays) // across)
    sheet = np.full((GAP + down * pitch, GAP + across * pitch, 3), BACKGROUND, np.uint8)
    for index, array in enumerate(arrays):
        if array is None:
            continue
        fitted = _fit(array, cell)
        height, width = fitted.shape[:2]
        top = GAP + index // across * pitch + (cell - height) // 2
        left = GAP + index % across * pitch + (cell - width) // 2
        sheet[top : top + height, left : left + width] = fitted
    return sheet


def _fit(array: np.ndarray, cell: int) -> np.ndarray:
    """Resize to RGB whose longer side is `cell`."""
    scale = cell / max(array.shape[:2])
    height, width = (max(1, round(side * scale)) for side in array.shape[:2])
    # Areas are averaged when shrinking: bilinear sampling would drop thin structures of a mask.
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    fitted = cv2.resize(array, (width, height), interpolation=method)
    return fitted if fitted.ndim == 3 else np.repeat(fitted[..., None], 3, axis=-1)

"""A sheet of images beside their masks and maps."""

from collections.abc import Sequence

import cv2
import numpy as np

GAP = 4  # pixels between cells and around them
BACKGROUND = 200  # unlike a mask's black and white, so that its edges are seen

Row = tuple[np.ndarray | None, np.ndarray, np.ndarray]


def draw_montage(rows: Sequence[Row], *, cell: int = 160) -> np.ndarray:
    """Draw rows of image | mask | map, each fitted into a square cell.

    The aspect ratio is kept.

    Args:
      rows: image, uint8 [H, W, 3] or None, mask and map, uint8 [H, W]; of any sizes.
      cell: side of a cell, pixels.

    Returns:
      uint8 [GAP + len(rows)·(cell + GAP), GAP + 3·(cell + GAP), 3].

    Raises:
      ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("a montage needs at least one row")
    pitch = cell + GAP
    sheet = np.full((GAP + len(rows) * pitch, GAP + 3 * pitch, 3), BACKGROUND, np.uint8)
    for index, row in enumerate(rows):
        for column, array in enumerate(row):
            if array is None:
                continue
            fitted = _fit(array, cell)
            height, width = fitted.shape[:2]
            top = GAP + index * pitch + (cell - height) // 2
            left = GAP + column * pitch + (cell - width) // 2
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

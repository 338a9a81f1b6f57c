"""Nearest salient pixels with ties broken as the `matlab` protocol's distance transform does.

Danielsson's sequential transform ("Euclidean distance mapping", 1980; scanline scheme 8SED) hands
each pixel's nearest salient pixel on to its neighbours, sweeping over the columns of the image
forth and back. Where several are equally near, the one that arrives first stays.
"""

from collections.abc import Iterable
from itertools import groupby

import numpy as np
from scipy.ndimage import distance_transform_edt

# The weighted F-measure smooths over 7×7 pixels, so that it asks for what is nearest to pixels at
# most 3·√2 away from a salient one; they take it from neighbours at most √2 farther away.
REACH = 4 * np.sqrt(2)  # pixels
FAR = 32000  # an offset that loses against any other

# Where a sweep looks for offsets, in its order: (rows, columns) from the pixel.
FORTH = ((-1, 0), (-1, -1), (0, -1), (1, -1))
FORTH_AGAIN = ((1, 0),)
BACK = ((1, 0), (1, 1), (0, 1), (-1, 1))
BACK_AGAIN = ((-1, 0),)


def nearest_salient(salient: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance to the nearest salient pixel, and which one it is.

    Ties are broken by the sweeps for pixels up to REACH from a salient one; farther away any of
    the nearest is given.

    Args:
      salient: bool [H, W] with at least one salient pixel.

    Returns:
      Distances in pixels, float64 [H, W], and the rows and the columns of the nearest, int [H, W].
    """
    distances, (rows, columns) = distance_transform_edt(~salient, return_indices=True)
    band = np.argwhere(((distances > 0) & (distances <= REACH)).T)[:, ::-1]
    y, x = band.T
    squares = np.rint(distances[y, x] ** 2).astype(int)
    offsets = _swept(salient, band, squares)
    # Not where the sweeps do not get: in an image of a single column they do not start.
    found = (offsets**2).sum(axis=1) == squares
    y, x, offsets = y[found], x[found], offsets[found]
    rows[y, x], columns[y, x] = y + offsets[:, 0], x + offsets[:, 1]
    return distances, rows, columns


def _swept(salient: np.ndarray, band: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Offsets (rows, columns) to the nearest salient pixel, [N, 2], of the pixels `band`, [N, 2].

    The pixels are ordered by column, then by row; `squares` are their squared distances. Only they
    hand anything on.
    """
    # Lists of numbers by position: arrays are slow where each value depends on the one before.
    flat = np.pad(salient, 1).T.ravel()  # a border, so that every pixel has eight neighbours
    down = np.where(flat, 0, FAR).tolist()
    right = list(down)
    stride = salient.shape[0] + 2
    positions = ((band[:, 1] + 1) * stride + band[:, 0] + 1).tolist()
    least = dict(zip(positions, squares.tolist(), strict=True))
    # The first column is not swept forth, nor the last one back.
    last = salient.shape[1] * stride
    forth = _by_column((at for at in positions if at >= 2 * stride), stride)
    back = _by_column((at for at in reversed(positions) if at < last), stride)
    changed = True
    while changed:
        changed = False
        for sweep, first, again in ((forth, FORTH, FORTH_AGAIN), (back, BACK, BACK_AGAIN)):
            for column in sweep:
                changed |= _hand_on(column, first, stride, down, right, least)
                changed |= _hand_on(column[::-1], again, stride, down, right, least)
    return np.array([down, right]).T[positions]


def _by_column(positions: Iterable[int], stride: int) -> list[list[int]]:
    return [list(group) for _, group in groupby(positions, key=lambda at: at // stride)]


def _hand_on(
    column: list[int],
    neighbours: tuple[tuple[int, int], ...],
    stride: int,
    down: list[int],
    right: list[int],
    least: dict[int, int],
) -> bool:
    """Give each pixel the offset of a neighbour that leads nearer; whether any did."""
    looks = [(row + beside * stride, row, beside) for row, beside in neighbours]
    changed = False
    for at in column:
        square = down[at] * down[at] + right[at] * right[at]
        if square == least[at]:
            continue  # what is equally near comes too late
        for away, row, beside in looks:
            rows, columns = down[at + away] + row, right[at + away] + beside
            nearer = rows * rows + columns * columns
            if nearer < square:
                down[at], right[at], square = rows, columns, nearer
                changed = True
    return changed

"""Outlines of synthetic objects: closed contours, placed in an image and rasterised."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

SUPERSAMPLING = 4
FIXED_POINT_BITS = 4


class Outline(NamedTuple):
    """Closed contours, float64 [N, 2] of (x, y); a second contour is a hole."""

    contours: tuple[np.ndarray, ...]

    def area(self) -> float:
        """Return the area enclosed, in squared units of the contours."""
        outer, *holes = map(_enclosed_area, self.contours)
        return outer - sum(holes)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Return the bounding box (left, top, right, bottom)."""
        (left, top), (right, bottom) = self.contours[0].min(0), self.contours[0].max(0)
        return float(left), float(top), float(right), float(bottom)

    def moved(self, *, scale: float = 1.0, by: np.ndarray | float = 0.0) -> "Outline":
        """Return the outline scaled about the origin, then shifted by (x, y)."""
        return Outline(tuple(contour * scale + by for contour in self.contours))


def _enclosed_area(contour: np.ndarray) -> float:
    x, y = contour.T
    closing = x[-1] * y[0] - y[-1] * x[0]
    return abs(float(x[:-1] @ y[1:] - y[:-1] @ x[1:] + closing) / 2)


def _polar(radii: np.ndarray, angles: np.ndarray, *, stretch: float, turn: float) -> Outline:
    """Return a contour at `radii` and `angles`, scaled by 1/`stretch` along y, then rotated."""
    points = np.stack([radii * np.cos(angles), radii * np.sin(angles) / stretch], axis=1)
    return Outline((_rotate(points, turn),))


def _rotate(points: np.ndarray, turn: float) -> np.ndarray:
    x, y = points.T
    cosine, sine = math.cos(turn), math.sin(turn)
    return np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=1)


def _around(count: int) -> np.ndarray:
    return np.arange(count) * (2 * math.pi / count)


def ellipse(rng: Generator, longest: float = 2) -> Outline:
    """Return an ellipse of axis ratio 1 to `longest`."""
    stretch, turn = rng.uniform(1, longest), rng.uniform(0, math.pi)
    return _polar(np.ones(48), _around(48), stretch=stretch, turn=turn)


def polygon(rng: Generator) -> Outline:
    """Return an irregular polygon of three to seven corners."""
    corners = int(rng.integers(3, 8))
    angles = _around(corners) + rng.uniform(-0.3, 0.3, corners)
    radii = rng.uniform(0.8, 1.1, corners)
    turn = rng.uniform(0, 2 * math.pi)
    return _polar(radii, angles, stretch=rng.uniform(1, 1.5), turn=turn)


def star(rng: Generator) -> Outline:
    """Return a star of four to seven points."""
    points = int(rng.integers(4, 8))
    radii = np.tile([1.0, rng.uniform(0.45, 0.65)], points)
    return _polar(radii, _around(2 * points), stretch=1, turn=rng.uniform(0, 2 * math.pi))


def blob(rng: Generator) -> Outline:
    """Return a smooth random closed curve: a circle disturbed by the first five harmonics."""
    angles, radii = _around(64), np.ones(64)
    for harmonic in range(2, 6):
        phase = rng.uniform(0, 2 * math.pi)
        radii += rng.uniform(0, 0.55) / harmonic * np.cos(harmonic * angles + phase)
    turn = rng.uniform(0, math.pi)
    return _polar(radii, angles, stretch=rng.uniform(1, 1.6), turn=turn)


def ring(rng: Generator) -> Outline:
    """Return an elliptic ring whose hole is 45 % to 65 % of its diameter."""
    (outer,) = ellipse(rng, longest=1.5).contours
    return Outline((outer, outer * rng.uniform(0.45, 0.65)))


def bar(rng: Generator) -> Outline:
    """Return a straight strip, six to nine times as long as wide."""
    half_width = 1 / rng.uniform(6, 9)
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (1, half_width)
    return Outline((_rotate(corners, rng.uniform(0, math.pi)),))


def cross(rng: Generator) -> Outline:
    """Return a cross of two thin strips."""
    half = 1 / rng.uniform(5.5, 8)
    quarter = np.array([[1, -half], [1, half], [half, half]])
    corners = np.concatenate([_rotate(quarter, step * math.pi / 2) for step in range(4)])
    return Outline((_rotate(corners, rng.uniform(0, math.pi)),))


def curve(rng: Generator) -> Outline:
    """Return a thin bent strip: an arc of 120° to 250°, tapered towards its ends."""
    span = rng.uniform(2.1, 4.4)
    angles = np.linspace(-span / 2, span / 2, 24)
    taper = np.sqrt(1.15 - np.linspace(-1, 1, 24) ** 2)
    half = rng.uniform(0.12, 0.18) * taper
    radii = np.concatenate([1 + half, (1 - half)[::-1]])
    angles = np.concatenate([angles, angles[::-1]])
    return _polar(radii, angles, stretch=1, turn=rng.uniform(0, 2 * math.pi))


BROAD: tuple[Callable[[Generator], Outline], ...] = (ellipse, polygon, star, blob, ring)
THIN: tuple[Callable[[Generator], Outline], ...] = (bar, cross, curve)


def place(rng: Generator, outline: Outline, height: int, width: int, *, crop: bool) -> Outline:
    """Place `outline` (pixels, about the origin) at random in the image.

    With `crop` it crosses one border by a tenth to four tenths of its extent. Otherwise it lies
    inside, shrunk if it is larger than the image.
    """
    left, top, right, bottom = outline.box
    shrink = min(1.0, 0.94 * width / (right - left), 0.94 * height / (bottom - top))
    extents = ((right - left) * shrink, (bottom - top) * shrink)
    across, down, hiding, side = rng.uniform(0, 1, 4).tolist()
    corner = [
        0.03 * frame + share * (0.94 * frame - extent)
        for frame, share, extent in zip((width, height), (across, down), extents, strict=True)
    ]
    if crop:
        axis = int(2 * side)
        hidden = (0.1 + 0.3 * hiding) * extents[axis]
        far = (width, height)[axis] - extents[axis] + hidden
        corner[axis] = -hidden if (4 * side) % 2 < 1 else far
    return outline.moved(scale=shrink, by=np.array(corner) - (left * shrink, top * shrink))


def rasterise(outline: Outline, height: int, width: int) -> np.ndarray:
    """Return the coverage of every pixel, uint8 [H, W] in 0..255, soft at the border."""
    scale = SUPERSAMPLING * 2**FIXED_POINT_BITS
    # Half a sample back: OpenCV's integer coordinates are the centres of samples.
    half = 2 ** (FIXED_POINT_BITS - 1)
    points = [np.rint(contour * scale - half).astype(np.int32) for contour in outline.contours]
    canvas = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING), np.uint8)
    cv2.fillPoly(canvas, points, 255, cv2.LINE_8, FIXED_POINT_BITS)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)


def union(covers: Sequence[np.ndarray]) -> np.ndarray:
    """Return the coverage of every pixel by any object, uint8 [H, W]."""
    return np.maximum.reduce(covers)

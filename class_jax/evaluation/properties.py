"""Properties of masks by which scores are broken down: see docs/evaluation.md for each formula."""

import cv2
import numpy as np

PROPERTIES = ("area", "objects", "border", "outline", "holes", "contrast")
SPECK = 0.001  # of the salient area: a smaller region is a slip of the annotation
RING = 0.05  # of the image's diagonal: how far an object's surroundings reach


def describe_mask(salient: np.ndarray, image: np.ndarray | None = None) -> np.ndarray:
    """Return the PROPERTIES of a mask; NaN for those that it does not have.

    Args:
      salient: bool [H, W].
      image: uint8 [h, w, 3] RGB, without which there is no contrast; resized to the mask's size.

    Returns:
      float64 [6]: the share of salient pixels, the number of objects, 1 if one of them touches the
      border, perimeter² / area, the number of holes, and the contrast in units of CIE Lab.
    """
    area = int(np.count_nonzero(salient))
    if not area:
        return np.array([0, 0, 0, np.nan, 0, np.nan])
    edges = salient[0], salient[-1], salient[:, 0], salient[:, -1]
    objects, holes = count_regions(salient)
    return np.array(
        [
            area / salient.size,
            objects,
            any(edge.any() for edge in edges),
            measure_perimeter(salient) ** 2 / area,
            holes,
            np.nan if image is None else measure_contrast(salient, image),
        ]
    )


def measure_perimeter(salient: np.ndarray) -> float:
    """Return the length of the outlines of a mask, bool [H, W], in pixels.

    Crofton's formula in four directions, P = π/8 · (n₀ + n₉₀ + (n₄₅ + n₁₃₅) / √2), where n counts
    the steps between salient and other pixels along all lines of a direction. Beyond the image
    nothing is salient.
    """
    padded = np.pad(salient, 1)
    straight = _count_steps(padded[1:], padded[:-1]) + _count_steps(padded[:, 1:], padded[:, :-1])
    diagonal = _count_steps(padded[1:, 1:], padded[:-1, :-1])
    diagonal += _count_steps(padded[1:, :-1], padded[:-1, 1:])
    return float(np.pi / 8 * (straight + diagonal / np.sqrt(2)))


def count_regions(salient: np.ndarray) -> tuple[int, int]:
    """Return how many objects (8-connected) a mask has and how many holes (4-connected).

    An object counts if it and its holes, a hole if it alone has at least SPECK of the salient area.
    """
    smallest = SPECK * np.count_nonzero(salient)
    outlines, hierarchy = cv2.findContours(
        salient.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    counts = [0, 0]
    for outline, (*_, parent) in zip(outlines, hierarchy[0] if outlines else (), strict=True):
        # Pick's theorem: the pixels within a polygon, with those on it or, for a hole, without.
        is_hole = int(parent >= 0)
        half = len(outline) / 2
        pixels = cv2.contourArea(outline) + 1 + (-half if is_hole else half)
        counts[is_hole] += int(pixels >= smallest)
    return counts[0], counts[1]


def measure_contrast(salient: np.ndarray, image: np.ndarray) -> float:
    """Return the distance of the mean colours of object and surroundings, ΔE*ab of CIE 1976.

    The surroundings are the other pixels within RING of the diagonal; NaN if there are none.
    """
    height, width = salient.shape
    if image.shape[:2] != salient.shape:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    distance = cv2.distanceTransform((~salient).astype(np.uint8), cv2.DIST_L2, 3)
    surroundings = ~salient & (distance <= RING * np.hypot(height, width))
    if not surroundings.any():
        return np.nan
    difference = _average_colour(image[salient]) - _average_colour(image[surroundings])
    return float(np.linalg.norm(difference))


def _average_colour(pixels: np.ndarray) -> np.ndarray:
    """Return the mean of RGB pixels, uint8 [n, 3], in CIE Lab, D65: float32 [3]."""
    scaled = pixels[None].astype(np.float32) / 255
    return cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB)[0].mean(axis=0)


def _count_steps(first: np.ndarray, second: np.ndarray) -> int:
    return int(np.count_nonzero(first != second))

"""Score groups of images with similar masks: small objects, several objects, at the border …

The masks' properties have their formulas in docs/evaluation.md.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from class_jax.evaluation.protocols import Figures, Measurement
from class_jax.evaluation.statistics import Interval, Statistics, average, resample

PROPERTIES = ("area", "objects", "border", "outline", "holes", "contrast")
SPECK = 0.001  # share of the salient area; smaller regions are slips of annotation
RING = 0.05  # width of an object's surroundings, as a share of the image's diagonal
SMALL = 0.02  # of the image: a small object
THIRDS = ("lowest third", "middle third", "highest third")  # of the images, by a property's value
COUNTS = {  # groups by count; the last one is "or more"
    "objects": ("none", "1", "2", "3 or more"),
    "border": ("inside", "touched"),
    "holes": ("none", "1 or more"),
}


class Group(NamedTuple):
    """The scores of images of a set whose masks have a property in a range."""

    property: str
    name: str
    low: float  # lowest value of the property in these images
    high: float
    images: int
    figures: Figures
    intervals: dict[str, Interval]


def describe_mask(salient: np.ndarray, image: np.ndarray | None = None) -> np.ndarray:
    """Return the PROPERTIES of a mask; NaN for those that it does not have.

    Args:
      salient: bool [H, W].
      image: uint8 [h, w, 3] RGB, without which there is no contrast; resized to the mask's size.

    Returns:
      float64 [6]: the share of salient pixels, the number of objects, 1 if one of them touches the
      border, perimeter² / area, the number of holes, and the contrast in units of CIE Lab.
    """
    if not salient.any():
        return np.array([0, 0, 0, np.nan, 0, np.nan])
    objects, holes, perimeter = measure_regions(salient)
    touches = salient[[0, -1]].any() or salient[:, [0, -1]].any()
    outline = perimeter**2 / np.count_nonzero(salient)
    contrast = np.nan if image is None else measure_contrast(salient, image)
    return np.array([salient.mean(), objects, touches, outline, holes, contrast])


def measure_regions(salient: np.ndarray) -> tuple[int, int, float]:
    """Return how many objects and holes a mask has, and the length of its outlines in pixels.

    Objects are 8-connected, holes 4-connected, and smaller ones than SPECK of the salient area do
    not count. The length is by Crofton's formula in four directions; beyond the image nothing is
    salient.

    Args:
      salient: bool [H, W], with a salient pixel.
    """
    # Imported here: it takes a third of a second, and predict and train do not need it.
    from skimage.measure import label, perimeter_crofton  # noqa: PLC0415

    tall, wide = (np.flatnonzero(salient.any(axis=axis)) for axis in (1, 0))
    salient = salient[tall[0] : tall[-1] + 1, wide[0] : wide[-1] + 1]
    smallest = SPECK * np.count_nonzero(salient)
    objects = np.bincount(label(salient, connectivity=2).ravel())[1:]
    # The first region of the others is what lies outside.
    holes = np.bincount(label(~np.pad(salient, 1), connectivity=1).ravel())[2:]
    num_objects, num_holes = (int((sizes >= smallest).sum()) for sizes in (objects, holes))
    return num_objects, num_holes, float(perimeter_crofton(salient, 4))


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
    pixels = (image[chosen][None].astype(np.float32) / 255 for chosen in (salient, surroundings))
    lab = [cv2.cvtColor(of_part, cv2.COLOR_RGB2LAB)[0].mean(axis=0) for of_part in pixels]  # D65
    return float(np.linalg.norm(lab[0] - lab[1]))


def break_down(measured: Measurement, properties: np.ndarray) -> list[Group]:
    """Return the scores of each group of N images, with their intervals.

    Args:
      measured: the images' measurements, `sums` [N, K].
      properties: of their masks, float64 [N, P].
    """
    scores = []
    for index, name, rows in find_groups(properties):
        values = properties[rows, index]
        group = dataclasses.replace(measured, sums=measured.sums[rows])
        intervals = Statistics(resample(group).figures()).intervals()
        span = values.min(), values.max(), len(rows)
        scores.append(Group(PROPERTIES[index], name, *span, average(group).figures(), intervals))
    return scores


def find_groups(properties: np.ndarray) -> Iterator[tuple[int, str, np.ndarray]]:
    """Yield the groups that contain images: a property's index, a name, and the images' numbers.

    `properties` are of the masks, float64 [N, P]; an image without a property, NaN, is in none of
    its groups.
    """
    for index, (name, values) in enumerate(zip(PROPERTIES, properties.T, strict=True)):
        if name in COUNTS:
            last = len(COUNTS[name]) - 1
            groups = {g: values.clip(max=last) == i for i, g in enumerate(COUNTS[name])}
        else:
            known = values[np.isfinite(values)]
            low, high = np.quantile(known, [1 / 3, 2 / 3]) if known.size else (np.nan, np.nan)
            thirds = values <= low, (low < values) & (values <= high), high < values
            groups = dict(zip(THIRDS, thirds, strict=True))
        if name == "area":
            groups["below 2 %"] = values < SMALL
        for group, chosen in groups.items():
            if chosen.any():
                yield index, group, np.flatnonzero(chosen)

"""Score groups of images with similar masks: small objects, several objects, at the border …"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from class_jax.evaluation.properties import PROPERTIES
from class_jax.evaluation.protocols import Figures
from class_jax.evaluation.statistics import Interval, Sample, average, find_interval, resample

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


def break_down(sample: Sample) -> list[Group]:
    """Return the scores of each group of a sample, with their intervals."""
    scores = []
    for number, name, rows in find_groups(sample.properties):
        values = sample.properties[rows, number]
        replicates = resample(sample, rows)
        intervals = {figure: find_interval(of_figure) for figure, of_figure in replicates.items()}
        span = values.min(), values.max(), len(rows)
        scores.append(Group(PROPERTIES[number], name, *span, average(sample, rows), intervals))
    return scores


def find_groups(properties: np.ndarray) -> Iterator[tuple[int, str, np.ndarray]]:
    """Yield the groups that contain images.

    Args:
      properties: of the masks, float64 [N, P]; an image whose property is NaN is in none of its
        groups.

    Yields:
      The index of the property, the group's name, and the numbers of its images.
    """
    for index, values in enumerate(properties.T):
        for name, chosen in _split(PROPERTIES[index], values):
            if chosen.any():
                yield index, name, np.flatnonzero(chosen)


def _split(name: str, values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the groups of a property, with a bool for each image."""
    if name in COUNTS:
        groups = COUNTS[name]
        yield from ((g, values.clip(max=len(groups) - 1) == i) for i, g in enumerate(groups))
    elif np.isfinite(values).any():
        cuts = (-np.inf, *np.nanquantile(values, [1 / 3, 2 / 3]), np.inf)
        for third, low, high in zip(THIRDS, cuts, cuts[1:], strict=False):
            yield third, (low < values) & (values <= high)
    if name == "area":
        yield "below 2 %", values < SMALL

"""Scores of the images of a set whose masks have something in common: small objects, several …"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from class_jax.evaluation.properties import PROPERTIES
from class_jax.evaluation.protocols import Figures
from class_jax.evaluation.statistics import Interval, Sample, average, find_interval, resample

SMALL = 0.02  # of the image: a small object
THIRDS = ("lowest third", "middle third", "highest third")


class Group(NamedTuple):
    """Images of a set whose masks have a property in a range."""

    property: str
    name: str
    low: float  # of the property, in these images
    high: float
    rows: np.ndarray  # their numbers


class GroupScores(NamedTuple):
    """The scores of a group of images."""

    property: str
    group: str
    low: float
    high: float
    images: int
    figures: Figures
    intervals: dict[str, Interval]


def break_down(sample: Sample) -> list[GroupScores]:
    """Return the scores of each group of a sample, with their intervals."""
    scores = []
    for group in find_groups(sample.properties):
        replicates = resample(sample, group.rows)
        intervals = {name: find_interval(values) for name, values in replicates.items()}
        figures = average(sample, group.rows)
        scores.append(GroupScores(*group[:4], len(group.rows), figures, intervals))
    return scores


def find_groups(properties: np.ndarray) -> list[Group]:
    """Return the groups of images that are not empty.

    Args:
      properties: of the masks, float64 [N, P]; an image whose property is NaN is in none of its
        groups.
    """
    return [
        Group(name, group, values[rows].min(), values[rows].max(), rows)
        for name, values in zip(PROPERTIES, properties.T, strict=True)
        for group, chosen in _split(name, values)
        if len(rows := np.flatnonzero(chosen))
    ]


def _split(name: str, values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the groups of a property, with a bool for each image."""
    if name == "objects":
        yield from (("none", values == 0), ("1", values == 1), ("2", values == 2))
        yield "3 or more", values >= 3
    elif name == "border":
        yield from (("inside", values == 0), ("touched", values == 1))
    elif name == "holes":
        yield from (("none", values == 0), ("1 or more", values >= 1))
    elif np.isfinite(values).any():
        first, second = np.nanquantile(values, [1 / 3, 2 / 3])
        yield THIRDS[0], values <= first
        yield THIRDS[1], (values > first) & (values <= second)
        yield THIRDS[2], values > second
    if name == "area":
        yield "below 2 %", values < SMALL

"""Measure one map by each protocol (runs in worker processes)."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from class_jax.data.check import SALIENT_ABOVE
from class_jax.data.images import load_map
from class_jax.data.masks import Reading
from class_jax.data.sources import SAME_ASPECT
from class_jax.errors import UserError
from class_jax.evaluation.properties import describe_mask
from class_jax.evaluation.protocols import PUBLISHED, Measurement, measure

CONSTANT = "are constant"
INVERTED = "are nearer to the inverse of their masks: inverted?"
FAR = 0.6  # MAE above which a map may be inverted: its inverse has less than 1 − FAR


class Task(NamedTuple):
    """A map to measure, and functions that read its mask and, if it is known, its image.

    They are picklable, and sent to other processes.
    """

    name: str
    map: Path
    mask: Callable[[], Reading]
    image: Callable[[], np.ndarray] | None = None
    describe: bool = True  # the mask's properties


class Measured(NamedTuple):
    """The measurement of one map by each protocol, and how the map was read."""

    by_protocol: dict[str, Measurement]
    has_salient: bool  # in its mask
    guesses: tuple[str, ...]  # how the map was read, and what is suspicious about it
    properties: np.ndarray | None  # of its mask; None if they are known already


Outcome = Measured | str  # or why a map cannot be measured


def measure_task(
    task: Task, protocols: Sequence[str], *, metrics: str = PUBLISHED, highest: int | None = None
) -> Outcome:
    """Measure a map by each protocol, or return the reason why that fails.

    Args:
      task: the map.
      protocols: some of PROTOCOLS.
      metrics: "published" or "all".
      highest: the level of the map that stands for 1, if not its format's.
    """
    try:
        found, truth = load_map(task.map, highest=highest), task.mask().levels
    except UserError as error:
        return str(error)
    if truth.size == 1:
        return f"the mask of {task.name} is a single pixel, for which PySODMetrics has no E."
    scores = {name: measure(found.levels, truth, name, metrics=metrics) for name in protocols}
    salient = truth > SALIENT_ABOVE
    fit = _describe_fit(found.levels.shape, truth.shape)
    looks = _describe_looks(found.levels, salient, next(iter(scores.values())).figures()["MAE"])
    guesses = tuple(filter(None, (found.guess, fit, looks)))
    properties = describe_mask(salient, read_if_possible(task)) if task.describe else None
    return Measured(scores, bool(salient.any()), guesses, properties)


def read_if_possible(task: Task) -> np.ndarray | None:
    """Return the image of a task; None if there is none or it cannot be read."""
    if task.image is None:
        return None
    with contextlib.suppress(UserError):  # scores do not need it
        return task.image()
    return None


def _describe_fit(found: tuple[int, ...], wanted: tuple[int, ...]) -> str | None:
    """Say how a map of shape `found` was fitted to a mask, if that distorts it."""
    if found == wanted[::-1] and found != wanted:
        return "have their mask's height as width: turned by a quarter?"
    if abs(found[0] * wanted[1] / (found[1] * wanted[0]) - 1) > SAME_ASPECT:
        return "have another aspect than their masks and were stretched"
    return None


def _describe_looks(levels: np.ndarray, salient: np.ndarray, mae: float) -> str | None:
    """Say whether a map is constant, or nearer to the inverse of its mask."""
    if levels.min() == levels.max():
        return CONSTANT
    return INVERTED if mae > FAR and 0 < salient.mean() < 1 else None

"""Measure one map by each protocol (runs in worker processes)."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from class_jax.data.check import SALIENT_ABOVE
from class_jax.data.images import load_image
from class_jax.data.masks import Classes, load_map, load_mask
from class_jax.data.sources import SAME_ASPECT
from class_jax.errors import UserError
from class_jax.evaluation.breakdowns import describe_mask
from class_jax.evaluation.protocols import PUBLISHED, Measurement, measure

FAR = 0.6  # MAE above which a map may be inverted: its inverse has less than 1 − FAR


class Task(NamedTuple):
    """A map to measure, and a function that reads its mask, as `read_truth`.

    It is picklable, and sent to other processes.
    """

    name: str
    map: Path
    read: Callable[..., tuple[np.ndarray, np.ndarray | None]]
    describe: bool = True  # the mask's properties
    highest: int | None = None  # the level of the map that stands for 1, if not its format's


class Measured(NamedTuple):
    """The measurements of one map by some protocols, and how the map was read."""

    measurements: list[Measurement]
    guesses: tuple[str, ...]  # how the map was read, and what is suspicious about it
    properties: np.ndarray | None  # of its mask; None if they are known already


Outcome = Measured | str  # or why a map cannot be measured


def read_truth(
    mask: Path, image: Path | None = None, *, salient: Classes = (), scale: bool = True,
    with_image: bool = True,
) -> tuple[np.ndarray, np.ndarray | None]:  # fmt: skip
    """Return a mask, uint8 [H, W], and if it is wanted and can be read, its image, RGB.

    Raises:
      UserError: the mask cannot be read.
    """
    levels = load_mask(mask, salient=salient, scale=scale).levels
    if image and with_image:
        with contextlib.suppress(UserError):  # scores do not need it
            return levels, load_image(image).pixels
    return levels, None


def measure_task(task: Task, protocols: Sequence[str], metrics: str = PUBLISHED) -> Outcome:
    """Measure a map by some of PROTOCOLS, or return the reason why that fails."""
    try:
        found = load_map(task.map, highest=task.highest)
        truth, image = task.read(with_image=task.describe)
    except UserError as error:
        return str(error)
    if truth.size == 1:
        return f"the mask of {task.name} is a single pixel, for which PySODMetrics has no E."
    scores = [measure(found.levels, truth, name, metrics=metrics) for name in protocols]
    salient, mae = truth > SALIENT_ABOVE, scores[0].figures()["MAE"]
    guesses = (*found.guesses, *_find_oddities(found.levels, salient, mae))
    return Measured(scores, guesses, describe_mask(salient, image) if task.describe else None)


def _find_oddities(levels: np.ndarray, salient: np.ndarray, mae: float) -> Iterator[str]:
    """Say if a map was distorted to fit its mask, is constant, or nearer to the mask's inverse."""
    (tall, wide), (height, width) = levels.shape, salient.shape
    if abs(tall * width / (wide * height) - 1) > SAME_ASPECT:
        yield "have another aspect than their masks and were stretched"
    if levels.min() == levels.max():
        yield "are constant"
    elif mae > FAR and 0 < salient.mean() < 1:
        yield "are nearer to the inverse of their masks: inverted?"

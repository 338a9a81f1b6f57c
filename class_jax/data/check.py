"""A data set's check that a person can read: a summary, the guesses made, and warnings."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from class_jax.data.masks import Reading
from class_jax.text import MAX_LISTED, printable

EMPTY, FULL = 0.0, 1.0
MOSTLY = 0.5  # of a border, or of a set


class MaskFacts(NamedTuple):
    """The share of salient pixels in a mask and along its border, and how it was read."""

    salient: float  # from 0 to 1
    border: float
    guess: str | None


class ImageFacts(NamedTuple):
    """The size of an image, and how it was read."""

    height: int
    width: int
    guesses: tuple[str, ...]


def mask_facts(mask: Reading) -> MaskFacts:
    """Return the facts of a mask; pixels above 128 are salient."""
    salient = mask.levels > 128
    border = np.concatenate([salient[0], salient[-1], salient[:, 0], salient[:, -1]])
    return MaskFacts(float(salient.mean()), float(border.mean()), mask.guess)


def describe(
    name: str, masks: Sequence[MaskFacts], images: Iterable[ImageFacts] = (), *, unit: str
) -> list[str]:
    """Return lines about a data set: a summary, a line for each kind of guess, warnings.

    Args:
      name: of the set.
      masks: facts of all masks that can be used; at least one.
      images: facts of their images, if they are read.
      unit: the word for what is counted, "pairs" or "masks".
    """
    images = list(images)
    lines = [f"{printable(name)}: {len(masks)} {unit}{_sizes(images)}; {_shares(masks)}"]
    guesses = Counter(mask.guess for mask in masks if mask.guess)
    guesses.update(guess for image in images for guess in image.guesses)
    lines += [f"note: {count} of {len(masks)}: {guess}" for guess, count in guesses.items()]
    return [*lines, *(f"warning: {text}" for text in warnings_of(masks))][: MAX_LISTED + 1]


def warnings_of(masks: Sequence[MaskFacts]) -> list[str]:
    """Return what is suspicious about the masks of a set."""
    found = []
    empty = sum(mask.salient == EMPTY for mask in masks)
    if empty > MOSTLY * len(masks):
        found.append(f"{empty} of {len(masks)} masks have no salient pixel: are these the masks?")
    full = sum(mask.salient == FULL for mask in masks)
    if full > MOSTLY * len(masks):
        found.append(f"{full} of {len(masks)} masks are all salient: are these the masks?")
    inverted = sum(mask.border > MOSTLY and mask.salient < FULL for mask in masks)
    if inverted > MOSTLY * len(masks):
        found.append(
            f"salient pixels fill most of the border in {inverted} of {len(masks)} masks: "
            "are they inverted?"
        )
    return found


def _shares(masks: Sequence[MaskFacts]) -> str:
    median = statistics.median(mask.salient for mask in masks)
    empty = sum(mask.salient == EMPTY for mask in masks)
    full = sum(mask.salient == FULL for mask in masks)
    return f"salient in the median mask: {median:.1%}; {empty} empty, {full} full"


def _sizes(images: Sequence[ImageFacts]) -> str:
    if not images:
        return ""
    smallest = min(images, key=lambda image: image.height * image.width)
    largest = max(images, key=lambda image: image.height * image.width)
    first, last = (f"{image.width}x{image.height}" for image in (smallest, largest))
    return f", {first}" if first == last else f", {first} to {last}"

"""A data set's check that a person can read: a summary, the guesses made, and warnings."""

import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from tqdm import tqdm

from class_jax.data.masks import Reading
from class_jax.errors import UserError
from class_jax.text import MAX_LISTED, list_names, printable

Result = TypeVar("Result")

EMPTY, FULL = 0.0, 1.0
FULL_LEVEL = 255
SALIENT_ABOVE, BETA2 = 128, 0.3  # level of a mask, and β² of F, by PySODMetrics
MOSTLY = 0.5  # of a border, or of a set


class MaskFacts(NamedTuple):
    """The share of salient pixels in a mask and along its border, and how it was read."""

    salient: float  # from 0 to 1
    border: float
    guess: str | None
    top: int = FULL_LEVEL  # the stored level that was read as 255


class ImageFacts(NamedTuple):
    """The size of an image, and how it was read."""

    height: int
    width: int
    guesses: tuple[str, ...]


def mask_facts(mask: Reading) -> MaskFacts:
    """Return the facts of a mask."""
    salient = mask.levels > SALIENT_ABOVE
    border = np.concatenate([salient[0], salient[-1], salient[:, 0], salient[:, -1]])
    return MaskFacts(float(salient.mean()), float(border.mean()), mask.guess, mask.top)


class MaskCheck(NamedTuple):
    """Lines about the masks of a set, and whether the levels of each are scaled by its file."""

    lines: list[str]
    scale: bool


def check_masks(name: str, readers: Sequence[Callable[[], Reading]]) -> MaskCheck:
    """Read the masks of a set, each by its file; one that is broken is passed over."""

    def inspect(index: int) -> MaskFacts | None:
        try:
            return mask_facts(readers[index]())
        except UserError:
            return None  # named when it is scored

    masks = [facts for facts in inspect_all(inspect, len(readers), title="checking masks") if facts]
    lines = describe(name, masks, unit="masks") if masks else []
    return MaskCheck(lines, are_scaled_by_file(masks))


def are_scaled_by_file(masks: Sequence[MaskFacts]) -> bool:
    """Return whether a mask's own values say which level is salient, and not the set's.

    Among masks that reach 255, one that has 0 and 1 is a soft mask that is nearly empty.
    """
    scaled = sum(mask.top < FULL_LEVEL for mask in masks)
    return not 0 < scaled < sum(mask.salient > EMPTY for mask in masks) / 2


def inspect_all(inspect: Callable[[int], Result], count: int, *, title: str) -> list[Result]:
    """Return `inspect(i)` for each index below `count`, computed by threads with a progress bar."""
    with ThreadPoolExecutor() as pool:
        bar = tqdm(
            pool.map(inspect, range(count)),
            total=count,
            desc=title,
            disable=not sys.stderr.isatty() or not count,
        )
        return list(bar)


def describe(
    name: str, masks: Sequence[MaskFacts], images: Iterable[ImageFacts] = (), *, unit: str
) -> list[str]:
    """Return lines about a data set: a summary, warnings, a line for each kind of guess.

    Args:
      name: of the set.
      masks: facts of all masks that can be used; at least one.
      images: facts of their images, if they are read.
      unit: the word for what is counted, "pairs" or "masks".
    """
    images = list(images)
    lines = [f"{printable(name)}: {len(masks)} {unit}{_sizes(images)}; {_shares(masks)}"]
    notes = []
    if not are_scaled_by_file(masks):
        lower = sorted({mask.top for mask in masks if mask.top < FULL_LEVEL})
        count = sum(mask.top < FULL_LEVEL for mask in masks)
        notes = [
            f"note: {count} of {len(masks)}: masks that reach {list_names(lower)} among others "
            "that reach 255: taken as they are, not scaled"
        ]
        masks = [m if m.top == FULL_LEVEL else m._replace(guess=None) for m in masks]
    guesses = Counter(mask.guess for mask in masks if mask.guess)
    guesses.update(guess for image in images for guess in image.guesses)
    lines += [f"warning: {text}" for text in warnings_of(masks)]
    notes += [f"note: {count} of {len(masks)}: {guess}" for guess, count in guesses.most_common()]
    return [*lines, *notes][: MAX_LISTED + 1]


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

"""Check a data set and describe it for people: a summary, guesses, and warnings."""

import statistics
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from tqdm import tqdm

from class_jax.data.images import Picture
from class_jax.data.masks import Reading
from class_jax.errors import UserError
from class_jax.text import MAX_LISTED, list_names, printable

Result = TypeVar("Result")

EMPTY, FULL = 0.0, 1.0
FULL_LEVEL = 255
SALIENT_ABOVE, BETA2 = 128, 0.3  # level of a mask, and β² of F, by PySODMetrics
MOSTLY = 0.5  # share of a border, or of a set


class Facts(NamedTuple):
    """Facts of a mask and, if it is read, of its image."""

    salient: float  # share of salient pixels, from 0 to 1
    border: float  # share of salient pixels along the border
    guess: str | None = None  # how the mask was read
    top: int = FULL_LEVEL  # the stored level that was read as 255
    size: tuple[int, int] | None = None  # of the image: height and width
    guesses: tuple[str, ...] = ()  # how the image was read


class Check(NamedTuple):
    """Lines about a set, and whether the levels of each mask are scaled by its file alone."""

    lines: list[str]
    scale: bool


def facts_of(mask: Reading, picture: Picture | None = None) -> Facts:
    """Return the facts of a mask and, if it is given, of its image."""
    salient = mask.levels > SALIENT_ABOVE
    border = np.concatenate([salient[0], salient[-1], salient[:, 0], salient[:, -1]])
    facts = Facts(float(salient.mean()), float(border.mean()), mask.guess, mask.top)
    if picture is None:
        return facts
    return facts._replace(size=(picture.height, picture.width), guesses=picture.guesses)


def check_masks(name: str, readers: Sequence[Callable[[], Reading]]) -> Check:
    """Read the masks of a set, each by its file; broken ones are skipped."""

    def inspect(index: int) -> Facts | None:
        try:
            return facts_of(readers[index]())
        except UserError:
            return None  # reported when it is scored

    found = inspect_all(inspect, len(readers), title="checking masks")
    return describe(name, [facts for facts in found if facts], unit="masks")


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


def describe(name: str, found: Sequence[Facts], *, unit: str) -> Check:
    """Describe a data set: a summary, warnings, a line for each kind of guess.

    Among masks that reach 255, one that has 0 and 1 is a soft mask that is nearly empty: then the
    masks are not scaled.

    Args:
      name: of the set.
      found: facts of all masks that can be used.
      unit: the word for what is counted, "pairs" or "masks".
    """
    if not found:
        return Check([], scale=True)
    total, notes = len(found), []
    lower = [facts.top for facts in found if facts.top < FULL_LEVEL]
    scale = not 0 < len(lower) < sum(facts.salient > EMPTY for facts in found) / 2
    if not scale:
        notes = [
            f"note: {len(lower)} of {total}: masks that reach {list_names(sorted(set(lower)))} "
            "among others that reach 255: taken as they are, not scaled"
        ]
    guesses = Counter(f.guess for f in found if f.guess and (scale or f.top == FULL_LEVEL))
    guesses.update(guess for facts in found for guess in facts.guesses)
    notes += [f"note: {count} of {total}: {guess}" for guess, count in guesses.most_common()]
    empty, full = (sum(facts.salient == share for facts in found) for share in (EMPTY, FULL))
    median = statistics.median(facts.salient for facts in found)
    lines = [
        f"{printable(name)}: {total} {unit}{_sizes(found)}; salient in the median mask: "
        f"{median:.1%}; {empty} empty, {full} full",
        *(f"warning: {text}" for text in warnings_of(found)),
        *notes,
    ]
    return Check(lines[: MAX_LISTED + 1], scale)


def warnings_of(found: Sequence[Facts]) -> list[str]:
    """Return warnings about suspicious masks of a set."""
    total = len(found)
    counts = {
        "{} masks have no salient pixel: are these the masks?": [f.salient == EMPTY for f in found],
        "{} masks are all salient: are these the masks?": [f.salient == FULL for f in found],
        "salient pixels fill most of the border in {} masks: are they inverted?": [
            facts.border > MOSTLY and facts.salient < FULL for facts in found
        ],
    }
    return [
        text.format(f"{sum(which)} of {total}")
        for text, which in counts.items()
        if sum(which) > MOSTLY * total
    ]


def _sizes(found: Sequence[Facts]) -> str:
    sizes = sorted((facts.size for facts in found if facts.size), key=np.prod)
    words = [f"{width}x{height}" for height, width in (*sizes[:1], *sizes[-1:])]
    return f", {' to '.join(dict.fromkeys(words))}" if words else ""

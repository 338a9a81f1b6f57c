"""Check a data set and describe it for people: a summary, guesses, and warnings."""

import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from class_jax.data.images import Picture
from class_jax.data.masks import SCALED, Reading
from class_jax.errors import UserError
from class_jax.text import MAX_LISTED, printable

EMPTY, FULL = 0.0, 1.0
FULL_LEVEL = 255
SALIENT_ABOVE, BETA2 = 128, 0.3  # level of a mask, and β² of F, by PySODMetrics
MOSTLY = 0.5  # share of a border, or of a set
NOT_SCALED = "two values below 255 among masks that reach it: taken as they are, not scaled"


class Facts(NamedTuple):
    """Facts of a mask and, if it is read, of its image."""

    salient: float  # share of salient pixels, from 0 to 1
    border: float  # share of salient pixels along the border
    guesses: tuple[str, ...] = ()  # how the two were read
    top: int = FULL_LEVEL  # the stored level of the mask that was read as 255
    size: tuple[int, int] | None = None  # of the image: height and width


class Check(NamedTuple):
    """Lines about a set, and whether the levels of each mask are scaled by its file alone."""

    lines: list[str]
    scale: bool


def facts_of(mask: Reading, picture: Picture | None = None) -> Facts:
    """Return the facts of a mask and, if it is given, of its image."""
    salient = mask.levels > SALIENT_ABOVE
    border = np.concatenate([salient[0], salient[-1], salient[:, 0], salient[:, -1]])
    guesses = mask.guesses + (picture.guesses if picture else ())
    size = (picture.height, picture.width) if picture else None
    return Facts(float(salient.mean()), float(border.mean()), guesses, mask.top, size)


def inspect_all(
    read: Callable[[int], tuple[Picture | None, Reading]], count: int, *, title: str
) -> list[Facts | str]:
    """Return the facts of all images and masks, or why one cannot be read; by threads."""

    def inspect(index: int) -> Facts | str:
        try:
            picture, mask = read(index)
        except UserError as error:
            return str(error).rstrip(".")
        return facts_of(mask, picture)

    with ThreadPoolExecutor() as pool:
        hidden = not sys.stderr.isatty() or not count
        return list(tqdm(pool.map(inspect, range(count)), total=count, desc=title, disable=hidden))


def check_masks(name: str, readers: Sequence[Callable[[], Reading]]) -> Check:
    """Read and describe the masks of a set; broken ones are reported when they are scored."""
    results = inspect_all(lambda i: (None, readers[i]()), len(readers), title="checking masks")
    return describe(name, results, unit="masks")


def describe(name: str, results: Iterable[Facts | str], *, unit: str) -> Check:
    """Describe a data set: a summary, warnings, a line for each kind of guess.

    Among masks that reach 255, one that has 0 and 1 is a soft mask that is nearly empty: then the
    masks are not scaled.

    Args:
      name: of the set.
      results: of `inspect_all`; masks that cannot be read are passed over.
      unit: the word for what is counted, "pairs" or "masks".
    """
    found = [facts for facts in results if isinstance(facts, Facts)]
    if not found:
        return Check([], scale=True)
    total = len(found)
    lower = [facts for facts in found if facts.top < FULL_LEVEL]
    scale = not 0 < len(lower) < sum(facts.salient > EMPTY for facts in found) / 2
    guesses = Counter(guess for facts in found for guess in facts.guesses)
    if not scale:
        guesses -= Counter(guess for facts in lower for guess in facts.guesses if guess == SCALED)
        guesses[NOT_SCALED] = len(lower)
    empty, full = (sum(facts.salient == share for facts in found) for share in (EMPTY, FULL))
    suspicions = {
        "have no salient pixel: are these the masks?": empty,
        "are all salient: are these the masks?": full,
        "are salient along most of their border: are they inverted?": sum(
            facts.border > MOSTLY and facts.salient < FULL for facts in found
        ),
    }
    median = statistics.median(facts.salient for facts in found)
    lines = [
        f"{printable(name)}: {total} {unit}{_sizes(found)}; salient in the median mask: "
        f"{median:.1%}; {empty} empty, {full} full",
        *(
            f"warning: {count} of {total} masks {text}"
            for text, count in suspicions.items()
            if count > MOSTLY * total
        ),
        *(f"note: {count} of {total}: {guess}" for guess, count in guesses.most_common()),
    ]
    return Check(lines[: MAX_LISTED + 1], scale)


def _sizes(found: Sequence[Facts]) -> str:
    sizes = sorted((facts.size for facts in found if facts.size), key=np.prod)
    words = [f"{width}x{height}" for height, width in (*sizes[:1], *sizes[-1:])]
    return f", {' to '.join(dict.fromkeys(words))}" if words else ""

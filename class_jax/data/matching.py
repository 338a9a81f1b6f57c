"""Match names of files that belong together: images with masks, masks with maps.

A name is a path below a folder without its suffix. Publishers and tools add to names: `a_mask`,
`a_sal_fuse`, `pred_a`, `a.jpg` (of `a.jpg.png`), or change their case.
"""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator

SEPARATORS = "_. -"
MASK_ENDINGS = tuple(
    separator + word
    for word in ("mask", "gt", "label", "matte", "alpha", "segmentation")
    for separator in "_-"
)
MAP_ENDINGS = ("_sal_fuse", "_sal", "_saliency", "_fuse", "_pred", "_map")

NUMBER = re.compile(r"[-_. /](?:(?:obj|object|instance|inst|mask|gt)[-_ ]?)?\d+$")  # of an object

Rename = Callable[[str], str]


def match_names(wanted: Collection[str], found: Collection[str]) -> dict[str, str]:
    """Return for each wanted name the found one that belongs to it, in the order of `wanted`.

    Equal names match first; then names without a known ending or one that all of the rest share,
    then without a beginning that they share, then without regard to case. A name that two found
    ones would match stays without a partner.
    """
    matches: dict[str, str] = {}
    ways: list[Rename] = [str, *_ways_to_strip(set(found) - set(wanted)), _fold]
    for rename in ways:
        taken = set(matches.values())
        left = [name for name in wanted if name not in matches]
        wanted_keys = [(_fold(name) if rename is _fold else name, name) for name in left]
        found_keys = [(rename(name), name) for name in found if name not in taken]
        many = Counter(key for key, _ in (*wanted_keys, *found_keys))
        named = dict(found_keys)
        # One on each side.
        matches |= {n: named[key] for key, n in wanted_keys if key in named and many[key] == 2}
    return {name: matches[name] for name in wanted if name in matches}


def group_by_object(images: Collection[str], masks: Collection[str]) -> dict[str, list[str]]:
    """Return the names of masks in groups: `x_0`, `x_1` or `x/0`, `x/1` belong to an image `x`.

    If any mask has an image's name, or no image has several, each is a group of its own.
    """
    groups: dict[str, list[str]] = {}
    for name in masks:
        group = NUMBER.sub("", name)
        groups.setdefault(group if group in images else name, []).append(name)
    if any(name in images for name in masks) or len(groups) == len(masks):
        return {name: [name] for name in masks}
    return groups


def _ways_to_strip(names: Collection[str]) -> Iterator[Rename]:
    """Yield functions that strip additions from a name, the shortest addition first."""
    endings, beginnings = _shared_ends(names), _shared_starts(names)
    for ending in sorted({*endings, *MASK_ENDINGS, *MAP_ENDINGS}, key=len):
        yield functools.partial(_strip, beginning="", ending=ending)
    for beginning in sorted(beginnings, key=len):
        for ending in ("", *endings):
            yield functools.partial(_strip, beginning=beginning, ending=ending)


def _shared_ends(names: Collection[str]) -> list[str]:
    """Return the endings, from a separator on, that all names share; none for one name."""
    first = next(iter(names), "").rpartition("/")[2]
    ends = (first[i:] for i, letter in enumerate(first) if i and letter in SEPARATORS)
    return [end for end in ends if len(names) > 1 and all(n.endswith(end) for n in names)]


def _shared_starts(names: Collection[str]) -> list[str]:
    """Return the beginnings, up to a separator, that all file names share."""
    files = [name.rpartition("/")[2] for name in names]
    first = next(iter(files), "")
    starts = [first[: match.end()] for match in re.finditer(f"[{SEPARATORS}]", first)]
    return [s for s in starts if len(files) > 1 and all(f.startswith(s) and f != s for f in files)]


def _strip(name: str, *, beginning: str, ending: str) -> str:
    """Remove a beginning and an ending from the file's name."""
    folder, slash, file = name.rpartition("/")
    return (folder + slash + file.removeprefix(beginning)).removesuffix(ending)


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()

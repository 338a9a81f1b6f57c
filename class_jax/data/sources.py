"""Where images and masks come from: one random-access Source, and folders of pairs."""

import dataclasses
import functools
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol, TypedDict

import numpy as np
from tqdm import tqdm

from class_jax.data.images import read_image, read_mask
from class_jax.errors import BrokenFilesError, UserError

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"))
JUNK_FOLDER = "__macosx"
NAMED_PROBLEMS = 10  # how many of them a message lists


MaskReader = Callable[[], np.ndarray]  # picklable; gives uint8 [H, W]


class Example(TypedDict):
    """An image and its mask, decoded."""

    name: str  # unique in its source: the file's stem, with its sub-folder if any
    image: np.ndarray  # uint8 [H, W, 3], upright RGB
    mask: np.ndarray  # uint8 [H, W], 0–255, may be soft


class Source(Protocol):
    """Random access to examples; picklable, and read by several threads at once."""

    names: Sequence[str]

    def __len__(self) -> int:
        """How many examples there are."""
        ...

    def __getitem__(self, index: int) -> Example:
        """Example `index`, decoded; UserError where a file cannot be read."""
        ...

    def mask_reader(self, index: int) -> MaskReader:
        """What gives the mask of example `index`, in another process too; UserError as above."""
        ...

    def identity(self, index: int) -> str:
        """Changes when example `index` does."""
        ...


class Pair(NamedTuple):
    """The files of an example."""

    name: str
    image: Path
    mask: Path


class PairSource:
    """A Source over pairs of files, read in place."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        """Nothing is read before it is asked for."""
        self.pairs = tuple(pairs)
        self.names: Sequence[str] = tuple(pair.name for pair in self.pairs)

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.pairs)

    def __getitem__(self, index: int) -> Example:
        """Decode pair `index`; UserError where that fails or the sizes differ."""
        pair = self.pairs[index]
        image, mask = read_image(pair.image), read_mask(pair.mask)
        if image.shape[:2] != mask.shape:
            raise UserError(
                f"mask {pair.mask} is {_size(mask)} but its image {pair.image} is {_size(image)}: "
                "they must have the same size."
            )
        return {"name": pair.name, "image": image, "mask": mask}

    def mask_reader(self, index: int) -> MaskReader:
        """What reads the mask file."""
        return functools.partial(read_mask, self.pairs[index].mask)

    def identity(self, index: int) -> str:
        """Paths, times and sizes of the two files."""
        return " ".join(map(file_identity, self.pairs[index][1:]))

    def subset(self, indices: Iterable[int]) -> "PairSource":
        """The source of some of the pairs, in the order given."""
        return PairSource(self.pairs[index] for index in indices)


@dataclasses.dataclass(frozen=True)
class Findings:
    """Pairs that can be used, and a sentence for each file that cannot."""

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...]


def match_pairs(
    images: Path, masks: Path, *, ignored_masks: frozenset[str] = frozenset()
) -> Findings:
    """Pair the images and masks of two folders by their path below them, without suffix.

    `ignored_masks` are file names in the folder of masks that are known to be wrong.
    """
    problems: list[str] = []
    image_files = pictures_by_name(images, problems)
    mask_files = pictures_by_name(masks, problems, ignored=ignored_masks)
    shared = sorted(image_files.keys() & mask_files.keys())
    problems += [
        f"image {image_files[name]} has no mask {masks / name}.*"
        for name in sorted(image_files.keys() - mask_files.keys())
    ]
    problems += [
        f"mask {mask_files[name]} has no image {images / name}.*"
        for name in sorted(mask_files.keys() - image_files.keys())
    ]
    pairs = tuple(Pair(name, image_files[name], mask_files[name]) for name in shared)
    return Findings(pairs, tuple(problems))


def check_pairs(findings: Findings) -> Findings:
    """Read every pair, so that a broken file is found now and not hours later."""
    source = PairSource(findings.pairs)

    def problem(index: int) -> str | None:
        try:
            source[index]
        except UserError as error:
            return str(error)
        return None

    with ThreadPoolExecutor() as pool:
        results = pool.map(problem, range(len(source)))
        bar = tqdm(
            results,
            total=len(source),
            desc="checking images and masks",
            unit="pair",
            disable=not sys.stderr.isatty(),
        )
        found = list(bar)
    good = tuple(pair for pair, what in zip(findings.pairs, found, strict=True) if what is None)
    return Findings(good, findings.problems + tuple(what for what in found if what is not None))


def usable_pairs(findings: Findings, root: Path, *, skip_broken: bool) -> PairSource:
    """The pairs as a source; with problems only if `skip_broken`, which prints how many.

    Raises:
      BrokenFilesError: problems and not `skip_broken`, or no pair at all.
    """
    count = len(findings.problems)
    listed = " ".join(_as_sentence(problem) for problem in findings.problems[:NAMED_PROBLEMS])
    if count > NAMED_PROBLEMS:
        listed += f" … and {count - NAMED_PROBLEMS} more."
    if not findings.pairs:
        raise BrokenFilesError(
            f"{root} holds no image with a mask that can be used. {listed}".strip()
        )
    if count and not skip_broken:
        raise BrokenFilesError(
            f"{root}: {count} files are broken or unpaired: {listed} "
            "Mend them, or leave them out with --skip_broken."
        )
    if count:
        print(f"{root}: {count} broken or unpaired files left out: {listed}", file=sys.stderr)
    return PairSource(findings.pairs)


def hold_out(names: Sequence[str], *, fraction: float = 0.1) -> tuple[list[int], list[int]]:
    """Indices to learn from and indices held out, by a hash of each name.

    Adding files moves no other file from one part to the other. Where the hash would leave a part
    empty, the name of the smallest or largest hash alone goes there.

    Raises:
      UserError: fewer than two names.
    """
    if len(names) < 2:
        raise UserError(
            f"{len(names)} pair is too few: one is needed to train on, one to hold out."
        )
    shares = [zlib.crc32(os.fsencode(name)) / 2**32 for name in names]
    # Bounded by the extremes, so that both parts have a member.
    limit = min(max(fraction, np.nextafter(min(shares), 1)), max(shares))
    kept = [index for index, share in enumerate(shares) if share >= limit]
    held_out = [index for index, share in enumerate(shares) if share < limit]
    return kept, held_out


def pictures_by_name(
    folder: Path, problems: list[str], *, ignored: frozenset[str] = frozenset()
) -> dict[str, Path]:
    """The image files below a folder by their path without suffix; doubles become problems."""
    found: dict[str, Path] = {}
    for path in pictures_below(folder, problems):
        if path.name in ignored:
            continue
        inside = path.relative_to(folder)
        name = inside.with_suffix("").as_posix()
        if name in found:
            problems.append(f"{found[name]} and {path} have the same name {name}")
        else:
            found[name] = path
    return found


def pictures_below(folder: Path, problems: list[str]) -> list[Path]:
    """The files below a folder that are images by their names, sorted; links to nowhere too.

    Folders that cannot be listed become `problems`.
    """
    found = []

    def note(error: OSError) -> None:
        problems.append(f"the folder {error.filename} cannot be read ({error.strerror})")

    for parent, _, names in os.walk(folder, onerror=note):
        for path in (Path(parent, name) for name in names):
            wanted = path.suffix.lower() in SUFFIXES and not is_junk(path.relative_to(folder))
            # Not a pipe or a socket of such a name: opening one would wait for ever.
            if wanted and (path.is_file() or not path.exists()):
                found.append(path)
    return sorted(found)


def file_identity(path: Path) -> str:
    """Changes when a file does: its path, time and size."""
    try:
        file = path.stat()
    except OSError:
        return f"{path} absent"
    return f"{path} {file.st_mtime_ns} {file.st_size}"


def is_junk(path: Path) -> bool:
    """Hidden files, "._*" and __MACOSX, which file managers leave in archives."""
    return any(part.startswith(".") or part.lower() == JUNK_FOLDER for part in path.parts)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


def _as_sentence(problem: str) -> str:
    return problem if problem.endswith(".") else f"{problem}."

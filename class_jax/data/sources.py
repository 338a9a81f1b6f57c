"""Sources of examples: one random-access protocol, and pairs of files that follow it."""

import functools
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypedDict

import numpy as np

from class_jax.data.folders import file_fingerprint
from class_jax.data.images import read_image, read_mask
from class_jax.errors import UserError

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

    def fingerprint(self, index: int) -> str:
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

    def fingerprint(self, index: int) -> str:
        """Paths, times and sizes of the two files."""
        return " ".join(map(file_fingerprint, self.pairs[index][1:]))

    def subset(self, indices: Iterable[int]) -> "PairSource":
        """The source of some of the pairs, in the order given."""
        return PairSource(self.pairs[index] for index in indices)


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


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"

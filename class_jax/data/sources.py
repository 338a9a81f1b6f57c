"""Sources of examples: one random-access protocol, and pairs of files that follow it."""

import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypedDict

import cv2
import numpy as np

from class_jax.data.annotations import Drawing
from class_jax.data.check import ImageFacts, MaskFacts, mask_facts
from class_jax.data.folders import file_fingerprint
from class_jax.data.images import UPRIGHT, Picture, load_image, load_mask
from class_jax.data.masks import Classes, Reading
from class_jax.errors import UserError
from class_jax.text import list_names

SAME_ASPECT = 0.02  # relative difference of width / height that a mask may be fitted over
TURNED = f"{UPRIGHT}: a mask must be drawn on the upright image"
AS_STORED = "turned by EXIF but used as stored: their masks fit them so"
FITTED = "masks resized to their images"
JOINED = "masks of one object each, joined"


class Example(TypedDict):
    """An image and its mask, decoded."""

    name: str  # unique in its source: the file's stem, with its sub-folder if any
    image: np.ndarray  # uint8 [H, W, 3], upright RGB
    mask: np.ndarray  # uint8 [H, W], 0-255, may be soft
    size: tuple[int, int]  # (height, width) as stored, unless it was loaded at a reduced scale


class Source(Protocol):
    """Random access to examples; picklable, and read by several threads at once."""

    names: Sequence[str]  # of the examples, in their order

    def load(self, index: int, side: int | None = None) -> Example:
        """Return example `index`, at a reduced scale if both sides stay twice as long as `side`.

        Raises:
          IndexError: there is no such example.
          UserError: a file cannot be read.
        """
        ...

    def fingerprint(self, index: int) -> str:
        """Return a text that changes when example `index` does."""
        ...


class Part(NamedTuple):
    """A number of examples in a row, and how often one of them is drawn beside one of weight 1."""

    length: int
    weight: float


class Pair(NamedTuple):
    """The files of an example."""

    name: str
    image: Path
    mask: Path | tuple[Path, ...] | Drawing  # several are of one object each


class PairSource:
    """A Source over pairs of files, read in place."""

    def __init__(
        self,
        pairs: Iterable[Pair],
        *,
        salient: Classes = (),
        fit_masks: bool = False,
        scale: bool = True,
    ) -> None:
        """Store the pairs; nothing is read yet.

        Args:
          pairs: the files.
          salient: if masks hold class numbers, those that are salient, or "any".
          fit_masks: resize masks of their images' aspect to their images.
          scale: scale a mask of two values so that the higher is 255.
        """
        self.pairs = tuple(pairs)
        self.names: Sequence[str] = tuple(pair.name for pair in self.pairs)
        self._salient, self._fit_masks, self._scale = salient, fit_masks, scale

    def load(self, index: int, side: int | None = None) -> Example:
        """Decode pair `index`; UserError if that fails or the sizes differ."""
        picture, mask, _ = self._read(index, side)
        levels = mask.levels
        if levels.shape != picture.pixels.shape[:2]:  # the image was decoded at a reduced scale
            height, width = picture.pixels.shape[:2]
            levels = cv2.resize(levels, (width, height), interpolation=cv2.INTER_AREA)
        return {
            "name": self.names[index],
            "image": picture.pixels,
            "mask": levels,
            "size": (picture.height, picture.width),
        }

    def inspect(self, index: int, side: int) -> tuple[ImageFacts, MaskFacts]:
        """Decode pair `index` and return its facts; UserError as `load`."""
        picture, mask, guesses = self._read(index, side)
        return ImageFacts(picture.height, picture.width, guesses), mask_facts(mask)

    def fingerprint(self, index: int) -> str:
        """Return paths, times and sizes of the files."""
        pair = self.pairs[index]
        return " ".join(map(file_fingerprint, (pair.image, *_files_of(pair.mask))))

    def subset(self, indices: Iterable[int]) -> "PairSource":
        """Return the source of some of the pairs, in the order given."""
        chosen = (self.pairs[index] for index in indices)
        return PairSource(
            chosen, salient=self._salient, fit_masks=self._fit_masks, scale=self._scale
        )

    def _read(self, index: int, side: int | None) -> tuple[Picture, Reading, tuple[str, ...]]:
        """Return image and mask of equal size, and the guesses about the image."""
        pair = self.pairs[index]
        picture = load_image(pair.image, side=side)
        if isinstance(pair.mask, Drawing):
            mask = pair.mask.draw((picture.height, picture.width))
        else:
            mask = _read_masks(_files_of(pair.mask), self._salient, scale=self._scale)
        shape = mask.levels.shape
        if shape == (picture.height, picture.width):
            guesses = (TURNED if guess == UPRIGHT else guess for guess in picture.guesses)
            return picture, mask, tuple(guesses)
        if UPRIGHT in picture.guesses and shape == (picture.width, picture.height):
            stored = load_image(pair.image, side=side, upright=False)
            return stored, mask, (*stored.guesses, AS_STORED)
        if self._fit_masks and _almost_fits(shape, picture):
            size = (picture.width, picture.height)
            levels = cv2.resize(mask.levels, size, interpolation=cv2.INTER_NEAREST)
            return picture, mask._replace(levels=levels), (*picture.guesses, FITTED)
        hint = ""
        if _almost_fits(shape, picture):
            hint = "; config.data.fit_masks=true resizes such masks"
        raise UserError(
            f"mask {_files_of(pair.mask)[0]} is {shape[1]}x{shape[0]}, image {pair.image} "
            f"{picture.width}x{picture.height}: expected the same size{hint}."
        )


def _files_of(mask: Path | tuple[Path, ...] | Drawing) -> tuple[Path, ...]:
    if isinstance(mask, Drawing):
        return (mask.file,)
    return (mask,) if isinstance(mask, Path) else mask


def _read_masks(files: Sequence[Path], salient: Classes, *, scale: bool) -> Reading:
    """Read a mask, or those of several objects joined; UserError if they differ in size."""
    parts = [load_mask(path, salient=salient, scale=scale) for path in files]
    if len({part.levels.shape for part in parts}) > 1:
        raise UserError(f"{list_names(files)} are of one image and differ in size.")
    if len(parts) == 1:
        return parts[0]
    return parts[0]._replace(levels=np.max([part.levels for part in parts], axis=0)).add(JOINED)


def _almost_fits(shape: tuple[int, ...], picture: Picture) -> bool:
    """Return whether a mask has the aspect of an image, or misses its size by a pixel."""
    height, width = shape
    if (height, width) == (picture.width, picture.height):
        return False  # turned by a quarter
    ratio = (width * picture.height) / (height * picture.width)
    is_near = abs(height - picture.height) <= 1 and abs(width - picture.width) <= 1
    return is_near or abs(ratio - 1) <= SAME_ASPECT


def hold_out(names: Sequence[str], *, fraction: float = 0.1) -> tuple[list[int], list[int]]:
    """Return the indices to train on and those held out, by a hash of the names.

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

"""Sources of examples: one random-access protocol, and pairs of files that follow it."""

import dataclasses
import functools
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypedDict

import cv2
import numpy as np

from class_jax.data.decode import UPRIGHT
from class_jax.data.folders import file_fingerprint
from class_jax.data.images import Picture, load_image
from class_jax.data.masks import Classes, Reading, load_mask
from class_jax.errors import UserError
from class_jax.text import list_names

SAME_ASPECT = 0.02  # relative difference of width / height that a mask may be fitted over
TURNED = f"{UPRIGHT}: a mask must be drawn on the upright image"
AS_STORED = "EXIF rotation ignored, because the mask fits the unrotated image"
FITTED = "masks resized to their images"
JOINED = "masks of one object each, joined"
HELD_OUT = 0.1  # share of the names


class Example(TypedDict):
    """An image and its mask, decoded."""

    name: str  # unique in its source: the file's stem, with its sub-folder if any
    image: np.ndarray  # uint8 [H, W, 3], upright RGB
    mask: np.ndarray  # uint8 [H, W], 0-255, may be soft
    size: tuple[int, int]  # (height, width) as stored, unless it was loaded at a reduced scale


class Source(Protocol):
    """Random access to examples; picklable, and read by several threads at once."""

    @property
    def names(self) -> Sequence[str]:
        """Return the names of the examples, in their order."""
        ...

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
    """Successive examples, and their weight: how often each is drawn, relative to weight 1."""

    length: int
    weight: float


class Pair(NamedTuple):
    """The files of an example."""

    name: str
    image: Path
    masks: tuple[Path, ...]  # one, or one for each object
    scale: bool = True  # scale a mask of two values so that the higher is 255


@dataclasses.dataclass(frozen=True, eq=False)
class PairSource:
    """A Source over pairs of files, read in place."""

    pairs: tuple[Pair, ...]
    _: dataclasses.KW_ONLY
    salient: Classes = ()  # if masks hold class numbers, those that are salient, or "any"
    fit_masks: bool = False  # resize masks of their images' aspect to their images

    @functools.cached_property
    def names(self) -> Sequence[str]:
        """Return the names of the pairs."""
        return tuple(pair.name for pair in self.pairs)

    def load(self, index: int, side: int | None = None) -> Example:
        """Decode pair `index`; UserError if that fails or the sizes differ."""
        picture, mask = self.read(index, side)
        (height, width), levels = picture.pixels.shape[:2], mask.levels
        if levels.shape != (height, width):  # the image was decoded at a reduced scale
            levels = cv2.resize(levels, (width, height), interpolation=cv2.INTER_AREA)
        return {
            "name": self.names[index],
            "image": picture.pixels,
            "mask": levels,
            "size": (picture.height, picture.width),
        }

    def fingerprint(self, index: int) -> str:
        """Return paths, times and sizes of the files."""
        pair = self.pairs[index]
        return " ".join(map(file_fingerprint, (pair.image, *pair.masks)))

    def read(self, index: int, side: int | None) -> tuple[Picture, Reading]:
        """Return image and mask of equal size, with how they were read; UserError as `load`."""
        pair = self.pairs[index]
        picture = load_image(pair.image, side=side)
        size = picture.height, picture.width
        load = functools.partial(load_mask, salient=self.salient, scale=pair.scale)
        mask = _join([load(file) for file in pair.masks], pair.masks)
        shape = mask.levels.shape
        if shape == size:
            guesses = [TURNED if guess == UPRIGHT else guess for guess in picture.guesses]
            return picture._replace(guesses=tuple(guesses)), mask
        if UPRIGHT in picture.guesses and shape == size[::-1]:
            picture = load_image(pair.image, side=side, upright=False)
            return picture._replace(guesses=(*picture.guesses, AS_STORED)), mask
        fits = _almost_fits(shape, size)
        if self.fit_masks and fits:
            levels = cv2.resize(mask.levels, size[::-1], interpolation=cv2.INTER_NEAREST)
            fitted = picture._replace(guesses=(*picture.guesses, FITTED))
            return fitted, mask._replace(levels=levels)
        hint = "; config.data.fit_masks=true resizes such masks" if fits else ""
        raise UserError(
            f"mask {pair.masks[0]} is {shape[1]}x{shape[0]}, image {pair.image} "
            f"{picture.width}x{picture.height}: expected the same size{hint}."
        )


def _join(parts: Sequence[Reading], files: Sequence[Path]) -> Reading:
    """Join the masks of one object each; UserError if they differ in size."""
    if len(parts) == 1:
        return parts[0]
    if len({part.levels.shape for part in parts}) > 1:
        raise UserError(f"{list_names(files)} are of one image and differ in size.")
    levels = np.max([part.levels for part in parts], axis=0)
    return parts[0]._replace(levels=levels, guesses=(*parts[0].guesses, JOINED))


def _almost_fits(shape: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Return whether a mask has the aspect of an image, or misses its size by a pixel."""
    (height, width), (tall, wide) = shape, size
    if shape == size[::-1]:
        return False  # turned by a quarter
    is_near = abs(height - tall) <= 1 and abs(width - wide) <= 1
    return is_near or abs(width * tall / (height * wide) - 1) <= SAME_ASPECT


def hold_out(names: Sequence[str]) -> set[str]:
    """Return the names that are held out, about a tenth, by a hash of them.

    Adding files moves no other file from one part to the other. Where the hash would leave a part
    empty, the name of the smallest or largest hash alone goes there.

    Raises:
      UserError: fewer than two names.
    """
    if len(names) < 2:
        raise UserError(
            f"{len(names)} pair is too few: one is needed to train on, one to hold out."
        )
    shares = {name: zlib.crc32(os.fsencode(name)) / 2**32 for name in names}
    # Bounded by the extremes, so that both parts have a member.
    limit = min(max(HELD_OUT, np.nextafter(min(shares.values()), 1)), max(shares.values()))
    return {name for name, share in shares.items() if share < limit}

"""Animated GIF, WebP and PNG, read and written by Pillow; numbered pictures."""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from class_jax.errors import UserError
from class_jax.jobs.marks import options_of, read_mark, write_marked
from class_jax.jobs.video.frames import NUMBERED, Film, Frame
from class_jax.text import list_lines

SUFFIXES = frozenset((".gif", ".webp", ".png", ".apng"))
NAMED = (".gif", ".webp", ".apng")  # name an animation; a .png is one picture
FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}
GIF_TICK = 10  # milliseconds, of which the durations of a GIF are multiples
DEFAULT_DURATION = 100  # milliseconds, as browsers show frames without one
UNREADABLE = Exception  # Pillow raises whatever a damaged file leads to: IndexError, struct.error


def is_animated(path: Path) -> bool:
    """Return whether a picture has several frames; False if it cannot be read."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    try:
        with Image.open(path) as image:
            return getattr(image, "is_animated", False)
    except UNREADABLE:
        return False


def choose_suffix(source: Path, *, has_alpha: bool) -> str:
    """Return the suffix of what is made of an animated picture: its own, if that is possible."""
    suffix = source.suffix.lower()
    if suffix == ".gif" and has_alpha:
        return ".webp"  # in a GIF a pixel is either transparent or not
    return ".png" if suffix == ".apng" else suffix


class Animation:
    """An animated picture that is read; see `frames.Film`."""

    time_base = Fraction(1, 1000)
    stream = None
    aspect: Fraction | None = None
    sounds = ()

    def __init__(self, path: Path) -> None:
        """Open an animated picture; UserError if it cannot be read."""
        self._path = path
        self.notes: list[str] = []
        try:
            self._image = Image.open(path)
            # In a PNG file, a picture for programs that know no animations.
            self._hidden = int(bool(self._image.info.get("default_image")))
            self.length: int | None = getattr(self._image, "n_frames", 1) - self._hidden
        except UNREADABLE as error:
            raise UserError(f"{path} cannot be read as an animated picture ({error}).") from error
        self.loop: int | None = self._image.info.get("loop")
        duration = self._image.info.get("duration") or DEFAULT_DURATION
        self.rate = Fraction(1000) / Fraction(duration).limit_denominator(1000)

    def frames(self, add_sound: Callable[[Any], None]) -> Iterator[Frame]:
        """Yield the frames as they are shown; there is no sound."""
        del add_sound
        start = 0.0
        try:
            for index, image in enumerate(ImageSequence.Iterator(self._image)):
                image.load()
                if index < self._hidden:
                    continue
                kind = "RGBA" if image.has_transparency_data else "RGB"
                duration = image.info.get("duration") or DEFAULT_DURATION
                ends = start + duration
                yield Frame(np.array(image.convert(kind)), round(start), round(ends) - round(start))
                start = ends
        except UNREADABLE as error:
            raise UserError(f"{self._path} is damaged: not all frames can be read.") from error

    def close(self) -> None:
        """Close the file."""
        self._image.close()


class AnimationWriter:
    """An animated picture that is written at once, when all frames are there."""

    def __init__(self, path: Path, name: Path, film: Film, text: str) -> None:
        """Prepare an animated picture, of the format of its name.

        Args:
          path: the file.
          name: of the file, with one of SUFFIXES.
          film: whose times and loop count it keeps.
          text: the fingerprint to keep in it.
        """
        self.notes: list[str] = []
        self._path, self._format, self._film, self._text = (
            path,
            FORMATS[name.suffix.lower()],
            film,
            text,
        )
        self._images: list[Image.Image] = []
        self._durations: list[int] = []

    def add(self, pixels: np.ndarray, frame: Frame) -> None:
        """Add the picture that was made of a frame."""
        tick = GIF_TICK if self._format == "GIF" else 1
        scale = self._film.time_base * 1000 / tick
        start, end = (round(at * scale) for at in (frame.start, frame.start + frame.duration))
        self._images.append(Image.fromarray(pixels))
        self._durations.append((end - start) * tick)

    def add_sound(self, packet: Any) -> None:
        """Drop sound: there is none."""

    def finish(self) -> None:
        """Write the frames."""
        options = options_of(self._format, self._text)
        if self._format == "GIF":
            options["disposal"] = 1
        elif self._format == "WEBP":
            options["quality"] = 95
        if self._film.loop is not None:
            options["loop"] = self._film.loop
        elif self._format != "GIF":
            options["loop"] = 1
        first, *others = self._images
        first.save(
            self._path, format=self._format, save_all=True, append_images=others,
            duration=self._durations, **options,
        )  # fmt: skip

    def close(self) -> None:
        """Forget the frames."""
        self._images.clear()


class NumberedPictures:
    """The frames of a film as pictures with numbers in their names, from 1."""

    def __init__(self, pattern: Path, text: str) -> None:
        """Take the pattern of names, and the mark to keep in each.

        Raises:
          UserError: files of such names are there that were not made here.
        """
        self.notes: list[str] = []
        foreign = [path for path in _find_numbered(pattern).values() if read_mark(path) is None]
        if foreign:
            raise UserError(
                f"{pattern} would replace files that were not made here: choose another "
                f"folder.{list_lines(foreign)}"
            )
        self._pattern, self._text, self._count = pattern, text, 0

    def add(self, pixels: np.ndarray, frame: Frame) -> None:
        """Write a picture."""
        del frame
        self._count += 1
        name = self._pattern.name % self._count
        write_marked(self._pattern.with_name(name), pixels, self._text)

    def add_sound(self, packet: Any) -> None:
        """Drop sound: pictures have none."""

    def finish(self) -> None:
        """Remove the pictures of a longer film that were made here before."""
        for number, path in _find_numbered(self._pattern).items():
            if number > self._count:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave all as it is: the files are closed."""


def _find_numbered(pattern: Path) -> dict[int, Path]:
    """Return the files whose names are of a pattern, by their numbers, from 1."""
    before, after = (re.escape(part) for part in NUMBERED.split(pattern.name, maxsplit=1))
    found = {}
    for path in sorted(pattern.parent.glob("*")):
        match = re.fullmatch(f"{before}([0-9]+){after}", path.name)
        if match and path.is_file() and pattern.name % int(match[1]) == path.name:
            found[int(match[1])] = path
    return {number: path for number, path in found.items() if number > 0}

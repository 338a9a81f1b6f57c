"""Animated GIF, WebP and PNG, read and written by Pillow; numbered pictures."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence
from PIL.PngImagePlugin import PngInfo

from class_jax.data.images import FINGERPRINT, write_picture
from class_jax.errors import UserError
from class_jax.jobs.video.frames import Film, Frame, read_comment, write_comment

SUFFIXES = frozenset((".gif", ".webp", ".png", ".apng"))
NAMED = (".gif", ".webp", ".apng")  # name an animation; a .png is one picture
FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}
GIF_TICK = 10  # milliseconds, of which the durations of a GIF are multiples
DEFAULT_DURATION = 100  # milliseconds, as browsers show frames without one
UNREADABLE = Exception  # Pillow raises whatever a damaged file leads to: IndexError, struct.error
SOFTWARE = 0x0131  # EXIF tag, which keeps the fingerprint of a WebP


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


def read_fingerprint(path: Path) -> str | None:
    """Return the fingerprint in an animation that was written here; None if it holds none."""
    try:
        with Image.open(path) as image:
            comment = image.info.get("comment", b"")
            text = comment.decode("latin-1") if isinstance(comment, bytes) else str(comment)
            if image.format == "WEBP":
                text = str(image.getexif().get(SOFTWARE, ""))
    except UNREADABLE:
        return None
    return read_comment(text)


class Animation:
    """An animated picture that is read; see `frames.Film`."""

    time_base = Fraction(1, 1000)
    stream = None
    sounds = ()

    def __init__(self, path: Path) -> None:
        """Open an animated picture; UserError if it cannot be read."""
        self._path = path
        try:
            self._image = Image.open(path)
            self.length: int | None = getattr(self._image, "n_frames", 1)
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
            for image in ImageSequence.Iterator(self._image):
                image.load()
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
        options: dict[str, Any] = {}
        notes = write_comment(self._text)
        if self._format == "GIF":
            options = {"comment": notes.encode(), "disposal": 1}
        elif self._format == "WEBP":
            exif = Image.Exif()
            exif[SOFTWARE] = notes
            options = {"exif": exif, "quality": 95}
        else:
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_text(FINGERPRINT, self._text)
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
        """Take the pattern of names, and the fingerprint to keep in each."""
        self.notes: list[str] = []
        self._pattern, self._text, self._count = pattern, text, 0

    def add(self, pixels: np.ndarray, frame: Frame) -> None:
        """Write a picture."""
        del frame
        self._count += 1
        name = self._pattern.name % self._count
        write_picture(self._pattern.with_name(name), pixels, self._text)

    def add_sound(self, packet: Any) -> None:
        """Drop sound: pictures have none."""

    def finish(self) -> None:
        """Leave all as it is: the pictures are written."""

    def close(self) -> None:
        """Leave all as it is: the files are closed."""

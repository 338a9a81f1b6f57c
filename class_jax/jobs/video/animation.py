"""Animated GIF, WebP and PNG, read and written by Pillow."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageSequence

from class_jax.data.decode import MOST_PIXELS
from class_jax.errors import UserError
from class_jax.jobs.marks import options_of
from class_jax.jobs.video.frames import Film, FilmWriter, Frame

NAMED = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG"}  # name an animation
FORMATS = {**NAMED, ".png": "PNG"}  # in folders, where a .png may be animated
# How each is written; what is shown once has no loop in a GIF, and one in the others.
OPTIONS = {"GIF": {"disposal": 1}, "WEBP": {"quality": 95, "loop": 1}, "PNG": {"loop": 1}}
GIF_TICK = 10  # milliseconds, of which the durations of a GIF are multiples
GIF_SHORTEST = 2  # ticks: browsers show shorter frames for 100 ms
TOO_SHORT = "frames of less than 20 ms were left out, as browsers slow a GIF of those down"
DEFAULT_DURATION = 100  # milliseconds, as browsers show frames without one
UNREADABLE = Exception  # Pillow raises whatever a damaged file leads to: IndexError, struct.error


def is_animated(path: Path) -> bool:
    """Return whether an image has several frames; False if it cannot be read."""
    if path.suffix.lower() not in FORMATS:
        return False
    try:
        with Image.open(path) as image:
            return getattr(image, "is_animated", False)
    except UNREADABLE:
        return False


def choose_suffix(source: Path, *, has_alpha: bool) -> str:
    """Return the suffix of the output of an animated image: its own where possible."""
    suffix = source.suffix.lower()
    if suffix == ".gif" and has_alpha:
        return ".webp"  # in a GIF a pixel is either transparent or not
    return ".png" if suffix == ".apng" else suffix


class Animation(Film):
    """An animated image that is read."""

    time_base = Fraction(1, 1000)

    def __init__(self, path: Path) -> None:
        """Open an animated image; UserError if it cannot be read."""
        self._path = path
        self.notes = []
        try:
            self._image = Image.open(path)
            # In a PNG file, a still image for programs without animations.
            self._hidden = int(bool(self._image.info.get("default_image")))
            self.length = getattr(self._image, "n_frames", 1) - self._hidden
        except UNREADABLE as error:
            raise UserError(f"{path} cannot be read as an animated image ({error}).") from error
        self.is_gif = self._image.format == "GIF"
        self.loop = self._image.info.get("loop")
        duration = self._image.info.get("duration") or DEFAULT_DURATION
        self.rate = Fraction(1000) / Fraction(duration).limit_denominator(1000)

    def frames(self, add_sound: Callable[[Any], None]) -> Iterator[Frame]:
        """Yield the frames as they are shown; there is no audio."""
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


class AnimationWriter(FilmWriter):
    """An animated image that is written at once, when all frames are there."""

    def __init__(self, path: Path, name: Path, film: Film, text: str) -> None:
        """Prepare an animated image, of the format of its name.

        Args:
          path: the file.
          name: of the file, with one of FORMATS.
          film: whose times and loop count it keeps.
          text: the fingerprint to keep in it.
        """
        super().__init__()
        self._path, self._name, self._film, self._text = path, name, film, text
        self._format = FORMATS[name.suffix.lower()]
        self._tick = GIF_TICK if self._format == "GIF" else 1  # milliseconds
        self._shortest = GIF_SHORTEST if self._format == "GIF" and not film.is_gif else 0
        self._images: list[Image.Image] = []
        self._times: list[int] = [0]  # of the frames, in ticks, and of the end

    def add(self, pixels: np.ndarray, frame: Frame) -> None:
        """Add the image that was made of a frame; UserError if all frames are too many."""
        scale = self._film.time_base * 1000 / self._tick
        start, end = (round(at * scale) for at in (frame.start, frame.start + frame.duration))
        if self._images and start - self._times[-2] < self._shortest:
            self._times[-1] = max(end, self._times[-1])
            self.note(TOO_SHORT)
            return
        aspect = self._film.aspect or 1
        if aspect != 1:  # these formats know square pixels alone
            size = max(1, round(pixels.shape[1] * aspect)), pixels.shape[0]
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
        self._check_size(pixels)
        self._images.append(Image.fromarray(pixels))
        self._times[-1:] = [start, max(end, start + self._shortest)]

    def _check_size(self, pixels: np.ndarray) -> None:
        """Raise UserError if the frames, which are held until the end, take too much memory."""
        frames = max(self._film.length or 0, len(self._images) + 1)
        if frames * pixels.shape[0] * pixels.shape[1] > MOST_PIXELS:
            raise UserError(
                f"{self._name} would hold {frames} frames of {pixels.shape[1]}×{pixels.shape[0]}, "
                f"and {MOST_PIXELS // 10**6} megapixels are the most that an animated image may "
                "have here: name a .mp4, a .webm or numbered images."
            )

    def finish(self) -> None:
        """Write the frames."""
        options = {**options_of(self._format, self._text), **OPTIONS[self._format]}
        if self._film.loop is not None:
            options["loop"] = self._film.loop
        first, *others = self._images
        first.save(
            self._path, format=self._format, save_all=True, append_images=others,
            duration=[ticks * self._tick for ticks in np.diff(self._times).tolist()], **options,
        )  # fmt: skip

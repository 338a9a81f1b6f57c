"""Animated GIF, WebP and PNG, read and written by Pillow."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from class_jax.data.decode import MOST_PIXELS
from class_jax.errors import UserError
from class_jax.jobs.marks import options_of
from class_jax.jobs.video.frames import Frame, Video

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


class Animation(Video):
    """An animated image that is read."""

    time_base = Fraction(1, 1000)

    def __init__(self, path: Path) -> None:
        """Open an animated image; UserError if it cannot be read."""
        super().__init__(path)
        try:
            self._image = Image.open(path)
            # In a PNG file, a still image for programs without animations.
            self._hidden = int(bool(self._image.info.get("default_image")))
            self.length = getattr(self._image, "n_frames", 1) - self._hidden
        except UNREADABLE as error:
            raise UserError(f"{path} cannot be read as an animated image ({error}).") from error
        self.loop = self._image.info.get("loop")
        self.rate = 1000 / Fraction(_duration(self._image)).limit_denominator(1000)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames as they are shown; UserError if one cannot be read."""
        start = 0.0
        try:
            for index, image in enumerate(ImageSequence.Iterator(self._image)):
                image.load()
                if index < self._hidden:
                    continue
                kind = "RGBA" if image.has_transparency_data else "RGB"
                ends = start + _duration(image)
                yield Frame(np.array(image.convert(kind)), round(start), round(ends) - round(start))
                start = ends
        except UNREADABLE as error:
            raise UserError(f"{self.path} is damaged: not all frames can be read.") from error

    def close(self) -> None:
        """Close the file."""
        self._image.close()


def _duration(image: Image.Image) -> float:
    """Return how long a frame is shown, in milliseconds."""
    return image.info.get("duration") or DEFAULT_DURATION


def write_animation(
    path: Path, name: Path, video: Video, frames: Iterable[tuple[Frame, np.ndarray]], mark: str
) -> None:
    """Write an animated image at once, when all frames are there; see `writer.write_video`.

    Raises:
      UserError: all frames together are too large, or what `frames` raises.
    """
    kind = FORMATS[name.suffix.lower()]
    tick = GIF_TICK if kind == "GIF" else 1  # milliseconds
    shortest = GIF_SHORTEST if kind == "GIF" and video.stream else 0
    images: list[Image.Image] = []
    times = [0]  # of the frames, in ticks, and of the end
    for frame, pixels in frames:
        scale = video.time_base * 1000 / tick
        start, end = (round(at * scale) for at in (frame.start, frame.start + frame.duration))
        if images and start - times[-2] < shortest:
            times[-1] = max(end, times[-1])
            video.notes.add(TOO_SHORT)
            continue
        height, width = pixels.shape[:2]
        number = max(video.length or 0, len(images) + 1)
        if number * height * width > MOST_PIXELS:
            raise UserError(
                f"{name} would hold {number} frames of {width}×{height}, and {MOST_PIXELS:,} "
                "pixels are the most that fit in memory: name a .mp4, a .webm or numbered images."
            )
        images.append(Image.fromarray(pixels))
        times[-1:] = [start, max(end, start + shortest)]
    options = {**OPTIONS[kind], **options_of(kind, mark)}
    if video.loop is not None:
        options["loop"] = video.loop
    first, *others = images
    durations = [ticks * tick for ticks in np.diff(times).tolist()]
    first.save(path, kind, save_all=True, append_images=others, duration=durations, **options)

"""The frames of films and animated pictures, and what reads and writes them."""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import numpy as np

NUMBERED = re.compile(r"%0?\d*d")  # in the name of numbered pictures: frames/%05d.png


class Frame(NamedTuple):
    """A frame, upright, and when it is shown."""

    pixels: np.ndarray  # uint8 RGB [H, W, 3], or RGBA [H, W, 4]
    start: int  # in ticks of the film's time base
    duration: int


class Film(Protocol):
    """A film or an animated picture that is read."""

    notes: list[str]  # what is lost in reading
    length: int | None  # number of frames, where it is known
    time_base: Fraction  # seconds of a tick
    rate: Fraction  # frames a second, on average
    stream: Any  # the stream of pictures; None for an animated picture
    aspect: Fraction | None  # width of a pixel by its height, once a frame was read; None: square
    sounds: tuple[Any, ...]  # the streams of sound
    loop: int | None  # of an animated picture: how often it is shown, 0 for ever; None: once

    def frames(self, add_sound: Callable[[Any], None]) -> Iterator[Frame]:
        """Yield the frames; packets of sound, as they come between them, go to `add_sound`."""

    def close(self) -> None:
        """Close the file."""


class FilmWriter(Protocol):
    """A film, an animated picture or numbered pictures that are written."""

    notes: list[str]  # what could not be kept of the source

    def add(self, pixels: np.ndarray, frame: Frame) -> None:
        """Add the picture, uint8 [H, W] or [H, W, C], that was made of a frame."""

    def add_sound(self, packet: Any) -> None:
        """Add a packet of sound."""

    def finish(self) -> None:
        """Write what is left once all frames were added."""

    def close(self) -> None:
        """Close the file, whether finished or not."""

"""The frames of videos and animated images, and the classes that read and write them."""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

NUMBERED = re.compile(r"%0?\d*d")  # in the name of numbered images: frames/%05d.png
SILENT = "audio was left out"


class Frame(NamedTuple):
    """A frame, upright, and when it is shown."""

    pixels: np.ndarray  # uint8 RGB [H, W, 3], or RGBA [H, W, 4]
    start: int  # in ticks of the video's time base
    duration: int


class Film:
    """A reader of a video or an animated image."""

    notes: list[str]  # what is lost in reading
    length: int | None  # number of frames, where it is known
    time_base: Fraction  # seconds of a tick
    rate: Fraction  # frames a second, on average
    stream: Any = None  # the video stream; None for an animated image
    aspect: Fraction | None = None  # width of a pixel by its height, once a frame was read
    sounds: tuple[Any, ...] = ()  # the audio streams
    loop: int | None = 0  # how often an animated image is shown, 0 for ever; None: once
    is_gif = False

    def frames(self, add_sound: Callable[[Any], None]) -> Iterator[Frame]:
        """Yield the frames; audio packets, as they come between them, go to `add_sound`."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""


class FilmWriter:
    """A writer of a video, an animated image or numbered images; here without audio."""

    def __init__(self) -> None:
        """Begin without notes."""
        self.notes: list[str] = []  # what could not be kept of the source

    def add(self, pixels: np.ndarray, frame: Frame) -> None:
        """Add the image, uint8 [H, W] or [H, W, C], that was made of a frame."""
        raise NotImplementedError

    def add_sound(self, packet: Any) -> None:
        """Add an audio packet."""
        del packet
        self.note(SILENT)

    def note(self, text: str) -> None:
        """Note something once."""
        if text not in self.notes:
            self.notes.append(text)

    def finish(self) -> None:
        """Write what is left once all frames were added."""

    def close(self) -> None:
        """Close the file, whether finished or not."""

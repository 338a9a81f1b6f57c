"""The frames of videos and animated images, and the class of those that read them."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Frame(NamedTuple):
    """A frame, upright, and when it is shown."""

    pixels: np.ndarray  # uint8 RGB [H, W, 3], or RGBA [H, W, 4]; pixels are square
    start: int  # in ticks of the video's time base
    duration: int


class Video:
    """A video or an animated image that is read."""

    length: int | None  # number of frames, where it is known
    time_base: Fraction  # seconds of a tick
    rate: Fraction  # frames a second, on average
    stream: Any = None  # the video stream; None for an animated image
    audio: tuple[Any, ...] = ()  # the audio streams that are read
    loop: int | None = 0  # how often an animated image is shown, 0 for ever; None: once

    def __init__(self, path: Path) -> None:
        """Begin with no notes and no audio."""
        self.path = path
        self.notes: set[str] = set()  # what is lost in reading and writing
        self.packets: deque[Any] = deque()  # of audio, read and not yet written

    def frames(self) -> Iterator[Frame]:
        """Yield the frames; audio packets between them join `packets`."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""
        raise NotImplementedError

"""Frames of a video together: maps smoothed along time, and another video behind them."""

from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction

import cv2
import numpy as np

from class_jax.data.images import Original
from class_jax.jobs.video.frames import Video
from class_jax.pictures.outputs import flatten

CHANGE = 24  # change in levels at which older maps lose most weight
WINDOW = (9, 9)  # pixels; changes are averaged over this window, which removes noise


class Smoother:
    """An exponential mean of maps along time: m ← w m + (1 − w) x, w = s exp(−(d / CHANGE)²).

    d is the change of the image around a pixel, so that what moves leaves no trail.
    """

    def __init__(self, share: float) -> None:
        """Take s, in 0–1: the weight of older maps where nothing changes."""
        self._share = share
        self._mean: np.ndarray | None = None
        self._last = np.zeros(0)

    def add(self, saliency: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Return the mean of maps, float32 [H, W], up to that of a frame, uint8 [H, W, C]."""
        if self._mean is None or self._mean.shape != saliency.shape:
            self._mean = saliency
        else:
            change = cv2.absdiff(pixels[..., :3], self._last).max(-1).astype(np.float32)
            ratio = cv2.blur(change, WINDOW).reshape(change.shape) / CHANGE
            weight = self._share * np.exp(-(ratio**2))
            self._mean = saliency + weight * (self._mean - saliency)
        self._last = np.ascontiguousarray(pixels[..., :3])
        return self._mean


class Backdrop:
    """A video behind another one: shown from its beginning again where it is shorter."""

    def __init__(self, open_video: Callable[[], Video]) -> None:
        """Take a function that opens the video."""
        self._open = open_video
        self._frames = self._play()
        self._pixels, self._end = np.zeros(0), Fraction(0)

    def _play(self) -> Iterator[tuple[np.ndarray, Fraction]]:
        """Yield the pixels of frames, over and over, and when each ends."""
        begin = end = Fraction(0)
        while True:
            with closing(self._open()) as video:
                video.audio = ()
                for frame in video.frames():
                    end = begin + (frame.start + frame.duration) * video.time_base
                    yield frame.pixels, end
            begin = end

    def at(self, seconds: Fraction) -> Original:
        """Return the frame that is shown at a time; times must not decrease.

        Raises:
          UserError: the video cannot be read.
        """
        while self._end <= seconds:
            self._pixels, self._end = next(self._frames)
        return flatten(Original(self._pixels, {}))

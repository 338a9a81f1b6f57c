"""Write videos by PyAV; times, audio, colours and proportions are kept."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, VideoReformatter

from class_jax.errors import UserError
from class_jax.jobs.marks import write_comment
from class_jax.jobs.video.frames import Film, FilmWriter, Frame
from class_jax.jobs.video.pixels import is_hdr
from class_jax.jobs.video.sound import Sound, is_known
from class_jax.jobs.video.video import MICROSECOND, reason_of

# H.264 without B-frames: with them the times of containers are not exact.
H264 = ("libx264", {"crf": "18", "preset": "veryfast", "bf": "0"})
VP9 = ("libvpx-vp9", {"crf": "24", "deadline": "good", "cpu-used": "5", "row-mt": "1"})
PRORES = ("prores_ks", {"profile": "4444", "vendor": "apl0"})  # what editors read
ENCODERS = {".mp4": H264, ".webm": VP9, ".mov": PRORES}
FORMATS = {".mp4": "yuv420p", ".webm": "yuv420p", ".mov": "yuv444p10le"}
FAST_START = {"movflags": "+faststart"}  # browsers show a video before all of it is there
EVEN = "of odd size: a row or column was repeated, as H.264 needs even ones"
NO_SOUND = "audio of an unknown codec was left out"
# Matrices from RGB, where a video states one; else players guess, and so does PyAV.
MATRICES, BT709, UNKNOWN = {1, 5, 6, 7, 9}, 1, 2
# Notes that describe the file that was read, and not the video.
NOT_COPIED = {
    "comment", "encoder", "duration", "major_brand", "minor_version", "compatible_brands",
}  # fmt: skip


class VideoWriter(FilmWriter):
    """A video that is written: H.264, VP9 or ProRes by its suffix."""

    def __init__(self, path: Path, name: Path, film: Film, text: str) -> None:
        """Open a video to write, of the format of its name.

        Args:
          path: the file.
          name: of the file, for messages.
          film: whose times, audio, colours and proportions it keeps.
          text: the fingerprint to keep in it.
        """
        super().__init__()
        self._name, self._suffix, self._film = name, name.suffix.lower(), film
        options = FAST_START if self._suffix == ".mp4" else {}
        self._container = av.open(path, "w", format=self._suffix[1:], options=options)
        self._container.metadata["comment"] = write_comment(text)
        self._stream: Any = None
        self._sounds: dict[int, Sound] = {}
        self._early: list[Any] | None = []  # audio packets before the first frame
        self._durations: dict[int, int] = {}  # by the times of frames that are being encoded
        self._reformatter = VideoReformatter()

    def add(self, pixels: np.ndarray, frame: Frame) -> None:
        """Encode the image that was made of a frame; UserError if it cannot be written."""
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        height, width = pixels.shape[:2]
        if self._suffix == ".mp4" and (height % 2 or width % 2):
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._stream is None:
            if pixels.shape[:2] != (height, width):
                self.note(EVEN)
            with self._explain_errors():
                self._begin(pixels)
        picture = av.VideoFrame.from_ndarray(pixels, "rgba" if pixels.shape[2] == 4 else "rgb24")
        matrix = self._stream.codec_context.colorspace
        picture = self._reformatter.reformat(
            picture, self._stream.width, self._stream.height, self._stream.pix_fmt, threads=1,
            dst_colorspace=matrix if matrix in MATRICES else None, dst_color_range=ColorRange.MPEG,
        )  # fmt: skip
        picture.pts, picture.time_base = frame.start, self._film.time_base
        self._durations[frame.start] = frame.duration
        with self._explain_errors():
            self._encode(picture)

    def add_sound(self, packet: Any) -> None:
        """Copy or encode an audio packet."""
        if self._early is not None:
            self._early.append(packet)
        elif sound := self._sounds.get(packet.stream.index):
            with self._explain_errors():
                sound.add(packet)

    def finish(self) -> None:
        """Write what the encoders hold, and the video's index."""
        with self._explain_errors():
            self._encode(None)
            for sound in self._sounds.values():
                sound.finish()
                self.notes += sound.notes
            self._container.close()

    def close(self) -> None:
        """Close the file, finished or not."""
        with contextlib.suppress(FFmpegError, OSError):
            self._container.close()

    @contextlib.contextmanager
    def _explain_errors(self) -> Iterator[None]:
        """Convert what encoders and containers raise."""
        try:
            yield
        except FFmpegError as error:
            raise UserError(f"{self._name} cannot be written ({reason_of(error)}).") from error

    def _begin(self, pixels: np.ndarray) -> None:
        """Add the streams, in the size of the first frame."""
        codec, options = ENCODERS[self._suffix]
        stream: Any = self._container.add_stream(
            codec, rate=self._film.rate, options=options, time_base=self._film.time_base
        )
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = FORMATS[self._suffix]
        if pixels.shape[2] == 4:
            stream.pix_fmt = stream.pix_fmt.replace("yuv", "yuva")
        if source := self._film.stream:
            _keep_looks(source, stream, self._film.aspect)
            _keep_notes(source.container, self._container)
            if self._suffix == ".webm":  # PyAV gives it no proportions: pixels become square
                stream.width = round(stream.width * (stream.codec_context.sample_aspect_ratio or 1))
        self._stream = stream
        for sound in self._film.sounds:
            if is_known(sound):
                self._sounds[sound.index] = Sound(self._container, self._suffix, sound)
            else:
                self.note(NO_SOUND)
        early, self._early = self._early or [], None
        for packet in early:
            self.add_sound(packet)

    def _encode(self, picture: av.VideoFrame | None) -> None:
        """Encode an image, or what is left, and write what the encoder gives back."""
        for packet in self._stream.encode(picture):
            start = round(packet.pts * packet.time_base / self._film.time_base)
            duration = self._durations.pop(start, None)
            if duration:
                packet.duration = round(duration * self._film.time_base / packet.time_base)
            self._container.mux(packet)


def _keep_looks(source: Any, stream: Any, aspect: Fraction | None) -> None:
    """Give a stream the colour tags and the pixel aspect of its source."""
    looks, given = stream.codec_context, source.codec_context
    for name in ("colorspace", "color_primaries", "color_trc"):
        setattr(looks, name, BT709 if is_hdr(source) else getattr(given, name))
    if looks.colorspace not in MATRICES:
        looks.colorspace = UNKNOWN
    looks.color_range = ColorRange.MPEG
    if aspect:
        looks.sample_aspect_ratio = aspect


def _keep_notes(source: Any, container: Any) -> None:
    """Copy titles, other metadata and chapters, as far as the container takes them."""
    for name, text in source.metadata.items():
        if name.lower() not in NOT_COPIED:
            container.metadata[name] = text
    chapters = source.chapters()
    begin = max(0, source.start_time or 0) * MICROSECOND
    for chapter in chapters:
        for edge in ("start", "end"):
            chapter[edge] = max(0, chapter[edge] - round(begin / chapter["time_base"]))
    container.set_chapters(chapters)

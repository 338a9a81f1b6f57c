"""Read videos by PyAV: upright frames with their times; damage is found."""

import math
import string
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from class_jax.errors import UserError
from class_jax.jobs.video.frames import Film, Frame
from class_jax.jobs.video.pixels import is_deep, is_hdr, open_decoder, read_turn, to_pixels, turn

MICROSECOND = Fraction(1, av.time_base)  # of the times that containers state
COARSE, FINEST = 1000, 1_000_000  # ticks a second
# Demuxers of videos; those of playlists and scripts would open other files.
FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,asf,flv,live_flv,ogg,mxf,gxf,dv,rm,nut,ivf,h264,hevc,"
    "m4v,obu,mjpeg,mjpeg_2000,amv,nsv,wtv,yuv4mpegpipe"
)
CUT_SHORT = 0.02  # share of a video; less may be missing by rounding
TONE_MAPPED = "HDR (PQ or HLG): tone-mapped to BT.709"
DEEP = "more than 8 bits a colour: written with 8"
INTERLACED = "interlaced: both fields of a frame were kept as one"
SIZES = "frames of several sizes: stretched to the first one's"
SUBTITLES = "subtitles were left out"
SEVERAL = "several video streams: only the first was used"


def read_comment(path: Path) -> str:
    """Return the comment of a video; "" if there is none, or it cannot be read."""
    try:
        with _open(path) as container:
            notes = {name.lower(): text for name, text in container.metadata.items()}
    except (FFmpegError, OSError):
        return ""
    return notes.get("comment", "")


def _open(path: Path) -> InputContainer:
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    return av.open(path, metadata_errors="replace", container_options=options)


def _is_text(path: Path) -> bool:
    """Return whether a file that is not a video begins as text."""
    with path.open("rb") as file:
        begin = file.read(64)
    return bool(begin) and set(begin) <= set(string.printable.encode())


class VideoReader(Film):
    """A video that is read."""

    def __init__(self, path: Path) -> None:
        """Open a video; UserError if it cannot be read or holds no video stream."""
        self._path = path
        try:
            self._container = _open(path)
        except (FFmpegError, OSError) as error:
            if _is_text(path):
                raise UserError(
                    f"{path} is text, such as a playlist that names other files: expected a video."
                ) from error
            raise UserError(f"{path} cannot be read as a video ({reason_of(error)}).") from error
        videos = [stream for stream in self._container.streams.video if not _is_cover(stream)]
        self.sounds = tuple(self._container.streams.audio)
        if not videos or videos[0].codec_context is None:
            self._container.close()
            lacks_video = self.sounds and not videos
            what = "audio only" if lacks_video else "no video stream that can be decoded"
            raise UserError(f"{path} holds {what}: expected a video.")
        self.stream = videos[0]
        self._decoder = open_decoder(self.stream)
        self._decoder.thread_type = "AUTO"
        self.aspect = self.stream.sample_aspect_ratio
        self.notes = [
            note
            for note, applies in (
                (TONE_MAPPED, is_hdr(self.stream)),
                (DEEP, is_deep(self.stream) and not is_hdr(self.stream)),
                (SUBTITLES, self._container.streams.subtitles),
                (SEVERAL, len(videos) > 1),
            )
            if applies
        ]
        self.rate = self.stream.average_rate or self.stream.guessed_rate or Fraction(25)
        self.time_base = _refine(self.stream.time_base or MICROSECOND, self.rate)
        seconds = (self._container.duration or 0) * MICROSECOND
        self.length = self.stream.frames or round(seconds * self.rate) or None
        # Recordings of broadcasts begin at any time; ffmpeg lets them begin at 0, too.
        self._begin = max(0, self._container.start_time or 0) * MICROSECOND
        self._reformatter = VideoReformatter()
        self._size: tuple[int, int] | None = None  # width and height of the first frame

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames(self, add_sound: Callable[[Any], None]) -> Iterator[Frame]:
        """Yield the frames, upright; audio packets go to `add_sound`.

        Raises:
          UserError: the video is damaged or cut short.
        """
        last: Frame | None = None  # a frame's duration is known by the next one
        for picture in self._decode(add_sound):
            start, duration = self._time(picture, last)
            if last is not None:
                start = max(start, last.start + 1)
                yield last._replace(duration=start - last.start)
            last = Frame(self._to_pixels(picture), start, duration)
        if last is None:
            raise UserError(f"{self._path} holds no frame that can be decoded.")
        yield last

    def _time(self, picture: av.VideoFrame, last: Frame | None) -> tuple[int, int]:
        """Return when a frame is shown and for how long, in ticks; `last` is the one before it."""
        step = max(1, round(1 / (self.rate * self.time_base)))
        tick = picture.time_base
        if picture.pts is None or tick is None:  # some files do not say
            return (0 if last is None else last.start + step), step
        seconds = picture.pts * tick - self._begin
        # Some containers round times to milliseconds, and state the rate.
        exact = Fraction(round(seconds * self.rate)) / self.rate
        if tick > self.time_base and abs(exact - seconds) < tick:
            return round(exact / self.time_base), step
        duration = round((picture.duration or 0) * tick / self.time_base)
        return round(seconds / self.time_base), duration or step

    def _decode(self, add_sound: Callable[[Any], None]) -> Iterator[av.VideoFrame]:
        """Yield decoded frames in the order in which they are shown."""
        end = Fraction(0)  # of the frames read so far
        has_begun = False
        sounds = {sound.index for sound in self.sounds}
        for packet in self._packets():
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            if packet.stream.index in sounds:
                add_sound(_shift(packet, self._begin))
            elif packet.stream.index == self.stream.index:
                if packet.is_corrupt and has_begun:
                    raise UserError(self._describe_damage(end, "a part is missing"))
                try:
                    pictures = self._decoder.decode(packet if packet.size else None)
                except FFmpegError as error:
                    if has_begun:
                        raise UserError(self._describe_damage(end, reason_of(error))) from error
                    continue  # recordings may begin amid a group of pictures
                # Recordings may begin amid a group of pictures, but not with a broken first one.
                if any(one.is_corrupt and (has_begun or one.key_frame) for one in pictures):
                    raise UserError(self._describe_damage(end, "a frame is not whole"))
                for picture in pictures:
                    picture.time_base = self.stream.time_base
                has_begun = has_begun or bool(pictures)
                yield from pictures
        self._check_end(end - self._begin)

    def _packets(self) -> Iterator[av.Packet]:
        try:
            yield from self._container.demux()
        except FFmpegError as error:
            raise UserError(f"{self._path} is damaged ({reason_of(error)}).") from error

    def _describe_damage(self, at: Fraction, reason: str) -> str:
        return f"{self._path} is damaged: at {float(at):.1f} s it cannot be decoded ({reason})."

    def _check_end(self, end: Fraction) -> None:
        """Raise UserError if a video ends before it says it does."""
        whole = (self._container.duration or 0) * MICROSECOND
        if whole - end > max(CUT_SHORT * whole, 0.2):
            raise UserError(
                f"{self._path} is cut short: {float(end):.1f} of {float(whole):.1f} s are there."
            )

    def _to_pixels(self, picture: av.VideoFrame) -> np.ndarray:
        """Return a frame as upright RGB or RGBA, of the size of the video."""
        size = picture.width, picture.height
        self._size = self._size or size
        if size != self._size and SIZES not in self.notes:
            self.notes.append(SIZES)
        pixels = to_pixels(picture, self._reformatter, *self._size)
        if picture.interlaced_frame and INTERLACED not in self.notes:
            self.notes.append(INTERLACED)
        swap, flip_x, flip_y = read_turn(picture)
        aspect = self.stream.sample_aspect_ratio
        self.aspect = 1 / aspect if swap and aspect else aspect
        return turn(pixels, swap, flip_x, flip_y)


def _refine(tick: Fraction, rate: Fraction) -> Fraction:
    """Return the time base of a video, or a finer one that its rate needs if it is coarse."""
    denominator = math.lcm(tick.denominator, rate.numerator)
    is_coarse = tick.denominator <= COARSE and denominator <= FINEST
    return Fraction(1, denominator) if is_coarse else tick


def _is_cover(stream: Any) -> bool:
    """Return whether a video stream is the cover of an album."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _shift(packet: av.Packet, begin: Fraction) -> av.Packet:
    """Move a packet to an earlier time."""
    if begin and packet.dts is not None:
        ticks = round(begin / packet.time_base)
        packet.dts -= ticks
        packet.pts = packet.dts if packet.pts is None else packet.pts - ticks
    return packet


def reason_of(error: Exception) -> str:
    """Return why FFmpeg refused something, without a full stop."""
    return (getattr(error, "strerror", None) or str(error)).strip().rstrip(".")

"""Read videos by PyAV: upright frames with their times; damage is found."""

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError

from class_jax.errors import UserError
from class_jax.jobs.video.frames import Frame, Video
from class_jax.jobs.video.pixels import (
    Look,
    is_deep,
    is_hdr,
    look_of,
    open_converter,
    open_decoder,
)

MICROSECOND = Fraction(1, av.time_base)  # of the times that containers state
COARSE, FINEST = 1000, 1_000_000  # ticks a second
# Demuxers of videos; those of playlists and scripts would open other files.
FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,asf,flv,live_flv,ogg,mxf,gxf,dv,rm,nut,ivf,h264,hevc,"
    "m4v,obu,mjpeg,mjpeg_2000,amv,nsv,wtv,yuv4mpegpipe"
)
CUT_SHORT = 0.02  # share of a video; less may be missing by rounding
HDR = "HDR (PQ or HLG): converted to BT.709, without highlights brighter than white paper"
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


class VideoFile(Video):
    """A video that is read."""

    def __init__(self, path: Path) -> None:
        """Open a video; UserError if it cannot be read or holds no video stream."""
        super().__init__(path)
        try:
            self._container = _open(path)
        except (FFmpegError, OSError) as error:
            raise UserError(
                f"{path} cannot be read as a video ({reason_of(error)}); playlists and scripts, "
                "which name other files, are none."
            ) from error
        self.audio = tuple(self._container.streams.audio)
        cover = av.stream.Disposition.attached_pic  # of an album
        videos = [one for one in self._container.streams.video if not one.disposition & cover]
        if not videos or videos[0].codec_context is None:
            self._container.close()
            raise UserError(f"{path} holds no video, or none that can be decoded.")
        self.stream = videos[0]
        self._decoder = open_decoder(self.stream)
        self._decoder.thread_type = "AUTO"
        has_light = is_hdr(self.stream.codec_context)
        self._note(HDR, has_light)
        self._note(DEEP, is_deep(self.stream.codec_context) and not has_light)
        self._note(SUBTITLES, self._container.streams.subtitles)
        self._note(SEVERAL, len(videos) > 1)
        self.rate = self.stream.average_rate or self.stream.guessed_rate or Fraction(25)
        self.time_base = _refine(self.stream.time_base or MICROSECOND, self.rate)
        seconds = (self._container.duration or 0) * MICROSECOND
        self.length = self.stream.frames or round(seconds * self.rate) or None
        # Recordings of broadcasts begin at any time; ffmpeg lets them begin at 0, too.
        self._begin = max(0, self._container.start_time or 0) * MICROSECOND
        self._size: tuple[int, int] | None = None  # of the first frame, in square pixels
        self._look: Look | None = None  # of the last frame

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _note(self, text: str, applies: object = True) -> None:
        if applies:
            self.notes.add(text)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames, upright; audio packets between them join `packets`.

        Raises:
          UserError: the video is damaged or cut short.
        """
        last: Frame | None = None  # a frame's duration is known by the next one
        try:
            for picture in self._decode():
                start, duration = self._time(picture, last)
                if last is not None:
                    start = max(start, last.start + 1)
                    yield last._replace(duration=start - last.start)
                last = Frame(self._to_pixels(picture), start, duration)
        except FFmpegError as error:
            raise UserError(f"{self.path} is damaged ({reason_of(error)}).") from error
        if last is None:
            raise UserError(f"{self.path} holds no frame that can be decoded.")
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

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Yield decoded frames in the order in which they are shown."""
        end = Fraction(0)  # of the frames read so far
        has_begun = False
        for packet in self._container.demux():
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            if packet.stream in self.audio:
                self.packets.append(_shift(packet, self._begin))
            elif packet.stream is self.stream:
                # Recordings may begin amid a group of pictures, but not with a broken first one.
                try:
                    pictures = self._decoder.decode(packet if packet.size else None)
                    damage = [one for one in pictures if one.is_corrupt]
                    is_damaged = any(has_begun or one.key_frame for one in damage)
                except FFmpegError:
                    pictures, is_damaged = [], has_begun
                if is_damaged or (packet.is_corrupt and has_begun):
                    at = f"{float(end):.1f} s"
                    raise UserError(f"{self.path} is damaged: at {at} it cannot be decoded.")
                for picture in pictures:
                    picture.time_base = self.stream.time_base
                has_begun = has_begun or bool(pictures)
                yield from pictures
        end -= self._begin
        whole = (self._container.duration or 0) * MICROSECOND
        if whole - end > max(CUT_SHORT * whole, 0.2):
            raise UserError(
                f"{self.path} is cut short: {float(end):.1f} of {float(whole):.1f} s are there."
            )

    def _to_pixels(self, picture: av.VideoFrame) -> np.ndarray:
        """Return a frame as upright RGB or RGBA, of the size of the video."""
        look = look_of(picture)
        if self._size is None:
            aspect = self.stream.sample_aspect_ratio or 1
            aspect = aspect if 0.1 <= aspect <= 10 else 1  # damaged files state any
            self._size = round(look.width * max(1, aspect)), round(look.height / min(1, aspect))
        if look != self._look:
            self._note(SIZES, self._look and look[:2] != self._look[:2])
            self._look, self._converter = look, open_converter(look, *self._size)
        self._note(INTERLACED, picture.interlaced_frame)
        self._converter.push(picture)
        return self._converter.vpull().to_ndarray()


def _refine(tick: Fraction, rate: Fraction) -> Fraction:
    """Return the time base of a video, or a finer one that its rate needs if it is coarse."""
    denominator = math.lcm(tick.denominator, rate.numerator)
    is_coarse = tick.denominator <= COARSE and denominator <= FINEST
    return Fraction(1, denominator) if is_coarse else tick


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

"""Write videos by PyAV; times, audio, colours and titles are kept."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.reformatter import ColorRange, VideoReformatter

from class_jax.errors import UserError
from class_jax.jobs.marks import write_comment
from class_jax.jobs.video.audio import Audio
from class_jax.jobs.video.frames import Frame, Video
from class_jax.jobs.video.pixels import is_hdr
from class_jax.jobs.video.reader import MICROSECOND, reason_of

# H.264 without B-frames: with them the times of containers are not exact.
H264 = {"crf": "18", "preset": "veryfast", "bf": "0"}
VP9 = {"crf": "24", "deadline": "good", "cpu-used": "5", "row-mt": "1"}
PRORES = {"profile": "4444", "vendor": "apl0"}  # what editors read
ENCODERS = {
    ".mp4": ("libx264", "yuv420p", H264),
    ".webm": ("libvpx-vp9", "yuv420p", VP9),
    ".mov": ("prores_ks", "yuv444p10le", PRORES),
}
FAST_START = {"movflags": "+faststart"}  # browsers show a video before all of it is there
EVEN = "of odd size: a row or column was repeated, as H.264 needs even ones"
# Matrices from RGB, where a video states one; else players guess, and so does PyAV.
MATRICES, BT709, UNKNOWN = {1, 5, 6, 7, 9}, 1, 2
# Notes that describe the file that was read, and not the video.
NOT_COPIED = {
    "comment", "encoder", "duration", "major_brand", "minor_version", "compatible_brands",
}  # fmt: skip


def write_video(
    path: Path, name: Path, video: Video, frames: Iterable[tuple[Frame, np.ndarray]], mark: str
) -> None:
    """Write a video: H.264, VP9 or ProRes by the suffix of its name.

    It keeps the times, audio and colours of `video`; `frames` are its frames with what was made of
    each, uint8 [H, W] or [H, W, C]. The file is `path`; `name` is what it will be called.

    Raises:
      UserError: it cannot be written, or what `frames` raises.
    """
    suffix = name.suffix.lower()
    options = FAST_START if suffix == ".mp4" else {}
    stream: Any = None
    reformatter = VideoReformatter()
    try:
        with av.open(path, "w", format=suffix[1:], options=options) as container:
            container.metadata["comment"] = write_comment(mark)
            for frame, made in frames:
                pixels = _make_even(made, video) if suffix == ".mp4" else made
                if stream is None:
                    stream = _add_stream(container, suffix, video, pixels)
                    audio = Audio(container, suffix, video)
                audio.write()
                picture = _to_picture(pixels, stream, reformatter)
                picture.pts, picture.duration = frame.start, frame.duration
                picture.time_base = video.time_base
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
            audio.finish()
    except FFmpegError as error:
        raise UserError(f"{name} cannot be written ({reason_of(error)}).") from error


def _make_even(pixels: np.ndarray, video: Video) -> np.ndarray:
    bottom, right = (side % 2 for side in pixels.shape[:2])
    if bottom or right:
        video.notes.add(EVEN)
        return cv2.copyMakeBorder(pixels, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    return pixels


def _add_stream(container: OutputContainer, suffix: str, video: Video, pixels: np.ndarray) -> Any:
    """Add a video stream for such images, with the colour tags and titles of its source."""
    codec, pixel_format, options = ENCODERS[suffix]
    stream: Any = container.add_stream(
        codec, rate=video.rate, options=options, time_base=video.time_base
    )
    stream.height, stream.width = pixels.shape[:2]
    has_alpha = pixels.ndim == 3 and pixels.shape[2] == 4
    stream.pix_fmt = pixel_format.replace("yuv", "yuva") if has_alpha else pixel_format
    looks = stream.codec_context
    looks.flags |= Flags.frame_duration  # packets last as long as their frames
    if source := video.stream:
        given = source.codec_context
        for name in ("colorspace", "color_primaries", "color_trc"):
            setattr(looks, name, BT709 if is_hdr(given) else getattr(given, name))
        if looks.colorspace not in MATRICES:
            looks.colorspace = UNKNOWN
        looks.color_range = ColorRange.MPEG
        _keep_notes(source.container, container)
    return stream


def _to_picture(pixels: np.ndarray, stream: Any, reformatter: VideoReformatter) -> av.VideoFrame:
    """Return pixels as a frame in the format and the colours of a stream."""
    kind = "gray" if pixels.ndim == 2 else "rgba" if pixels.shape[2] == 4 else "rgb24"
    matrix = stream.codec_context.colorspace
    return reformatter.reformat(
        av.VideoFrame.from_ndarray(pixels, kind),
        stream.width, stream.height, stream.pix_fmt, threads=1,
        dst_colorspace=matrix if matrix in MATRICES else None, dst_color_range=ColorRange.MPEG,
    )  # fmt: skip


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

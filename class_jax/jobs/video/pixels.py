"""Decoded frames as 8-bit RGB or RGBA: upright, with their alpha, of usual dynamic range."""

from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from class_jax.jobs.video.hdr import HLG, PQ, tone_map

WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders drop alpha


def is_hdr(stream: Any) -> bool:
    """Return whether a video stream has more than the usual dynamic range."""
    return stream.codec_context.color_trc in (PQ, HLG)


def is_deep(stream: Any) -> bool:
    """Return whether a video stream has more than 8 bits a colour."""
    kind = stream.codec_context.format
    return kind is not None and any(part.bits > 8 for part in kind.components)


def open_decoder(stream: Any) -> Any:
    """Return a decoder of a video stream that keeps alpha."""
    notes = {name.lower(): text for name, text in stream.metadata.items()}
    name = WITH_ALPHA.get(stream.codec_context.codec.canonical_name)
    if name and notes.get("alpha_mode") == "1":
        return av.CodecContext.create(name, "r")
    return stream.codec_context


def to_pixels(
    picture: av.VideoFrame, reformatter: VideoReformatter, width: int, height: int
) -> np.ndarray:
    """Return a frame as uint8 RGB [H, W, 3] or RGBA [H, W, 4], not yet upright.

    PQ and HLG are converted to BT.709.
    """
    has_alpha = any(component.is_alpha for component in picture.format.components)
    if picture.color_trc not in (PQ, HLG):
        kind = "rgba" if has_alpha else "rgb24"
        return reformatter.reformat(picture, width, height, kind, threads=1).to_ndarray()
    kind = "rgba64le" if has_alpha else "rgb48le"
    deep = reformatter.reformat(picture, width, height, kind, threads=1).to_ndarray()
    pixels = tone_map(deep[..., :3], picture.color_trc)
    return np.dstack([pixels, deep[..., 3:] // 257]).astype(np.uint8)


def read_turn(picture: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Return a frame's turn by its display matrix: swap axes, then flip x, flip y."""
    data: Any = picture.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    # A pixel (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def turn(pixels: np.ndarray, swap: bool, flip_x: bool, flip_y: bool) -> np.ndarray:
    """Return pixels [H, W, C] turned by `read_turn`."""
    if swap:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1])

"""Decoded frames as 8-bit RGB or RGBA: upright, with their alpha, of usual dynamic range."""

from fractions import Fraction
from typing import Any, NamedTuple

import av
import av.filter
import numpy as np

WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders drop alpha
PQ, HLG = 16, 18  # transfer characteristics of high dynamic range, ITU-T H.273
TURNS = (("transpose", "cclock_flip"), ("hflip", None), ("vflip", None))  # as `Look.turn`
TICK = Fraction(1, 1000)  # FFmpeg wants one; frames keep their own


class Look(NamedTuple):
    """The properties of a decoded frame that decide how it is converted."""

    width: int
    height: int
    format: str  # of its pixels
    is_hdr: bool
    turn: tuple[bool, bool, bool]  # swap axes, then flip x, flip y


def look_of(picture: av.VideoFrame) -> Look:
    """Return the look of a decoded frame; its turn is that of its display matrix."""
    data: Any = picture.side_data.get("DISPLAYMATRIX")
    # A pixel (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = (1, 0, 0, 0, 1) if data is None else np.frombuffer(data, np.int32)[:5].tolist()
    is_swapped = abs(b) + abs(c) > abs(a) + abs(d)
    turn = (True, c < 0, b < 0) if is_swapped else (False, a < 0, d < 0)
    return Look(picture.width, picture.height, picture.format.name, is_hdr(picture), turn)


def is_hdr(source: Any) -> bool:
    """Return whether a frame or a codec has more than the usual dynamic range."""
    return source.color_trc in (PQ, HLG)


def is_deep(context: Any) -> bool:
    """Return whether a codec has more than 8 bits a colour."""
    return context.format is not None and any(part.bits > 8 for part in context.format.components)


def open_decoder(stream: Any) -> Any:
    """Return a decoder of a video stream that keeps alpha."""
    notes = {name.lower(): text for name, text in stream.metadata.items()}
    name = WITH_ALPHA.get(stream.codec_context.codec.canonical_name)
    if name and notes.get("alpha_mode") == "1":
        return av.CodecContext.create(name, "r")
    return stream.codec_context


def open_converter(look: Look, width: int, height: int) -> av.filter.Graph:
    """Return a filter that resizes frames of a look, makes them RGB or RGBA, and turns them.

    PQ and HLG become BT.709, whose white is that of paper, 203 cd/m²; what is brighter is cut.
    """
    kind = av.VideoFormat(look.format)
    has_alpha = any(part.is_alpha for part in kind.components)
    colours = ":out_primaries=bt709:out_transfer=bt709" if look.is_hdr else ""
    steps = [
        ("scale", f"{width}:{height}:flags=bilinear{colours}"),
        ("format", "rgba" if has_alpha else "rgb24"),
        *[step for step, applies in zip(TURNS, look.turn, strict=True) if applies],
        ("buffersink", None),
    ]
    graph = av.filter.Graph()
    first = graph.add_buffer(None, look.width, look.height, kind, time_base=TICK)
    graph.link_nodes(first, *[graph.add(*step) for step in steps]).configure()
    return graph

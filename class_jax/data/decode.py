"""Decode image files of every kind that Pillow reads, and note what was guessed."""

import contextlib
import functools
import io
import os
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from class_jax.errors import UserError

# Images are decoded by many threads and processes at once, each on one core.
cv2.setNumThreads(0)
# Pillow's remarks on odd metadata; `catch_warnings` would not be safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

# Formats that Pillow only identifies, hands to another program, or reads on one system alone.
NOT_READ = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}
# An image of more pixels than MAX_PIXELS may be an attack on the memory ("decompression bomb").
# Where only a small copy of it is needed, up to MOST_PIXELS are read.
MAX_PIXELS, MOST_PIXELS = 178_956_970, 500_000_000
MANY_FRAMES = {"GIF", "WEBP", "PNG", "AVIF", "TIFF", "HEIF"}
FIRST_FRAME = "of several frames, the first is used"
FEW_BITS = "16-bit files that use fewer bits, scaled to 8"
SIXTEEN_BITS = "16 bits a channel, read and written as 8"
UPRIGHT = "turned upright by EXIF"
TURNS = {  # what makes an image upright, by its EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
PHOTOMETRIC, PLANES, BITS, WHITE_IS_ZERO = 262, 284, 258, 0  # tags of TIFF
SIDEWAYS = 5  # orientations from here on swap height and width

_LIMIT = threading.Lock()  # held while Pillow's own limit is off

ImageSource = str | os.PathLike[str] | bytes | BinaryIO | Image.Image


class Decoded(NamedTuple):
    """A decoded image, and how it was read."""

    image: Image.Image  # smaller than its size if it was decoded at a reduced scale
    height: int
    width: int
    orientation: int  # of the stored image, by EXIF, from 1, upright, to 8
    guesses: tuple[str, ...]


class Header(NamedTuple):
    """An image's format, as Pillow names it, its stored size, and whether it has 16 bits."""

    kind: str
    height: int
    width: int
    is_deep: bool


def read_header(source: ImageSource) -> Header:
    """Return the header of an image; UserError if the file is not an image."""
    with _explain_errors(source), _open(source) as image:
        is_deep = image.mode.startswith("I") or _is_deep_colour(image)
        return Header(image.format or "", image.height, image.width, is_deep)


def decode(
    source: ImageSource, *, most: int = MAX_PIXELS, side: int | None = None, upright: bool = True
) -> Decoded:
    """Open and decode an image, a JPEG at a reduced scale if only `side` pixels are needed.

    Args:
      source: path, bytes, open binary file or PIL image.
      most: the largest image that is accepted, in pixels.
      side: an image may be decoded smaller, but not below twice this side.
      upright: turn it as its EXIF data say.

    Raises:
      UserError: no such file, not an image, a damaged one, or one of more than `most` pixels.
    """
    with _explain_errors(source), _open(source) as opened:
        height, width = opened.height, opened.width
        if width * height > most:
            raise UserError(
                f"{name_of(source)} has {width}x{height} pixels: at most {most // 1_000_000} "
                "million can be read."
            )
        if side is not None and opened.format == "JPEG":
            opened.draft("", (2 * side, 2 * side))
        content = _bytes_of(opened) if _is_deep_colour(opened) else None
        tags = getattr(opened, "tag_v2", {})
        if tags.get(PLANES) == 2 and len(bits := tags.get(BITS, ())) > 1 and max(bits) > 8:
            raise UserError(  # Pillow and OpenCV would take it for something else
                f"{name_of(source)} holds 16 bits a channel, each channel by itself (planar): save "
                "it interleaved, or with 8 bits."
            )
        # Without a name Pillow does not map the file into memory, where it ignores turns.
        opened.filename = ""  # type: ignore[attr-defined]
        opened.load()
        orientation = _orientation_of(opened)
        image, guesses = _finish(opened, content)
    if upright and orientation in TURNS:
        image, guesses = image.transpose(TURNS[orientation]), (UPRIGHT, *guesses)
        if orientation >= SIDEWAYS:
            height, width = width, height
    return Decoded(image, height, width, orientation, guesses)


def _orientation_of(image: Image.Image) -> int:
    with contextlib.suppress(Exception):  # Pillow's parsers raise whatever damage leads to
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
        return orientation if orientation in TURNS else 1
    return 1


def _finish(image: Image.Image, deep: bytes | None) -> tuple[Image.Image, tuple[str, ...]]:
    """Return a loaded image that needs no file; `deep` is its file if it has 16-bit colour."""
    guesses = []
    if image.format in MANY_FRAMES and getattr(image, "is_animated", False):
        image = image.copy()  # an animation goes back to its file
        guesses.append(FIRST_FRAME)
    if image.mode.startswith("I;16"):
        values, clear = np.asarray(image), image.info.get("transparency")
        if clear is not None:  # the one grey that is transparent
            levels, how = scale_to_8_bits(values)
            image = Image.fromarray(np.dstack([levels, np.uint8(255) * (values != clear)]))
            guesses.append(how)
        elif getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
            image = Image.fromarray(65535 - values)  # of 8 bits Pillow does so
    if deep is not None and (found := _decode_deep(deep)) is not None:
        kept = {key: value for key, value in image.info.items() if key != "transparency"}
        image, guess = found
        image.info.update(kept)
        guesses += [guess] if guess else []
    return image, tuple(guesses)


@contextlib.contextmanager
def _explain_errors(source: ImageSource) -> Iterator[None]:
    """Convert what Pillow raises."""
    name = name_of(source)
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{name} does not exist.") from error
    except UnidentifiedImageError as error:
        raise UserError(
            f"{name} is not an image that can be read: if it is one, save it as PNG."
        ) from error
    except UserError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads to
        says_why = isinstance(error, (OSError, ValueError, SyntaxError))
        reason = str(error).strip().rstrip(".") if says_why else ""
        raise UserError(
            f"{name} cannot be read as an image ({reason or 'it is damaged'})."
        ) from error


def _is_deep_colour(image: Image.Image) -> bool:
    """Return whether an opened image has 16 bits a channel, of which Pillow keeps the upper 8."""
    is_deep = any(re.search("16|65535", str(tile[3])) for tile in getattr(image, "tile", ()))
    return image.mode in ("RGB", "RGBA", "LA") and is_deep


def _decode_deep(content: bytes) -> tuple[Image.Image, str | None] | None:
    """Decode 16-bit colour; equal channels give 16-bit grey. None if OpenCV cannot read it."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        return None
    colours, alpha = pixels[..., 2::-1], pixels[..., 3:]
    is_opaque = not alpha.size or alpha.min() == 65535
    if is_opaque and (colours == colours[..., :1]).all():
        return Image.fromarray(np.ascontiguousarray(colours[..., 0])), None
    levels, guess = scale_to_8_bits(colours)
    if not is_opaque:
        levels = np.dstack([levels, np.rint(alpha / 257).astype(np.uint8)])
    return Image.fromarray(np.ascontiguousarray(levels)), guess


def scale_to_8_bits(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Scale 16 bits to uint8, from the smallest number of bits that holds all values."""
    bits = max(8, int(values.max()).bit_length())
    levels = np.rint(values * (255 / (2**bits - 1))).astype(np.uint8)
    return levels, SIXTEEN_BITS if bits == 16 else FEW_BITS


def _bytes_of(image: Image.Image) -> bytes:
    """Return the file of an opened image, and leave its position."""
    file = image.fp  # type: ignore[attr-defined]
    place = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(place)
    return content


@functools.cache
def readable_suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case, of the image files that the installed Pillow reads."""
    with contextlib.suppress(ImportError):
        import pillow_heif  # type: ignore[import-not-found]  # noqa: PLC0415 - optional

        pillow_heif.register_heif_opener()
    extensions = Image.registered_extensions()
    known = {suffix for suffix, kind in extensions.items() if kind in _formats()}
    return frozenset({*known, ".mpo"})  # MPO is opened as the JPEG that it begins with


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return the formats that are read, usual ones first; call after optional ones are known."""
    Image.init()
    kinds = ("JPEG", "PNG", *Image.OPEN)
    return tuple(dict.fromkeys(kind for kind in kinds if kind not in NOT_READ))


def _open(source: ImageSource) -> Image.Image:
    """Open an image without decoding it; leaving it as a context closes its file."""
    if isinstance(source, Image.Image):
        return source.copy()
    if isinstance(source, (str, os.PathLike)) and not Path(source).is_file():
        if Path(source).exists():
            raise UserError(f"{source} is not a file.")  # a pipe would block
        raise FileNotFoundError
    readable_suffixes()  # registers optional formats
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    # Pillow's own limit would refuse more than twice this number; `decode` checks ours.
    with _LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=_formats())
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def name_of(source: ImageSource) -> str | os.PathLike[str]:
    """Return the name of a source for messages."""
    if isinstance(source, (str, os.PathLike)):
        return source
    if isinstance(source, Image.Image):
        return "the PIL image"
    return getattr(source, "name", None) or "what was given"

"""Decode image files of every kind that Pillow reads, with what was guessed on the way."""

import contextlib
import functools
import io
import os
import re
import threading
import warnings
from collections.abc import Iterator
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
MANY_FRAMES = {"GIF", "WEBP", "PNG", "AVIF", "TIFF"}
FIRST_FRAME = "of several frames, the first is used"
FEW_BITS = "16-bit files that use fewer bits, scaled to 8"
SIXTEEN_BITS = "16 bits a channel, read and written as 8"

_LIMIT = threading.Lock()  # held while Pillow's own limit is off

ImageSource = str | os.PathLike[str] | bytes | BinaryIO | Image.Image


class Decoded(NamedTuple):
    """A decoded image as it is stored, and how it was read."""

    image: Image.Image  # smaller than the image itself if it was decoded at a reduced scale
    height: int
    width: int
    orientation: int  # by EXIF, from 1, upright, to 8
    guesses: tuple[str, ...]


def decode(source: ImageSource, *, most: int = MAX_PIXELS, side: int | None = None) -> Decoded:
    """Open and decode an image, a JPEG at a reduced scale if only `side` pixels are needed.

    Raises:
      UserError: no such file, not an image, a damaged one, or one of more than `most` pixels.
    """
    with _explain_errors(source), _open(source) as image:
        height, width = image.height, image.width
        _check_size(image, name_of(source), most)
        if side is not None and image.format == "JPEG":
            image.draft("", (2 * side, 2 * side))
        is_deep = _is_deep_colour(image)
        image.load()
        return _finish(image, height, width, source if is_deep else None)


class Header(NamedTuple):
    """An image's format, as Pillow names it, and its stored size."""

    kind: str
    height: int
    width: int


def read_header(source: ImageSource) -> Header:
    """Return what the header of an image says; UserError if it is none."""
    with _explain_errors(source), _open(source) as image:
        return Header(image.format or "", image.height, image.width)


def _check_size(image: Image.Image, name: str | os.PathLike[str], most: int) -> None:
    if image.width * image.height > most:
        raise UserError(
            f"{name} has {image.width}x{image.height} pixels: at most {most // 1_000_000} "
            "million can be read."
        )


@contextlib.contextmanager
def _explain_errors(source: ImageSource) -> Iterator[None]:
    """Convert what Pillow raises."""
    name = name_of(source)
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{name} does not exist.") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is not an image that can be read.") from error
    except UserError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads to
        raise UserError(f"{name} cannot be read as an image ({_reason(error)}).") from error


def is_deep(source: ImageSource) -> bool:
    """Return whether an image has 16 bits a channel, from its header; UserError as `decode`."""
    with _explain_errors(source), _open(source) as image:
        return image.mode.startswith("I") or _is_deep_colour(image)


def _finish(image: Image.Image, height: int, width: int, deep: ImageSource | None) -> Decoded:
    """Add what else is known of a loaded image; `deep` is its source if it has 16-bit colour."""
    orientation = 1
    with contextlib.suppress(Exception):  # Pillow's parsers raise whatever damage leads to
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    guesses = []
    if image.format in MANY_FRAMES and getattr(image, "is_animated", False):
        image = image.copy()  # needs no file, where an animation goes back to its own
        guesses.append(FIRST_FRAME)
    if image.mode == "La":  # of a PIL image; nothing converts it but this
        image = image.convert("LA")
    if deep is not None and (found := _decode_deep(deep)) is not None:
        kept = {key: value for key, value in image.info.items() if key != "transparency"}
        image, guess = found
        image.info.update(kept)
        guesses += [guess] if guess else []
    return Decoded(
        image, height, width, orientation if 1 <= orientation <= 8 else 1, tuple(guesses)
    )


def _is_deep_colour(image: Image.Image) -> bool:
    """Return whether an opened image has 16 bits a channel, of which Pillow keeps the upper 8."""
    tiles = getattr(image, "tile", ())
    is_deep = any(re.search("16|65535", str(tile[3])) for tile in tiles)
    return image.mode in ("RGB", "RGBA", "LA") and is_deep


def _decode_deep(source: ImageSource) -> tuple[Image.Image, str | None] | None:
    """Decode 16-bit colour; equal channels give 16-bit grey. None if OpenCV cannot read it."""
    pixels = cv2.imdecode(np.frombuffer(_read_bytes(source), np.uint8), cv2.IMREAD_UNCHANGED)
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


def _read_bytes(source: ImageSource) -> bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:  # noqa: PTH123 - may be bytes of no encoding
            return file.read()
    source.seek(0)  # type: ignore[union-attr]
    return source.read()  # type: ignore[union-attr]


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
    return tuple(
        kind for kind in dict.fromkeys(("JPEG", "PNG", *Image.OPEN)) if kind not in NOT_READ
    )


def _open(source: ImageSource) -> Image.Image:
    """Open an image without decoding it; leaving it as a context closes its file."""
    if isinstance(source, Image.Image):
        return source.copy()
    if isinstance(source, (str, os.PathLike)) and not os.path.isfile(source):  # noqa: PTH113
        if os.path.exists(source):  # noqa: PTH110 - may be bytes of no encoding
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
    """Return what to call a source in messages."""
    if isinstance(source, (str, os.PathLike)):
        return source
    if isinstance(source, Image.Image):
        return "the PIL image"
    return getattr(source, "name", None) or "what was given"


def _reason(error: Exception) -> str:
    if not isinstance(error, (OSError, ValueError, SyntaxError)):
        return "it is damaged"  # of an IndexError or struct.error the words say nothing
    return (str(error) or type(error).__name__).strip().rstrip(".")

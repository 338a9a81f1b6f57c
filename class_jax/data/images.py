"""Image files: decoded as upright 8-bit RGB, saliency maps written as 8-bit grey.

`read_…` returns levels alone, `load_…` also how they were read.
"""

import contextlib
import functools
import io
import os
import threading
import warnings
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from class_jax.data import masks
from class_jax.errors import UserError
from class_jax.files import atomic_write

# Images are decoded by many threads and processes at once, each on one core.
cv2.setNumThreads(0)

FINGERPRINT = "class_jax"  # key of a text in the PNG files of maps
# Formats that Pillow only identifies, hands to another program, or reads on one system alone.
NOT_READ = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}
# An image of more pixels than MAX_PIXELS may be an attack on the memory ("decompression bomb").
# Where only a small copy of it is needed, up to MOST_PIXELS are read.
MAX_PIXELS, MOST_PIXELS = 178_956_970, 500_000_000
LARGE = 64_000_000  # pixels that are shrunk before they are converted, to save memory
ANIMATED = {"GIF", "WEBP", "PNG", "AVIF"}
NEARLY_WHITE = 240  # mean level of what is visible of a transparent image

_LIMIT = threading.Lock()  # held while Pillow's own limit is off

SIDEWAYS = 5  # EXIF orientations from here on swap height and width
UPRIGHT = "turned upright by EXIF"
ON_WHITE = "transparent: laid on white, or on black if nearly white"
FIRST_FRAME = "animated: the first frame is used"

Source = str | os.PathLike[str] | bytes | BinaryIO | Image.Image


class Picture(NamedTuple):
    """The pixels of an image, its own size, and how it was read."""

    pixels: np.ndarray  # uint8 [h, w, 3], RGB; smaller than the image if it was shrunk on reading
    height: int
    width: int
    guesses: tuple[str, ...] = ()


def read_image(source: Source) -> np.ndarray:
    """Return an image as uint8 RGB [H, W, 3], upright as its EXIF data say.

    Grey, palette, CMYK, 1-bit and 16-bit images are converted; transparent parts lie on white, or
    on black if what is visible is nearly white.

    Raises:
      UserError: no such file, not an image, or a damaged or too large one.
    """
    return load_image(source).pixels


def load_image(
    source: Source, *, side: int | None = None, most: int = MAX_PIXELS, upright: bool = True
) -> Picture:
    """Read an image, with how it was read, and at a reduced scale if that is enough.

    Args:
      source: path, bytes, open binary file or PIL image.
      side: of the square that the image will be resized to; a large image may be decoded smaller,
        but not below twice this side. None: its own size.
      most: the largest image that is accepted, in pixels.
      upright: turn it as its EXIF data say.

    Raises:
      UserError: as `read_image`.
    """
    image, height, width, is_animated = decode(source, most=most, side=side)
    guesses = []
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if upright and orientation in range(2, 9):
        guesses.append(UPRIGHT)
        if orientation >= SIDEWAYS:
            height, width = width, height
        ImageOps.exif_transpose(image, in_place=True)  # else it copies upright ones too
    if is_animated:
        guesses.append(FIRST_FRAME)
    if side is not None and image.width * image.height > LARGE:
        image = _reduce(image, 2 * side)
    pixels, guess = _to_rgb(image, str(_name(source)))
    return Picture(pixels, height, width, (*guesses, *filter(None, [guess])))


def load_mask(path: Source, *, salient: masks.Classes = ()) -> masks.Reading:
    """Return the mask in a file and how it was read; see `masks.mask_of`."""
    return masks.mask_of(_decode_upright(path), str(_name(path)), salient=salient)


def load_map(path: Source, *, highest: int | None = None) -> masks.Reading:
    """Return the saliency map in a file and how it was read; see `masks.map_of`."""
    return masks.map_of(_decode_upright(path), str(_name(path)), highest=highest)


def read_highest(path: Source) -> int | None:
    """Return the highest value in a 16-bit file; None for any other image."""
    return masks.highest_value(decode(path).image, str(_name(path)))


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


def _to_rgb(image: Image.Image, name: str) -> tuple[np.ndarray, str | None]:
    """Return RGB [H, W, 3], and the guess that led to it if there was one."""
    if image.mode.startswith(("I", "F")):
        grey, guess = _deep_grey(image, name)
        return np.repeat(grey[..., None], 3, axis=-1), guess
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        if rgba[..., 3].min() < 255:
            return lay_on_white(rgba), ON_WHITE
        return np.ascontiguousarray(rgba[..., :3]), None
    # `convert` would copy an RGB image.
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB")), None


def lay_on_white(rgba: np.ndarray) -> np.ndarray:
    """Return uint8 RGBA [H, W, 4] over white, or over black if what is visible is nearly white."""
    alpha = rgba[..., 3:] / np.float32(255)
    visible = (alpha * rgba[..., :3]).sum() / max(3 * alpha.sum(), 1e-6)
    paper = 0 if visible > NEARLY_WHITE else 255
    return np.rint(alpha * rgba[..., :3] + (1 - alpha) * paper).astype(np.uint8)


def _deep_grey(image: Image.Image, name: str) -> tuple[np.ndarray, str | None]:
    """Scale more than 8 bits to 8, from the smallest number of bits that holds all values."""
    values = np.asarray(image)
    if values.dtype.kind == "f":
        if not (values.min() >= 0 and values.max() <= 1):  # false for NaN too
            raise UserError(
                f"{name} holds floats from {values.min():g} to {values.max():g}: expected 0 to 1."
            )
        return np.rint(values * 255).astype(np.uint8), None
    if values.min() < 0 or values.max() > 65535:
        raise UserError(f"{name} holds values outside 16 bits: save it with 8 or 16 bits.")
    bits = max(8, int(values.max()).bit_length())
    guess = None if bits == 16 else f"holds {bits} bits in 16, scaled to 8"
    return np.rint(values * (255 / (2**bits - 1))).astype(np.uint8), guess


def _reduce(image: Image.Image, side: int) -> Image.Image:
    """Average blocks of pixels of a very large image, so that both sides stay above `side`."""
    factor = min(image.size) // side
    if factor < 2 or image.mode.startswith(("I", "F")):
        return image
    if image.mode in ("1", "P", "PA"):
        image = image.convert("L" if image.mode == "1" else "RGBA")
    return image.reduce(factor)


class Decoded(NamedTuple):
    """A decoded image, its own size as it is stored, and whether it has several frames."""

    image: Image.Image
    height: int
    width: int
    is_animated: bool


def decode(source: Source, *, most: int = MAX_PIXELS, side: int | None = None) -> Decoded:
    """Open and decode an image, a JPEG at a reduced scale if only `side` pixels are needed.

    Raises:
      UserError: no such file, not an image, a damaged one, or one of more than `most` pixels.
    """
    name = _name(source)
    readable_suffixes()  # registers optional formats
    try:
        with warnings.catch_warnings(), _open(source) as image:
            warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata
            height, width = image.height, image.width
            if width * height > most:
                raise UserError(
                    f"{name} has {width}x{height} pixels: at most {most // 1_000_000} million can "
                    "be read."
                )
            if side is not None and image.format == "JPEG":
                image.draft("", (2 * side, 2 * side))
            image.load()
            is_animated = image.format in ANIMATED and getattr(image, "is_animated", False)
            # A copy needs no file, where an animation goes back to its own.
            return Decoded(image.copy() if is_animated else image, height, width, is_animated)
    except FileNotFoundError as error:
        raise UserError(f"{name} does not exist.") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is not an image that can be read.") from error
    except UserError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads to
        raise UserError(f"{name} cannot be read as an image ({_reason(error)}).") from error


def _decode_upright(source: Source) -> Image.Image:
    image = decode(source).image
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _open(source: Source) -> Image.Image:
    """Open an image without decoding it; leaving it as a context closes its file."""
    if isinstance(source, Image.Image):
        return source.copy()
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    # Pillow's own limit would refuse more than twice this number; `decode` checks ours.
    with _LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=_formats())
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _name(source: Source) -> str | os.PathLike[str]:
    """Return what to call a source in messages."""
    if isinstance(source, (str, os.PathLike)):
        return source
    if isinstance(source, Image.Image):
        return "the PIL image"
    return getattr(source, "name", None) or "the image"


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().rstrip(".")


def to_levels(saliency: np.ndarray, name: str | os.PathLike[str]) -> np.ndarray:
    """Return a map in 0-1 as uint8 levels, rounded.

    Raises:
      UserError: a value is not finite or outside 0-1; `name` says whose map it is.
    """
    # The NaN of a diverged network would be cast to some level, and pass for a map.
    if not (saliency.min() >= 0 and saliency.max() <= 1):
        raise UserError(
            f'the map of "{name}" holds values that are not finite or not in 0-1: '
            "the network has diverged; use another checkpoint."
        )
    return np.rint(saliency * 255).astype(np.uint8)


def write_map(path: Path, levels: np.ndarray, *, fingerprint: str = "") -> None:
    """Write a map, uint8 [H, W], in the format of the path's suffix, atomically.

    PNG files keep `fingerprint` for `read_fingerprint`. UserError if the file cannot be written.
    """
    kind = Image.registered_extensions()[path.suffix.lower()]
    text = PngInfo()
    text.add_text(FINGERPRINT, fingerprint)
    with atomic_write(path) as partial:
        # A format ignores the options that it does not know.
        Image.fromarray(levels).save(partial, format=kind, quality=95, pnginfo=text)


def read_fingerprint(path: Path) -> str | None:
    """Return the fingerprint in a PNG file that `write_map` wrote; None if it holds none."""
    try:
        with Image.open(path) as image:
            return image.info.get(FINGERPRINT)
    except (OSError, Image.DecompressionBombError):
        return None

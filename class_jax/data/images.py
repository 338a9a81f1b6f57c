"""Decoding: every kind of image file comes out as upright 8-bit RGB, every mask as 8-bit grey."""

import contextlib
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from class_jax.errors import UserError
from class_jax.files import atomic_write

# Pictures are decoded by many threads and processes at once; each shall use one core.
cv2.setNumThreads(0)

ORIGIN = "class_jax"  # name of a text in the PNG files of maps
# JPEG stores a grey mask's colour channels apart, and rounds each: a few levels are no colour.
GREY_TOLERANCE = 8


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """The picture in a file: uint8 RGB [H, W, 3], turned upright as its EXIF data say.

    Grey, palette, CMYK, 1-bit and 16-bit pictures are converted; transparency is dropped, and the
    colours under it are used as they are stored.

    Raises:
      UserError: no such file, not an image, or a damaged one.
    """
    with _opened(path) as picture:
        if picture.mode.startswith(("I", "F")):
            return np.repeat(_deep_grey(picture, path)[..., None], 3, axis=-1)
        return np.asarray(picture.convert("RGB"))


def read_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """The mask in a file: uint8 [H, W], 0 background to 255 salient; soft values are kept.

    Accepted are grey of 1, 8 or 16 bits, 0/1 as well as 0/255, RGB of equal channels, and palettes
    (coloured ones only where the indices are 0 and 1, or 0 and 255).

    Raises:
      UserError: no such file, not an image, a damaged one, or one in colour.
    """
    with _opened(path) as picture:
        grey = _palette_mask(picture, path) if picture.mode == "P" else _grey(picture, path)
    return np.uint8(255) * grey if grey.max() == 1 else grey


def read_map(path: str | os.PathLike[str]) -> np.ndarray:
    """The saliency map in a file: uint8 [H, W], its levels as they are stored.

    Accepted are grey of 1, 8 or 16 bits (16 are rounded to 8), RGB of equal channels, and palettes
    of greys.

    Raises:
      UserError: no such file, not an image, a damaged one, or one in colour.
    """
    with _opened(path) as picture:
        return _grey(picture, path)


def map_levels(saliency: np.ndarray, name: str | os.PathLike[str]) -> np.ndarray:
    """A map in 0–1 as 8 bits, rounded.

    Raises:
      UserError: a value is not finite or outside 0–1; `name` says whose map it is.
    """
    # A diverged network's NaN would be cast to some level, and taken for a map.
    if not (saliency.min() >= 0 and saliency.max() <= 1):
        raise UserError(
            f'the map of "{name}" holds values that are not finite or not in 0-1: '
            "the network has diverged; use another --checkpoint."
        )
    return np.rint(saliency * 255).astype(np.uint8)


def write_map(path: str | os.PathLike[str], saliency: np.ndarray, *, origin: str = "") -> None:
    """Write a map, uint8 [H, W], in the format of the path's suffix; whole or not at all.

    Folders are made as needed. `origin` is kept in PNG files for `read_fingerprint`.

    Raises:
      UserError: the file cannot be written.
    """
    path = Path(path)
    kind = Image.registered_extensions()[path.suffix.lower()]
    text = PngInfo()
    text.add_text(ORIGIN, origin)
    with atomic_write(path) as partial:
        # Each format takes what it knows of these.
        Image.fromarray(saliency).save(partial, format=kind, quality=95, pnginfo=text)


def read_fingerprint(path: str | os.PathLike[str]) -> str | None:
    """What `write_map` was told of a map's origin; None where there is no such PNG file."""
    try:
        with Image.open(path) as picture:
            return picture.info.get(ORIGIN)
    except (OSError, Image.DecompressionBombError):
        return None


def resize(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear resize of [H, W] or [H, W, C]: half-pixel centres, no antialias."""
    return cv2.resize(array, (width, height), interpolation=cv2.INTER_LINEAR)


def resize_into(array: np.ndarray, result: np.ndarray) -> None:
    """As `resize`, to the size of `result`, which is filled; [H, W] or [H, W, C] as `array`."""
    height, width = result.shape[:2]
    cv2.resize(array, (width, height), dst=result, interpolation=cv2.INTER_LINEAR)


def resize_bicubic(levels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bicubic resize of uint8 [H, W] as MATLAB's imresize: a = −0.5, antialiased when shrinking."""
    tall, wide = levels.shape
    # Pillow weighs the pixels outside of `box` too: mirrored at the edges, as MATLAB has them.
    below = 2 * math.ceil(max(1, tall / height)) + 1
    beside = 2 * math.ceil(max(1, wide / width)) + 1
    mirrored = np.pad(levels, ((below, below), (beside, beside)), mode="symmetric")
    # As floats: of 8 bits it would round after each of the two axes.
    resized = Image.fromarray(mirrored.astype(np.float32)).resize(
        (width, height),
        Image.Resampling.BICUBIC,
        box=(beside, below, beside + wide, below + tall),
    )
    return np.rint(np.asarray(resized)).clip(0, 255).astype(np.uint8)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """The upright picture, decoded; what Pillow says of a bad file, in a sentence."""
    try:
        with warnings.catch_warnings():
            # Large photographs are fine; what would fill the memory is an error all the same.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                picture.load()
                ImageOps.exif_transpose(picture, in_place=True)  # else it copies upright ones too
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is not an image that can be read.") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} is too large: {error}.") from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads to
        raise UserError(f"{path} cannot be read as an image: {error}.") from error
    yield picture


def _deep_grey(picture: Image.Image, path: str | os.PathLike[str]) -> np.ndarray:
    """Grey of more than 8 bits → uint8; Pillow's own conversion would clip instead of scale."""
    values = np.asarray(picture)
    if picture.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise UserError(f"{path} holds values outside 16 bits: save it with 8 or 16 bits.")
    if values.max() <= 1:  # a 0/1 mask in a 16-bit file
        return values.astype(np.uint8)
    return np.rint(values / 257).astype(np.uint8)


def _grey(picture: Image.Image, path: str | os.PathLike[str]) -> np.ndarray:
    """The grey of a grey picture, or the one channel of RGB whose channels are equal."""
    if picture.mode.startswith(("I", "F")):
        return _deep_grey(picture, path)
    if picture.mode in ("1", "L", "LA"):
        return np.asarray(picture.convert("L"))
    colours = np.asarray(picture.convert("RGB"))
    if (spread := _spread(colours)) > GREY_TOLERANCE:
        raise UserError(
            f"{path} is in colour, and masks and maps must be grey: its channels differ by up to "
            f"{spread}."
        )
    return colours[..., 1]


def _spread(colours: np.ndarray) -> int:
    """By how much the channels of a pixel differ at most."""
    red, green, blue = np.moveaxis(colours, -1, 0)  # a reduction over three would take longer
    highest = np.maximum(np.maximum(red, green), blue)
    return int((highest - np.minimum(np.minimum(red, green), blue)).max())


def _palette_mask(picture: Image.Image, path: str | os.PathLike[str]) -> np.ndarray:
    """A palette of greys gives its greys, a coloured one is a mask of its indices."""
    indices = np.asarray(picture)
    if set(np.unique(indices)) <= {0, 1} or set(np.unique(indices)) <= {0, 255}:
        colours = np.asarray(picture.convert("RGB"))
        if _spread(colours) > GREY_TOLERANCE:
            return np.where(indices > 0, np.uint8(255), np.uint8(0))
    return _grey(picture, path)

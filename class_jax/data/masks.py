"""Read masks and saliency maps as 8-bit levels, however they were stored.

A reading that is not obvious has a description, which the check of a data set reports.
"""

from collections.abc import Collection
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from class_jax.data.decode import ImageSource, decode, name_of, read_header
from class_jax.errors import UserError
from class_jax.text import list_names

ALPHA = "taken from alpha"
SCALED = "scaled so that the higher of two values is 255"
INDICES = "coloured palettes, read by their two indices"
EIGHT_OF_SIXTEEN = "16-bit files that hold 8 bits"
CLASSES = "class numbers"
ANY = "any"  # every class above 0 is salient
VOC_BORDER = 255  # between objects, of no class
SMALLEST_FULL = 127  # the higher of two values is at least this if the mask is not class numbers
FEW_CLASSES = 32  # in one image
LOW_SHARE = 0.2  # least share of class numbers beside 255; edges of a mask have fewer low values
DEEP_FULL = 65280  # least highest value of a 16-bit mask
# JPEG rounds the channels of a grey image separately: differences up to this are no colour.
GREY_TOLERANCE = 8

Classes = Collection[int | str]  # class numbers, or "any"


class Reading(NamedTuple):
    """A mask or map, and how it was read where that was a guess."""

    levels: np.ndarray  # uint8 [H, W]
    guesses: tuple[str, ...] = ()
    top: int = 255  # the stored level that was scaled to 255


def load_mask(source: ImageSource, *, salient: Classes = (), scale: bool = True) -> Reading:
    """Read a mask, upright: uint8 [H, W], 0 background to 255 salient.

    Soft values are kept. 0/1, and two values of which the higher is at least 127, are scaled so
    that the higher is 255. An alpha channel is the mask unless it is opaque everywhere. With
    `salient`, values are class numbers.

    Args:
      source: grey of 1, 8 or 16 bits, RGB of equal channels, a palette, with or without alpha.
      salient: the class numbers that are salient, or "any" for all above 0.
      scale: without it a mask of two values keeps them, as other masks of its set say.

    Raises:
      UserError: not an image, colours, class numbers without `salient`, or values that are no mask.
    """
    decoded = decode(source)
    levels, guesses, top = _interpret(decoded.image, str(name_of(source)), salient)
    if not scale:
        levels = np.rint(levels * (top / 255)).astype(np.uint8)
    return Reading(levels, (*guesses, *decoded.guesses), top if scale else 255)


def load_map(source: ImageSource, *, highest: int | None = None) -> Reading:
    """Read a saliency map, upright: uint8 [H, W], not stretched.

    Args:
      source: as for `load_mask`; 16 bits are rounded to 8, floats in 0–1 scaled by 255.
      highest: the level that stands for 1, if it is not the format's highest.

    Raises:
      UserError: not an image, colours, or values that are no map.
    """
    image, _, _, _, guesses = decode(source)
    name = str(name_of(source))
    if (alpha := _used_alpha(image)) is not None:
        return Reading(alpha, (ALPHA, *guesses))
    values = grey_values(image, name)
    if highest is None:
        return Reading(to_8_bits(values, name), guesses)
    found = values.max()
    top = 255 if values.dtype == np.uint8 else 1 if values.dtype.kind == "f" else 65535
    if found > highest or highest > top >= found:
        raise UserError(
            f"{name} holds {values.dtype} values up to {found:g}: {highest} cannot be the level "
            "that stands for 1."
        )
    levels = np.rint(values.astype(np.float64) * (255 / highest)).astype(np.uint8)
    return Reading(levels, guesses)


def read_highest(source: ImageSource) -> int | None:
    """Return the highest value in a 16-bit grey file; None for any other image."""
    if not read_header(source).is_deep:
        return None
    image = decode(source).image
    is_grey = image.mode.startswith("I")
    return int(grey_values(image, str(name_of(source))).max()) if is_grey else None


def _interpret(image: Image.Image, name: str, salient: Classes) -> Reading:
    """Return the mask in a decoded image."""
    if salient:
        classes = np.asarray(image) if image.mode == "P" else grey_values(image, name)
        is_any = (classes > 0) & (classes != VOC_BORDER)
        chosen = is_any if ANY in salient else np.isin(classes, list(salient))
        return Reading(chosen * np.uint8(255), (CLASSES,))
    if (alpha := _used_alpha(image)) is not None:
        return _stretch(alpha, name, ALPHA)
    if image.mode == "P" and _grey_channel(image) is None:
        indices = np.asarray(image)
        found = np.unique(indices).tolist()
        if set(found) <= {0, 1} or set(found) <= {0, 255}:
            return Reading((indices > 0) * np.uint8(255), (INDICES,))
        raise _class_error(name, f"is a palette of the numbers {list_names(found)}")
    values = grey_values(image, name)
    highest = int(values.max())
    if values.dtype == np.uint8 or values.dtype.kind == "f" or highest >= DEEP_FULL:
        return _stretch(to_8_bits(values, name), name)
    if highest <= 255:
        return _stretch(values.astype(np.uint8), name, EIGHT_OF_SIXTEEN)
    if len(np.unique(values)) > 2:
        raise _class_error(name, f"has {highest} as its highest value in 16 bits")
    return Reading(np.rint(values * (255 / highest)).astype(np.uint8), (SCALED,))


def grey_values(image: Image.Image, name: str) -> np.ndarray:
    """Return the values of a grey image as stored: uint8, 16-bit integers or floats.

    Raises:
      UserError: colours, or values that are not finite or outside 16 bits.
    """
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise UserError(f"{name} holds values that are not finite.")
        if values.min() < 0 or values.max() > 65535:
            raise _range_error(name, values)
        return values
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))
    if (grey := _grey_channel(image)) is None:
        raise UserError(f"{name} is in colour, and masks and maps must be grey.")
    return grey


def to_8_bits(values: np.ndarray, name: str) -> np.ndarray:
    """Scale the values of `grey_values` to uint8; UserError for floats above 1."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind != "f":
        return np.rint(values / 257).astype(np.uint8)
    if values.max() > 1:
        raise _range_error(name, values)
    return np.rint(values * 255).astype(np.uint8)


def _used_alpha(image: Image.Image) -> np.ndarray | None:
    """Return the alpha channel, unless it is opaque everywhere and so says nothing.

    One that is constant is used only if the colours are constant, too.
    """
    if not image.has_transparency_data:
        return None
    pixels = np.asarray(image.convert("RGBA"))
    alpha, colours = pixels[..., 3], pixels[..., :3]
    if alpha.min() == 255 or (alpha.min() == alpha.max() and (colours != colours[0, 0]).any()):
        return None
    return alpha


def _grey_channel(image: Image.Image) -> np.ndarray | None:
    """Return the grey of an image whose channels differ by no more than JPEG makes them."""
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")), -1, 0)
    highest = np.maximum(np.maximum(red, green), blue)
    spread = (highest - np.minimum(np.minimum(red, green), blue)).max()
    # Of class numbers in one channel the others differ by as little as JPEG's do.
    return green if spread <= min(GREY_TOLERANCE, max(0, int(highest.max()) - 1)) else None


def _stretch(levels: np.ndarray, name: str, *guesses: str) -> Reading:
    """Scale 0/1 and other pairs of values to 0/255; refuse class numbers."""
    highest = int(levels.max())
    if highest == 255 and (classes := _classes_beside_255(levels)):
        raise _class_error(name, f"has 255 and {list_names(classes)}")
    if highest in (0, 255):
        return Reading(levels, guesses)
    if highest == 1:
        return Reading(levels * np.uint8(255), guesses, highest)
    if highest >= SMALLEST_FULL and _has_two_values(levels, highest):
        scaled = np.rint(levels * (255 / highest)).astype(np.uint8)
        return Reading(scaled, (*guesses, SCALED), highest)
    if highest <= SMALLEST_FULL:
        raise _class_error(name, f"has {highest} as its highest value")
    return Reading(levels, guesses)


def _has_two_values(levels: np.ndarray, highest: int) -> bool:
    """Return whether levels take two values, but for what JPEG adds to one that is far from 255."""
    if len(np.unique(levels)) <= 2:
        return True
    near = (levels <= GREY_TOLERANCE) | (levels >= highest - 2 * GREY_TOLERANCE)
    return highest < 200 and near.mean() >= 0.95


def _classes_beside_255(levels: np.ndarray) -> list[int]:
    """Return class numbers, if that is what the levels are but for 255, VOC's border."""
    if not cv2.hasNonZero(cv2.inRange(levels, 1, SMALLEST_FULL - 1)):
        return []  # at once for most masks
    counts = np.bincount(levels.ravel(), minlength=256)
    low = np.flatnonzero(counts[1:SMALLEST_FULL]) + 1
    if not counts[0] or counts[SMALLEST_FULL:255].any() or not 0 < len(low) <= FEW_CLASSES:
        return []
    return low.tolist() if counts[low].sum() >= LOW_SHARE * counts[255] else []


def _class_error(name: str, found: str) -> UserError:
    return UserError(
        f"{name} {found}: class numbers? Expected 0/1 or 0/255; config.data.salient says which "
        "classes are salient."
    )


def _range_error(name: str, values: np.ndarray) -> UserError:
    kind, wanted = ("floats", "0 to 1") if values.dtype.kind == "f" else ("values", "0 to 65535")
    return UserError(
        f"{name} holds {kind} from {values.min():g} to {values.max():g}: expected {wanted}, or "
        "save it with 8 bits."
    )

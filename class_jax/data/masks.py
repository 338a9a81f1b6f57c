"""The meaning of decoded masks and saliency maps: 8-bit levels, however people stored them.

`images.py` decodes the files. How a mask was read has a name if it is not obvious, so that the
check of a data set can report it: see `Reading`.
"""

from collections.abc import Collection
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from class_jax.errors import UserError

ALPHA = "taken from alpha"
SCALED = "scaled so that the higher of two values is 255"
INDICES = "coloured palettes, read by their two indices"
EIGHT_OF_SIXTEEN = "16-bit files that hold 8 bits"
CLASSES = "class numbers"
ANY = "any"  # every class above 0 is salient
VOC_BORDER = 255  # between objects, of no class
SMALLEST_FULL = 127  # the higher of two values is at least this if the mask is not class numbers
FEW_CLASSES = 32  # in one picture
LOW_SHARE = 0.2  # of class numbers beside 255, at least; edges of a mask have fewer low values
DEEP_FULL = 65280  # the highest value of a 16-bit mask is from here on
# JPEG rounds the channels of a grey image separately: differences up to this are no colour.
GREY_TOLERANCE = 8


Classes = Collection[int | str]  # class numbers, or "any"


class Reading(NamedTuple):
    """A mask or map, and how it was read if that was a guess."""

    levels: np.ndarray  # uint8 [H, W]
    guess: str | None = None  # ALPHA, SCALED, INDICES, EIGHT_OF_SIXTEEN or CLASSES
    top: int = 255  # the stored level that stands for 255

    def add(self, *guesses: str | None) -> "Reading":
        """Return the reading with what else was guessed."""
        return self._replace(guess="; ".join(filter(None, [self.guess, *guesses])) or None)


def mask_of(image: Image.Image, name: str, *, salient: Classes = (), scale: bool = True) -> Reading:
    """Return the mask in an upright image: uint8 [H, W], 0 background to 255 salient.

    Soft values are kept. 0/1, and two values of which the higher is at least 127, are scaled so
    that the higher is 255. An alpha channel is the mask unless it is opaque everywhere. With
    `salient`, values are class numbers.

    Args:
      image: grey of 1, 8 or 16 bits, RGB of equal channels, a palette, with or without alpha.
      name: of the file, for messages.
      salient: the class numbers that are salient, or "any" for all above 0.
      scale: scale two values; if not, levels are those of the file, as other masks of the set say.

    Raises:
      UserError: colours, class numbers without `salient`, or values that are no mask.
    """
    if salient:
        return Reading(_select_classes(_class_numbers(image, name), salient), CLASSES)
    if (alpha := _used_alpha(image)) is not None:
        return _full_range(Reading(alpha, ALPHA), name, scale=scale)
    if image.mode == "P":
        return _palette_mask(image, name, scale=scale)
    return _full_range(_grey(image, name), name, scale=scale)


def map_of(image: Image.Image, name: str, *, highest: int | None = None) -> Reading:
    """Return the saliency map in an image: uint8 [H, W], not stretched.

    Args:
      image: as for `mask_of`; 16 bits are rounded to 8, floats in 0–1 scaled by 255.
      name: of the file, for messages.
      highest: the level that stands for 1, if it is not the format's highest.

    Raises:
      UserError: colours, or values that are no map.
    """
    if (alpha := _used_alpha(image)) is not None:
        return Reading(alpha, ALPHA)
    if highest is not None:
        stored = _raw_grey(image, name)
        values = stored.astype(np.float64)
        if values.max() > highest:
            raise UserError(f"{name} holds values up to {values.max():g}, above {highest}.")
        top = 255 if stored.dtype == np.uint8 else 1 if stored.dtype.kind == "f" else 65535
        if highest > top >= values.max():
            raise UserError(
                f"{name} holds {stored.dtype} values up to {values.max():g}: {highest} cannot be "
                "the level that stands for 1."
            )
        return Reading(np.rint(values * (255 / highest)).astype(np.uint8))
    return Reading(_to_8_bits(_raw_grey(image, name), name))


def highest_value(image: Image.Image, name: str) -> int | None:
    """Return the highest value of a 16-bit grey image; None for any other image."""
    if not image.mode.startswith("I"):
        return None
    return int(_raw_grey(image, name).max())


def _used_alpha(image: Image.Image) -> np.ndarray | None:
    """Return the alpha channel if it says something: opaque everywhere, it does not.

    One that is constant is used only if the colours are constant, too.
    """
    if not image.has_transparency_data:
        return None
    pixels = np.asarray(image.convert("RGBA"))
    alpha, colours = pixels[..., 3], pixels[..., :3]
    if alpha.min() == 255 or (alpha.min() == alpha.max() and (colours != colours[0, 0]).any()):
        return None
    return alpha


def _palette_mask(image: Image.Image, name: str, *, scale: bool) -> Reading:
    """Read a palette of greys by its greys, a coloured one by its indices."""
    colours = np.asarray(image.convert("RGB"))
    if _spread(colours) <= GREY_TOLERANCE:
        return _full_range(Reading(colours[..., 1]), name, scale=scale)
    indices = np.asarray(image)
    if set(np.unique(indices)) <= {0, 1} or set(np.unique(indices)) <= {0, 255}:
        return Reading(np.where(indices > 0, np.uint8(255), np.uint8(0)), INDICES)
    raise _class_error(name, f"is a palette of the numbers {_some(indices)}")


def _full_range(reading: Reading, name: str, *, scale: bool) -> Reading:
    """Scale 0/1 and other pairs of values to 0/255 if `scale`; refuse class numbers."""
    levels, guess, _ = reading
    highest = int(levels.max())
    if highest == 255 and (classes := _classes_beside_255(levels)):
        raise _class_error(name, f"has 255 and {_some(classes)}")
    if highest in (0, 255):
        return reading
    if highest == 1:
        return Reading(levels * np.uint8(255), guess, highest) if scale else reading
    if highest >= SMALLEST_FULL and _has_two_values(levels, highest):
        scaled = np.rint(levels * (255 / highest)).astype(np.uint8)
        by_alpha = f"{ALPHA}, {SCALED}" if guess == ALPHA else SCALED
        return Reading(scaled, by_alpha, highest) if scale else reading
    if highest <= SMALLEST_FULL:
        raise _class_error(name, f"has {highest} as its highest value")
    return reading


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


def _class_numbers(image: Image.Image, name: str) -> np.ndarray:
    """Return the class of each pixel, of a palette its index."""
    return np.asarray(image) if image.mode == "P" else _raw_grey(image, name)


def _select_classes(classes: np.ndarray, salient: Classes) -> np.ndarray:
    """Return 255 for the salient classes, 0 for others; "any" leaves VOC's border out."""
    if names := [item for item in salient if isinstance(item, str) and item != ANY]:
        raise UserError(f"config.data.salient: {names[0]} is a name, and masks hold class numbers.")
    if ANY in salient:
        chosen = (classes > 0) & (classes != VOC_BORDER)
    else:
        chosen = np.isin(classes, [int(number) for number in salient])
    return np.where(chosen, np.uint8(255), np.uint8(0))


def _grey(image: Image.Image, name: str) -> Reading:
    """Return 8-bit grey; of 16 bits whose highest value is low, 8 bits or two values."""
    values = _raw_grey(image, name)
    if values.dtype == np.uint8:
        return Reading(values)
    if values.dtype.kind != "f" and (highest := int(values.max())) < DEEP_FULL:
        if highest <= 255:
            return Reading(values.astype(np.uint8), EIGHT_OF_SIXTEEN)
        if len(np.unique(values)) > 2:
            raise _class_error(name, f"has {highest} as its highest value in 16 bits")
        return Reading(np.rint(values * (255 / highest)).astype(np.uint8), SCALED)
    return Reading(_to_8_bits(values, name))


def _to_8_bits(values: np.ndarray, name: str) -> np.ndarray:
    """Scale 16-bit integers, or floats in 0-1, to 8 bits."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind != "f":
        return np.rint(values / 257).astype(np.uint8)
    if values.max() > 1:
        raise _range_error(name, values)
    return np.rint(values * 255).astype(np.uint8)


def _raw_grey(image: Image.Image, name: str) -> np.ndarray:
    """Return the values of a grey image as stored: uint8, 16-bit integers or floats."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise UserError(f"{name} holds values that are not finite.")
        if values.min() < 0 or values.max() > 65535:
            raise _range_error(name, values)
        return values
    if image.mode == "L":
        return np.asarray(image)
    if image.mode in ("1", "LA"):
        return np.asarray(image.convert("L"))
    colours = np.asarray(image.convert("RGB"))
    # Of class numbers in one channel the others differ by as little as JPEG's do.
    tolerance = min(GREY_TOLERANCE, max(0, int(colours.max()) - 1))
    if (spread := _spread(colours)) > tolerance:
        raise UserError(
            f"{name} is in colour, and masks and maps must be grey: its channels differ by up to "
            f"{spread}."
        )
    return colours[..., 1]


def _range_error(name: str, values: np.ndarray) -> UserError:
    kind, wanted = ("floats", "0 to 1") if values.dtype.kind == "f" else ("values", "0 to 65535")
    return UserError(
        f"{name} holds {kind} from {values.min():g} to {values.max():g}: expected {wanted}, or "
        "save it with 8 bits."
    )


def _spread(colours: np.ndarray) -> int:
    """Return by how much the channels of a pixel differ at most."""
    red, green, blue = np.moveaxis(colours, -1, 0)  # a reduction over three would take longer
    highest = np.maximum(np.maximum(red, green), blue)
    return int((highest - np.minimum(np.minimum(red, green), blue)).max())


def _some(values: np.ndarray | list[int]) -> str:
    found = np.unique(values)
    return ", ".join(map(str, found[:5])) + (" …" if len(found) > 5 else "")

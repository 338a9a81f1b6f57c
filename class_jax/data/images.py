"""Image files: decoded as upright 8-bit RGB, saliency maps written as 8-bit grey."""

import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageCms

from class_jax.data.decode import (
    MAX_PIXELS,
    TURNS,
    ImageSource,
    decode,
    name_of,
    scale_to_8_bits,
)
from class_jax.data.masks import grey_values, to_8_bits
from class_jax.errors import UserError
from class_jax.files import atomic_write

MAKER_NOTE = 0x927C  # a camera's own data, which may hold a small copy of the photograph
SIZES = (0xA002, 0xA003)  # the size that EXIF states
# Tags of EXIF that describe how a TIFF file is stored, and not the photograph.
STORAGE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 284, 292, 293, 297, 317),
    *(318, 319, 320, 322, 323, 324, 325, 330, 332, 338, 339, 347, 512, 513, 514, 529, 530, 531),
    *(532, 700, 33723, 34377, 34675),
}
LONGEST = {"WEBP": 16_383, "JPEG": 65_500, "GIF": 65_535, "TGA": 65_535, "AVIF": 65_536}
LARGE = 64_000_000  # pixels; larger images are shrunk before they are converted, to save memory
NEARLY_WHITE = 240  # mean level of the visible pixels of a transparent image
COLOUR_LEVEL = 4  # of zlib: for photographs a third of level 6's time, and 1 to 4 % more bytes
FLOATS = "floats in 0-1, read as 8 bits"
PLAIN_CMYK = "CMYK without a colour profile: converted plainly"
ON_WHITE = "transparent: laid on white, or on black if nearly white"


class Picture(NamedTuple):
    """The pixels of an image, its own size, and how it was read."""

    pixels: np.ndarray  # uint8 [h, w, 3], RGB; smaller than the image if it was shrunk on reading
    height: int
    width: int
    guesses: tuple[str, ...] = ()


def load_image(
    source: ImageSource, *, side: int | None = None, most: int = MAX_PIXELS, upright: bool = True
) -> Picture:
    """Read an image as RGB, with how it was read, and at a reduced scale if that is enough.

    Grey, palette, CMYK, 1-bit and 16-bit images are converted; transparent parts lie on white, or
    on black if what is visible is nearly white.

    Args:
      source: path, bytes, open binary file or PIL image.
      side: of the square that the image will be resized to; a large image may be decoded smaller,
        but not below twice this side. None: its own size.
      most: the largest image that is accepted, in pixels.
      upright: turn it as its EXIF data say.

    Raises:
      UserError: no such file, not an image, or a damaged or too large one.
    """
    image, height, width, _, guesses = decode(source, most=most, side=side, upright=upright)
    if side is not None and image.width * image.height > LARGE:
        image = _reduce(image, 2 * side)
    pixels, guess = _to_rgb(image, str(name_of(source)))
    return Picture(pixels, height, width, (*guesses, *filter(None, [guess])))


class Original(NamedTuple):
    """An image at its own size, and the metadata that its copies keep."""

    pixels: np.ndarray  # uint8 [H, W, 3], RGB, or [H, W, 4], RGBA, if it is transparent in parts
    metadata: dict[str, Any]  # colour profile, resolution and EXIF, as Pillow's `save` takes them


def load_original(source: ImageSource) -> Original:
    """Read an image upright, at its own size, with its transparency.

    Raises:
      UserError: as `load_image`.
    """
    image, _, _, orientation, _ = decode(source, upright=False)
    kept = {name: image.info[name] for name in ("icc_profile", "dpi") if image.info.get(name)}
    if exif := _upright_exif(image):
        kept["exif"] = exif
    if image.mode not in ("RGB", "RGBA", "P"):
        kept.pop("icc_profile", None)  # it describes colours of another kind
    if orientation in TURNS:
        image = image.transpose(TURNS[orientation])
    if image.has_transparency_data and not image.mode.startswith(("I", "F")):
        return Original(np.asarray(image.convert("RGBA")), kept)
    return Original(_to_rgb(image, str(name_of(source)))[0], kept)


def _upright_exif(image: Image.Image) -> bytes | None:
    """Return the EXIF data for outputs of an image: upright, without previews."""
    try:
        exif = image.getexif()
        for tag in STORAGE & set(exif):
            del exif[tag]
        details = exif.get_ifd(ExifTags.IFD.Exif)
        for tag in (MAKER_NOTE, *SIZES):
            details.pop(tag, None)
        if ExifTags.Base.Orientation in exif:
            exif[ExifTags.Base.Orientation] = 1
        return exif.tobytes() if len(exif) else None
    except Exception:  # Pillow's parsers raise whatever damage leads to
        return None


def _to_rgb(image: Image.Image, name: str) -> tuple[np.ndarray, str | None]:
    """Return RGB [H, W, 3], and the guess that led to it if there was one."""
    if image.mode.startswith(("I", "F")):
        values, guess = grey_values(image, name), FLOATS
        if values.dtype.kind == "f":
            grey = to_8_bits(values, name)
        else:
            grey, guess = scale_to_8_bits(values)
        return np.repeat(grey[..., None], 3, axis=-1), guess
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        if rgba[..., 3].min() < 255:
            return lay_on_white(rgba), ON_WHITE
        return np.ascontiguousarray(rgba[..., :3]), None
    if image.mode == "RGB":
        return np.asarray(image), None  # `convert` would copy it
    profile = image.info.get("icc_profile")
    if image.mode in ("CMYK", "L") and profile:
        converted = _convert(image, profile, None, ImageCms.Intent.PERCEPTUAL)
        if converted is not None:
            return np.asarray(converted), None
    return np.asarray(image.convert("RGB")), PLAIN_CMYK if image.mode == "CMYK" else None


def convert_colours(pixels: np.ndarray, source: bytes | None, target: bytes | None) -> np.ndarray:
    """Convert uint8 RGB [H, W, 3] from one ICC profile to another; None stands for sRGB.

    Colours stay as they are where a profile cannot be used.
    """
    if source == target:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    converted = _convert(image, source, target, ImageCms.Intent.RELATIVE_COLORIMETRIC)
    return pixels if converted is None else np.asarray(converted)


def _convert(
    image: Image.Image, source: bytes | None, target: bytes | None, intent: ImageCms.Intent
) -> Image.Image | None:
    """Convert to RGB by LittleCMS; None if a profile is damaged or of another kind of colours."""
    try:
        before, after = (
            ImageCms.ImageCmsProfile(io.BytesIO(data)) if data else ImageCms.createProfile("sRGB")
            for data in (source, target)
        )
        return ImageCms.profileToProfile(image, before, after, intent, outputMode="RGB")
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None


def lay_on_white(rgba: np.ndarray) -> np.ndarray:
    """Return uint8 RGBA [H, W, 4] over white, or over black if what is visible is nearly white."""
    alpha = rgba[..., 3:] / np.float32(255)
    visible = (alpha * rgba[..., :3]).sum() / max(3 * alpha.sum(), 1e-6)
    paper = 0 if visible > NEARLY_WHITE else 255
    return np.rint(alpha * rgba[..., :3] + (1 - alpha) * paper).astype(np.uint8)


def _reduce(image: Image.Image, side: int) -> Image.Image:
    """Average blocks of pixels of a very large image, so that both sides stay above `side`."""
    factor = min(image.size) // side
    if factor < 2 or image.mode.startswith(("I", "F")):
        return image
    if image.mode in ("1", "P", "PA"):
        image = image.convert("L" if image.mode == "1" else "RGBA")
    return image.reduce(factor)


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


def write_picture(
    path: Path, pixels: np.ndarray, *, like: Original | None = None, **options: Any
) -> None:
    """Write an image in the format of the path's suffix, atomically.

    Args:
      path: the file.
      pixels: uint8 [H, W], [H, W, 3] or [H, W, 4].
      like: an image whose colour profile, resolution and EXIF data it keeps.
      options: of Pillow's `save`.

    Raises:
      UserError: the file cannot be written, or its format has no room for the image.
    """
    kind = Image.registered_extensions()[path.suffix.lower()]
    with atomic_write(path) as partial:
        partial.write_bytes(encode(pixels, kind, like=like, name=path, **options))


def encode(
    pixels: np.ndarray,
    kind: str = "PNG",
    *,
    like: Original | None = None,
    name: object = "the image",
    **options: Any,
) -> bytes:
    """Return the bytes of an image file, as `write_picture` writes it; `name` is for messages."""
    height, width = pixels.shape[:2]
    if max(height, width) > LONGEST.get(kind, max(height, width)):
        raise UserError(
            f"{name} would have {width}x{height} pixels, and sides of {kind} files have at most "
            f"{LONGEST[kind]}: write a PNG file."
        )
    kept = (like.metadata if like else {}) | options
    if pixels.ndim == 3:  # maps are small, and quickly compressed, at the usual level
        kept["compress_level"] = COLOUR_LEVEL
    buffer = io.BytesIO()
    # A format ignores the options that it does not know.
    Image.fromarray(pixels).save(buffer, format=kind, quality=95, **kept)
    return buffer.getvalue()

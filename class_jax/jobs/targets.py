"""Names of output files: formats that can hold an output, and names that are unique."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image

from class_jax.data.folders import NOT_IMAGES, readable_suffixes
from class_jax.errors import UserError
from class_jax.jobs.marks import read_mark
from class_jax.jobs.video.films import is_film
from class_jax.text import list_names

# Formats that keep 8-bit grey of any size; icons, for example, do not.
MAP_FORMATS = {
    *("PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF", "PPM", "GIF", "JPEG2000", "TGA", "HEIF"),
}
ALPHA_FORMATS = {"PNG", "WEBP", "TIFF", "AVIF", "TGA"}


def check_output(folder: Path) -> None:
    """Raise UserError if the folder is a file, in a file, or not writable."""
    existing = folder
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise UserError(f"{existing} is a file, and a folder is needed for the output.")
    if not os.access(existing, os.W_OK):
        raise UserError(f"{folder} cannot be written to: choose another folder for the output.")


def check_target(path: Path, has_alpha: bool) -> bool:
    """Return True; UserError if a transparent image is to go into a format without alpha."""
    kind = Image.registered_extensions().get(path.suffix.lower())
    if has_alpha and kind not in ALPHA_FORMATS and path.suffix.lower() not in (".webm", ".mov"):
        other = ".webm or .mov" if is_film(path) else ".png or .webp"
        raise UserError(
            f"{path}: {path.suffix} files cannot be transparent; name a {other}, or give a "
            "background."
        )
    return True


def is_image_name(path: Path) -> bool:
    """Return whether a path ends as an image does; UserError if that format cannot be written."""
    suffix = path.suffix.lower()
    kind = Image.registered_extensions().get(suffix)
    if kind in MAP_FORMATS and kind in Image.SAVE and suffix in readable_suffixes():
        return True
    if suffix in readable_suffixes() | NOT_IMAGES:
        raise UserError(f"{path}: maps cannot be written as {suffix}; name a .png, for example.")
    return False


def plan_targets(
    images: dict[Path, Path], output: Path, suffixes: dict[Path, str]
) -> dict[Path, Path]:
    """Return target → image, each target once."""
    # A map of an earlier run is no image, if the output lies in the input.
    names = {
        image: name
        for image, name in images.items()
        if not (image.is_relative_to(output) and read_mark(image) is not None)
    }
    levels = dict.fromkeys(names, 0)  # of names: a map's, the whole one, then both with folders

    def target_of(image: Path, name: Path) -> Path:
        suffix = suffixes.get(image, ".png")
        return Path(f"{name}{suffix}") if levels[image] % 2 else name.with_suffix(suffix)

    while clashes := [same for same in _group(names, target_of) if len(same) > 1]:
        for same in clashes:
            level = min(levels[image] for image in same)
            if level > 2:
                raise UserError(f"{list_names(same)} give one output: name them one by one.")
            told = _tell_apart({image: names[image] for image in same}) if level == 1 else names
            for image in same:
                if levels[image] == level:
                    levels[image], names[image] = level + 1, told[image]
    return {output / target_of(image, name): image for image, name in names.items()}


def _group(names: Mapping[Path, Path], name_of: Callable[[Path, Path], Path]) -> list[list[Path]]:
    """Return the images that have the same name by `name_of`, in their order."""
    groups: dict[Path, list[Path]] = {}
    for image, name in names.items():
        groups.setdefault(name_of(image, name), []).append(image)
    return list(groups.values())


def _tell_apart(names: Mapping[Path, Path]) -> dict[Path, Path]:
    """Return names with as many of the images' folders as tell them apart."""
    parts = max(len(name.parts) for name in names.values())
    while len({image.parts[-parts:] for image in names}) < len(names):
        parts += 1
    return {image: Path(*image.parts[-parts:]) for image in names}


def check_images_survive(targets: dict[Path, Path]) -> None:
    """Raise UserError if an output would replace one of the images, by any link."""
    images = {os.path.realpath(image) for image in targets.values()}
    for target in targets:
        if os.path.realpath(target) in images:
            raise UserError(f"an output would replace the image {target}: choose another one.")

"""Names of output files: formats that can hold an output, and names that are unique."""

import os
from pathlib import Path

from PIL import Image

from class_jax.data.folders import NOT_IMAGES, is_video, readable_suffixes
from class_jax.errors import UserError
from class_jax.jobs.marks import read_mark

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
        other = ".webm or .mov" if is_video(path) else ".png or .webp"
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
    levels = {
        image: 0
        for image in images
        if not (image.is_relative_to(output) and read_mark(image) is not None)
    }

    def target_of(image: Path) -> Path:
        """Return the name without its suffix, whole, then both with more and more folders."""
        folders, is_whole = divmod(levels[image], 2)
        parts = image.parts[1:]
        name = Path(*parts[-len(images[image].parts) - folders :])
        suffix = suffixes.get(image, ".png")
        is_whole = is_whole or folders > len(parts)
        return Path(f"{name}{suffix}") if is_whole else name.with_suffix(suffix)

    while True:
        groups: dict[Path, list[Path]] = {}
        for image in levels:
            groups.setdefault(target_of(image), []).append(image)
        if len(groups) == len(levels):
            return {output / target: image for target, (image,) in groups.items()}
        for same in (same for same in groups.values() if len(same) > 1):
            lowest = min(levels[image] for image in same)
            levels.update({image: lowest + 1 for image in same if levels[image] == lowest})


def check_images_survive(targets: dict[Path, Path]) -> None:
    """Raise UserError if an output would replace one of the images, by any link."""
    images = {os.path.realpath(image) for image in targets.values()}
    for target in targets:
        if os.path.realpath(target) in images:
            raise UserError(f"an output would replace the image {target}: choose another one.")

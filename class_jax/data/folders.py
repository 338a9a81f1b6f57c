"""Folders as people have them: layouts of images and masks, and the image files below a folder."""

import os
from pathlib import Path

from class_jax.errors import UserError

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"))
JUNK_FOLDER = "__macosx"

# (images, masks) as data sets unpack and as people lay them out; compared without case.
LAYOUTS = (
    ("duts-tr-image", "duts-tr-mask"),
    ("duts-te-image", "duts-te-mask"),
    ("images", "ground_truth_mask"),
    ("images", "masks"),
    ("images", "gts"),
    ("image", "mask"),
    ("imgs", "gts"),
    ("imgs", "gt"),
    ("im", "gt"),
    ("dut-omron-image", "pixelwisegt-new-png"),
    ("datasets/imgs/pascal", "datasets/masks/pascal"),
)


def find_layout(root: Path, *, leaf: str) -> tuple[Path, Path]:
    """The folders of images and of masks in `root`, or in its only sub-folder that has such.

    Args:
      root: what the user named.
      leaf: the flag or configuration leaf that named it, for messages.

    Raises:
      UserError: no such folder, no known layout in it, or several.
    """
    if not root.exists():
        raise UserError(f"{leaf} = {root}: there is no such folder.")
    if not root.is_dir():
        raise UserError(f"{leaf} = {root} is a file, and a folder of images and masks is needed.")
    found = _layouts_in(root)
    if not found:
        found = [pair for folder in sorted(_folders(root)) for pair in _layouts_in(folder)]
    if len(found) > 1:
        listed = "; ".join(f"{images} with {masks}" for images, masks in found)
        raise UserError(f"{leaf} = {root} holds several sets: {listed}. Name one of their folders.")
    if not found:
        inside = ", ".join(sorted(folder.name for folder in _folders(root))) or "none"
        accepted = ", ".join(f"{images} + {masks}" for images, masks in LAYOUTS)
        raise UserError(
            f"{leaf} = {root} holds no folder of images beside a folder of masks "
            f"(folders found: {inside}); accepted are {accepted}."
        )
    return found[0]


def _layouts_in(root: Path) -> list[tuple[Path, Path]]:
    pairs = ((_below(root, images), _below(root, masks)) for images, masks in LAYOUTS)
    return [(images, masks) for images, masks in pairs if images and masks]


def _below(root: Path, wanted: str) -> Path | None:
    """The folder `wanted` below `root`, whatever the case of its letters."""
    folder = root
    for part in wanted.split("/"):
        matches = sorted(each for each in _folders(folder) if each.name.lower() == part)
        if not matches:
            return None
        folder = matches[0]
    return folder


def _folders(root: Path) -> list[Path]:
    return [each for each in root.iterdir() if each.is_dir()]


def images_by_stem(
    folder: Path, problems: list[str], *, ignored: frozenset[str] = frozenset()
) -> dict[str, Path]:
    """The image files below a folder by their path without suffix; doubles become problems."""
    found: dict[str, Path] = {}
    for path in find_images(folder, problems):
        if path.name in ignored:
            continue
        inside = path.relative_to(folder)
        name = inside.with_suffix("").as_posix()
        if name in found:
            problems.append(f"{found[name]} and {path} have the same name {name}")
        else:
            found[name] = path
    return found


def find_images(folder: Path, problems: list[str]) -> list[Path]:
    """The files below a folder that are images by their names, sorted; links to nowhere too.

    Folders that cannot be listed become `problems`.
    """
    found = []

    def note(error: OSError) -> None:
        problems.append(f"the folder {error.filename} cannot be read ({error.strerror})")

    for parent, _, names in os.walk(folder, onerror=note):
        for path in (Path(parent, name) for name in names):
            wanted = path.suffix.lower() in IMAGE_SUFFIXES and not is_junk(path.relative_to(folder))
            # Not a pipe or a socket of such a name: opening one would wait for ever.
            if wanted and (path.is_file() or not path.exists()):
                found.append(path)
    return sorted(found)


def file_fingerprint(path: Path) -> str:
    """Changes when a file does: its path, time and size."""
    try:
        file = path.stat()
    except OSError:
        return f"{path} absent"
    return f"{path} {file.st_mtime_ns} {file.st_size}"


def is_junk(path: Path) -> bool:
    """Hidden files, "._*" and __MACOSX, which file managers leave in archives."""
    return any(part.startswith(".") or part.lower() == JUNK_FOLDER for part in path.parts)

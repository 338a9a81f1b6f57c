"""The masks of sets: the folders that hold them, their files, and the sets' names."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from class_jax.data.folders import describe_left_out, find_images, index_by_stem
from class_jax.data.layouts import find_layouts, kind_of, layouts_in, split_parts
from class_jax.data.matching import match_names
from class_jax.errors import UserError
from class_jax.files import absolute
from class_jax.text import list_lines

LAYOUT_DEPTH = 3  # folders between the root of a layout and its masks, at most


class Masks(NamedTuple):
    """The masks of a set."""

    set_name: str
    folder: Path
    files: dict[str, Path]  # by path below the folder, without suffix
    images: dict[str, Path]  # the images that belong to them, by the same names
    notes: list[str]  # on files that are left out


def find_masks(folders: Sequence[Path]) -> list[Masks]:
    """Return the masks of sets, each a folder of masks, or of images beside masks.

    Raises:
      UserError: no such folder, no masks in it, or one that is given twice.
    """
    check_folders(folders, "masks")
    places = [_find_mask_folder(folder) for folder in folders]
    found = []
    for folder, name in zip(places, _name_sets(places), strict=True):
        files, left_out = list_by_stem(folder, "masks")
        images = _find_images_beside(folder.resolve())
        beside = {mask: images[image] for image, mask in match_names(images, files).items()}
        found.append(Masks(name, folder, files, beside, [f"{name}: {line}" for line in left_out]))
    return found


def shorten_paths(folders: list[Path]) -> list[str]:
    """Return the shortest ending of each path that no other path has.

    Raises:
      UserError: two paths are equal, so that nothing tells them apart.
    """
    if len(set(folders)) < len(folders):
        raise UserError(f"{max(folders, key=folders.count)} is given twice.")
    names = []
    for folder in folders:
        parts = 1
        while sum(other.parts[-parts:] == folder.parts[-parts:] for other in folders) > 1:
            parts += 1
        names.append("/".join(folder.parts[-parts:]))
    return names


def list_by_stem(folder: Path, content: str) -> tuple[dict[str, Path], list[str]]:
    """Return the images below a folder by their path without suffix, and what is left out."""
    found = find_images(folder)
    files, doubled = index_by_stem(found.images, folder)
    if problems := [*found.problems, *doubled.values()]:
        raise UserError(f"{folder} cannot be used:{list_lines(problems)}")
    left_out = describe_left_out(found.left_out)
    if not files:
        raise UserError(f"{folder} holds no {content}.{list_lines(left_out)}")
    return files, left_out


def check_folders(folders: Sequence[Path], content: str) -> None:
    """Raise UserError if a path is not a folder."""
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder of {content}.")


def _find_mask_folder(folder: Path) -> Path:
    """Return the folder itself, or that of the masks in it if images lie beside them."""
    if any(path.parent == folder for path in find_images(folder).images):
        return folder
    layouts = find_layouts(folder)
    return layouts[0].masks if len(layouts) == 1 else folder  # its masks lie in sub-folders


def _find_images_beside(masks: Path) -> dict[str, Path]:
    """Return the images that lie beside a folder of masks in a usual layout."""
    for root in masks.parents[:LAYOUT_DEPTH]:
        # Only the sheet of examples needs images: their errors are ignored here.
        with contextlib.suppress(OSError):
            # Of what else lies above the masks, nothing is looked at.
            pairs = [pair for layout in layouts_in(root) for pair in (layout, *split_parts(layout))]
            folders = {pair.images for pair in pairs if pair.masks == masks}
            if len(folders) == 1:
                (folder,) = folders
                return index_by_stem(find_images(folder).images, folder)[0]
    return {}


def _name_sets(masks: Sequence[Path]) -> list[str]:
    """Name each set by its folder, or by the folder above if many sets call theirs so."""
    named = []
    for folder in map(absolute, masks):
        kind, rest = kind_of(folder.name)
        says_no_more = all(word in folder.parent.name.lower() for word in rest)
        if folder.name.lower() == "pascal":  # datasets/masks/pascal, in the archive of many sets
            named.append(folder.with_name("PASCAL-S"))
        elif kind == "masks" and says_no_more:
            named.append(folder.parent)
        else:
            named.append(folder)
    return shorten_paths(named)

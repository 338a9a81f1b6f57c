"""Pair the maps of methods with masks, by stem and without the suffixes that publishers append."""

import functools
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from class_jax.data.folders import LAYOUTS, find_images, find_layout, images_by_stem
from class_jax.data.images import read_image, read_mask
from class_jax.errors import UserError
from class_jax.evaluation.scoring import MapSet, Task
from class_jax.files import absolute
from class_jax.text import list_lines, list_names

SEPARATORS = "_-."
SUFFIXES = ("_sal_fuse", "_sal", "_saliency", "_fuse", "_pred", "_map")
MASK_FOLDERS = {masks.rpartition("/")[2] for _, masks in LAYOUTS}
LAYOUT_DEPTH = 3  # folders between the root of a layout and its masks, at most


class Masks(NamedTuple):
    """The masks of a set."""

    set_name: str
    folder: Path
    files: dict[str, Path]  # by path below the folder, without suffix
    images: dict[str, Path]  # the images beside them, if any, likewise


class MethodMaps(NamedTuple):
    """The maps of a method for the masks of a set."""

    method: str
    maps: dict[str, Path]  # by the name of their mask, in the order of the masks
    missing: list[str]  # masks without a map
    surplus: list[Path]  # maps without a mask


def find_masks(folder: Path) -> Masks:
    """Return the masks in a folder, or in the folder of masks of a layout in it.

    Raises:
      UserError: no such folder, or no masks in it.
    """
    _check_folder(folder, "masks")
    folder = _find_mask_folder(folder)
    files = _list_by_stem(folder)
    if not files:
        raise UserError(f"{folder} holds no masks.")
    return Masks(_name_set(folder), folder, files, _find_images_beside(folder.resolve()))


def find_maps(folders: Sequence[Path], masks: Masks) -> list[MethodMaps]:
    """Return the maps of each method; a method is named by its folder.

    Raises:
      UserError: no such folder, one that is given twice, or one without a map for any mask.
    """
    for folder in folders:
        _check_folder(folder, "maps")
    resolved = [folder.resolve() for folder in folders]
    for folder in resolved:
        if resolved.count(folder) > 1:
            raise UserError(f"{folder} is given twice.")
    names = _shorten_paths([absolute(folder) for folder in folders])
    return [_pair_maps(folder, name, masks) for folder, name in zip(folders, names, strict=True)]


def build_map_set(maps: MethodMaps, masks: Masks) -> MapSet:
    """Return the maps of a method with their masks and images, to be scored."""
    tasks = [
        Task(
            name,
            path,
            functools.partial(read_mask, masks.files[name]),
            functools.partial(read_image, masks.images[name]) if name in masks.images else None,
        )
        for name, path in maps.maps.items()
    ]
    return MapSet(masks.set_name, maps.method, tasks)


def _pair_maps(folder: Path, method: str, masks: Masks) -> MethodMaps:
    """Pair by equal stems first, then by stems without their suffix."""
    found = _list_by_stem(folder)
    if not found:
        raise UserError(f"{folder} holds no maps.")
    maps = {name: found.pop(name) for name in masks.files if name in found}
    for suffix in _list_suffixes(found):
        stripped = {stem.removesuffix(suffix): stem for stem in found if stem.endswith(suffix)}
        for name in (masks.files.keys() - maps.keys()) & stripped.keys():
            maps[name] = found.pop(stripped[name])
    if not maps:
        raise UserError(
            f"{folder}: none of the maps ({list_names(found)}) has the name of a mask "
            f"({list_names(masks.files)}): maps and masks are paired by their names."
        )
    return MethodMaps(
        method,
        {name: maps[name] for name in masks.files if name in maps},
        [name for name in masks.files if name not in maps],
        list(found.values()),
    )


def _list_suffixes(stems: Collection[str]) -> list[str]:
    """Return the suffixes to try: the known ones, and those that all stems share.

    The shortest comes first, so that as much as possible of a name is kept.
    """
    first = next(iter(stems), "").rpartition("/")[2]
    ends = (first[i:] for i, letter in enumerate(first) if i and letter in SEPARATORS)
    # A single name does not tell which of its ends is a suffix.
    shared = [end for end in ends if len(stems) > 1 and all(s.endswith(end) for s in stems)]
    return sorted({*shared, *SUFFIXES}, key=len)


def _list_by_stem(folder: Path) -> dict[str, Path]:
    """Return the images below a folder by their path without suffix, sorted."""
    problems: list[str] = []
    found = images_by_stem(folder, problems)
    if problems:
        raise UserError(f"{folder} cannot be used:{list_lines(problems)}")
    return found


def _find_mask_folder(folder: Path) -> Path:
    """Return the folder itself, or that of the masks in it if images lie beside them."""
    if any(path.parent == folder for path in find_images(folder, [])):
        return folder
    try:
        return find_layout(folder, leaf="masks")[1]
    except UserError:
        return folder  # its masks, if any, lie in sub-folders


def _find_images_beside(masks: Path) -> dict[str, Path]:
    """Return the images that lie beside a folder of masks in a known layout."""
    for root in masks.parents[:LAYOUT_DEPTH]:
        try:
            images, beside = find_layout(root, leaf="masks")
            if beside == masks:
                return _list_by_stem(images)
        except UserError:
            continue
    return {}


def _check_folder(folder: Path, content: str) -> None:
    """Raise UserError if the path is not a folder."""
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {found}, and a folder of {content} is needed.")


def _name_set(masks: Path) -> str:
    """Return the folder's name, or its parent's if many sets call a folder so."""
    masks = absolute(masks)
    if masks.name.lower() == "pascal":  # datasets/masks/pascal, in the archive of many sets
        return "PASCAL-S"
    return masks.parent.name if masks.name.lower() in MASK_FOLDERS else masks.name


def _shorten_paths(folders: Sequence[Path]) -> list[str]:
    """Return the last parts of each path, as few as tell it from the others."""
    names = []
    for folder in folders:
        parts = 1
        while sum(other.parts[-parts:] == folder.parts[-parts:] for other in folders) > 1:
            parts += 1
        names.append("/".join(folder.parts[-parts:]))
    return names

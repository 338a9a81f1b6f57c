"""Which map of a method belongs to which mask: by stem, without what publishers append to it."""

import functools
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from class_jax.data.folders import (
    LAYOUTS,
    file_fingerprint,
    find_images,
    find_layout,
    images_by_stem,
)
from class_jax.data.images import read_mask
from class_jax.errors import UserError
from class_jax.evaluation.scoring import Task
from class_jax.text import list_names

SEPARATORS = "_-."
SUFFIXES = ("_sal_fuse", "_sal", "_saliency", "_fuse", "_pred", "_map")
MASK_FOLDERS = {masks.rpartition("/")[2] for _, masks in LAYOUTS}


class Masks(NamedTuple):
    """The masks of a set."""

    set_name: str
    folder: Path
    files: dict[str, Path]  # by stem, with its sub-folder if any
    images: dict[str, Path]  # the images that lie beside them, if any


class MethodMaps(NamedTuple):
    """The maps of a method for the masks of a set."""

    method: str
    maps: dict[str, Path]  # by their masks' names, in the masks' order
    missing: list[str]  # masks without a map
    surplus: list[Path]  # maps without a mask


def find_masks(folder: Path) -> Masks:
    """The masks in a folder, or in the folder of masks of a layout that it holds.

    Raises:
      UserError: no such folder, or no masks in it.
    """
    _check_folder(folder, "--masks")
    folder = _folder_of_masks(folder)
    files = _by_stem(folder, "--masks")
    if not files:
        raise UserError(f"--masks={folder} holds no masks.")
    return Masks(_set_name(folder), folder, files, _images_beside(folder.resolve()))


def find_maps(folders: Sequence[Path], masks: Masks) -> list[MethodMaps]:
    """The maps of each method, by folder.

    Raises:
      UserError: no such folder, one that is named twice, or none of its maps belongs to a mask.
    """
    for folder in folders:
        _check_folder(folder, "--predictions")
    resolved = [folder.resolve() for folder in folders]
    for folder in resolved:
        if resolved.count(folder) > 1:
            raise UserError(f"--predictions={folder} is given twice.")
    names = _shortest_names([_absolute(folder) for folder in folders])
    return [_paired(folder, name, masks) for folder, name in zip(folders, names, strict=True)]


def score_tasks(maps: MethodMaps, masks: Masks) -> list[Task]:
    """What there is to score, in the order of the masks."""
    return [
        Task(
            name,
            path,
            functools.partial(read_mask, masks.files[name]),
            f"{file_fingerprint(path)} {file_fingerprint(masks.files[name])}",
        )
        for name, path in maps.maps.items()
    ]


def _paired(folder: Path, method: str, masks: Masks) -> MethodMaps:
    """Pair by equal stems first, then by stems without their suffix."""
    found = _by_stem(folder, "--predictions")
    if not found:
        raise UserError(f"--predictions={folder} holds no maps.")
    maps = {name: found.pop(name) for name in masks.files if name in found}
    for suffix in _suffixes(found):
        stripped = {stem.removesuffix(suffix): stem for stem in found if stem.endswith(suffix)}
        for name in (masks.files.keys() - maps.keys()) & stripped.keys():
            maps[name] = found.pop(stripped[name])
    if not maps:
        raise UserError(
            f"--predictions={folder}: none of the maps ({list_names(found)}) has the name of a "
            f"mask ({list_names(masks.files)}): maps and masks are paired by their names."
        )
    return MethodMaps(
        method,
        {name: maps[name] for name in masks.files if name in maps},
        [name for name in masks.files if name not in maps],
        list(found.values()),
    )


def _suffixes(stems: Collection[str]) -> list[str]:
    """What may be appended to masks' names: known suffixes, and what all of the stems end in.

    The shortest first: what is left of a name should be as much of it as possible.
    """
    first = next(iter(stems), "").rpartition("/")[2]
    ends = (first[i:] for i, letter in enumerate(first) if i and letter in SEPARATORS)
    # The end of a single name says nothing about how names end here.
    shared = [end for end in ends if len(stems) > 1 and all(s.endswith(end) for s in stems)]
    return sorted({*shared, *SUFFIXES}, key=len)


def _by_stem(folder: Path, flag: str) -> dict[str, Path]:
    """The pictures below a folder by their path without suffix, sorted."""
    problems: list[str] = []
    found = images_by_stem(folder, problems)
    if problems:
        raise UserError(f"{flag}={folder}: {'; '.join(problems)}.")
    return found


def _folder_of_masks(folder: Path) -> Path:
    """The folder itself, or that of the masks in it where images lie beside them."""
    if any(path.parent == folder for path in find_images(folder, [])):
        return folder
    try:
        return find_layout(folder, leaf="--masks")[1]
    except UserError:
        return folder  # its masks, if any, lie in sub-folders


def _images_beside(masks: Path) -> dict[str, Path]:
    """The images that belong to a folder of masks, if they lie beside it in a known layout."""
    for root in masks.parents[:3]:  # some layouts are so deep
        try:
            images, beside = find_layout(root, leaf="--masks")
            if beside == masks:
                return _by_stem(images, "--masks")
        except UserError:
            continue
    return {}


def _check_folder(folder: Path, flag: str) -> None:
    if not folder.is_dir():
        found = "is a file, and a folder is needed" if folder.exists() else "is no folder"
        raise UserError(f"{flag}={folder} {found}.")


def _absolute(folder: Path) -> Path:
    """Without following links: a link's own name is what the user calls it."""
    return Path(os.path.abspath(folder))  # noqa: PTH100 - `resolve` follows links


def _set_name(masks: Path) -> str:
    """The folder's name, or where it is called like any folder of masks, what it lies in."""
    masks = _absolute(masks)
    if masks.name.lower() == "pascal":  # datasets/masks/pascal, in the archive of many sets
        return "PASCAL-S"
    return masks.parent.name if masks.name.lower() in MASK_FOLDERS else masks.name


def _shortest_names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many as tell it from the others."""
    names = []
    for folder in folders:
        parts = 1
        while sum(each.parts[-parts:] == folder.parts[-parts:] for each in folders) > 1:
            parts += 1
        names.append("/".join(folder.parts[-parts:]))
    return names

"""Pair the maps of methods with the masks of sets, by name."""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from class_jax.data.folders import find_images
from class_jax.data.images import read_highest, read_image
from class_jax.data.masks import Classes
from class_jax.data.matching import match_names
from class_jax.errors import UserError
from class_jax.evaluation.measuring import Task
from class_jax.evaluation.published import keep_letters
from class_jax.evaluation.scoring import MapSet
from class_jax.evaluation.sets import Masks, check_folders, list_by_stem, read_mask, shorten_paths
from class_jax.files import absolute
from class_jax.text import count, list_names


class MethodMaps(NamedTuple):
    """The maps of a method for the masks of a set."""

    method: str
    masks: Masks
    maps: dict[str, Path]  # by the name of their mask, in the order of the masks
    missing: list[str]  # masks without a map
    notes: tuple[str, ...] = ()  # on what is left out, and on names that differ


def find_maps(folders: Sequence[Path], sets: Sequence[Masks]) -> list[MethodMaps]:
    """Return the maps of each method for each set; a method is named by its folder.

    The maps of a set lie in a sub-folder of its name, or, for a single set, in the folder itself;
    in either, they may lie in a sub-folder `maps`. What mode eval wrote is named by its run.

    Raises:
      UserError: no such folder, one that is given twice, or one without a map for any mask.
    """
    check_folders(folders, "maps")
    runs = [_find_run(absolute(folder)) for folder in folders]
    different = len(set(runs)) == len(runs)
    names = shorten_paths(runs if different else [absolute(folder) for folder in folders])
    return [
        _pair_maps(folder, name, masks, num_sets=len(sets))
        for masks in sets
        for folder, name in zip(folders, names, strict=True)
    ]


def keep_common(methods: Sequence[MethodMaps]) -> list[MethodMaps]:
    """Return the methods' maps of those images of a set that all of its methods have."""
    common: dict[str, set[str]] = {}
    for maps in methods:
        names = common.setdefault(maps.masks.set_name, set(maps.maps))
        names.intersection_update(maps.maps)
    for set_name, names in common.items():
        if not names:
            raise UserError(f"{set_name}: there is no image that all methods have a map of.")
    return [
        maps._replace(
            maps={n: path for n, path in maps.maps.items() if n in common[maps.masks.set_name]}
        )
        for maps in methods
    ]


def find_highest(maps: MethodMaps) -> int | None:
    """Return the highest value of a method's 16-bit maps; None if it has none."""
    values = []
    for path in maps.maps.values():
        with contextlib.suppress(UserError):  # reported when it is scored
            values.append(read_highest(path))
    return max((value for value in values if value is not None), default=None)


def build_map_set(
    maps: MethodMaps,
    *,
    salient: Classes = (),
    scale: bool = True,
    highest: int | None = None,
) -> MapSet:
    """Return the maps of a method with their masks and images, to be scored.

    Args:
      maps: of a method.
      salient: as `read_mask` takes it, and `scale`.
      scale: scale masks of two values.
      highest: the level of the maps that stands for 1, if not their format's highest.
    """
    files, images = maps.masks.files, maps.masks.images
    read = functools.partial(read_mask, salient=salient, scale=scale)
    tasks = [
        Task(
            name,
            path,
            functools.partial(read, files[name]),
            functools.partial(read_image, images[name]) if name in images else None,
        )
        for name, path in maps.maps.items()
    ]
    return MapSet(maps.masks.set_name, maps.method, tasks, highest=highest, size=len(files))


def _pair_maps(root: Path, method: str, masks: Masks, *, num_sets: int) -> MethodMaps:
    """Pair the maps of a method's folder and masks by what their names have in common."""
    folder = _folder_of_set(root, masks.set_name, num_sets=num_sets)
    folder = folder / "maps" if (folder / "maps").is_dir() else folder
    found, left_out = list_by_stem(folder, "maps")
    beside = match_names(masks.files, _list_flat(root)) if folder != root else {}
    if beside:
        left_out.append(
            f"{count(len(beside), 'maps')} left out that lie in {root} itself, as those in "
            f"{folder.relative_to(root)} are scored: {list_names(beside.values())}"
        )
    matches = match_names(masks.files, found)
    if not matches:  # maps are named as the images, and the masks are not
        matches = {mask: name for name, mask in match_names(found, masks.files).items()}
    if not matches:
        raise UserError(
            f"{folder}: none of the maps ({list_names(found)}) has the name of a mask "
            f"({list_names(masks.files)}): maps and masks are paired by their names."
        )
    paired = {name: found[match] for name, match in matches.items()}
    label = f"{method} on {masks.set_name}"
    notes = [f"{label}: {line}" for line in (*left_out, *_note_names(paired, masks))]
    used = set(matches.values())
    if surplus := [path for name, path in found.items() if name not in used]:
        notes.append(
            f"{method}: {len(surplus)} maps have no mask and are left out: {list_names(surplus)}"
        )
    missing = [name for name in masks.files if name not in matches]
    return MethodMaps(method, masks, paired, missing, tuple(notes))


def _note_names(maps: Mapping[str, Path], masks: Masks) -> Iterator[str]:
    """Say that names of maps and masks were found to belong together, if they differ."""
    others = [name for name, path in maps.items() if path.stem != name.rpartition("/")[2]]
    if others:
        mask = masks.files[others[0]]
        yield (
            f"{len(others)} maps have other names than their masks: {maps[others[0]].name} is "
            f"taken as that of {mask.name if isinstance(mask, Path) else others[0]}"
        )


def _list_flat(folder: Path) -> list[str]:
    """Return the names, without suffix, of the images that lie in a folder itself."""
    return [path.stem for path in find_images(folder).images if path.parent == folder]


def _find_run(folder: Path) -> Path:
    """Return the run in whose evaluation a folder lies; if in none, the folder."""
    for path in (folder, *folder.parents[:2]):
        if path.name == "eval" and (path.parent / "config.json").is_file():
            return path.parent
    return folder


def _folder_of_set(folder: Path, set_name: str, *, num_sets: int) -> Path:
    """Return the sub-folder of a set, if a method's folder holds one folder a set."""
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    # `DUTS/test` may be the sub-folder DUTS/test, DUTS-test or DUTS; `test` alone could be any.
    below = [folder / set_name, *inside]
    names = [set_name, set_name.partition("/")[0]]
    for name in names:
        found = [path for path in below if path.is_dir() and _is_named(path, folder, name)]
        exact = [path for path in found if path.relative_to(folder).as_posix() == name]
        if len(found) > 1 and not exact:
            raise UserError(
                f"{folder}: both {list_names(path.name for path in found)} could hold the maps of "
                f"{set_name}: rename one of them."
            )
        if found:
            return (exact or found)[0]
    if num_sets == 1:
        return folder
    found_here = [path.name for path in inside]
    if flat := _list_flat(folder):
        found_here.append(f"{count(len(flat), 'maps')} in {folder.name} itself")
    raise UserError(
        f"{folder} holds no folder {set_name}: with several sets a method's folder holds one "
        f"folder a set (found: {list_names(found_here) or 'none'})."
    )


def _is_named(path: Path, folder: Path, name: str) -> bool:
    """Return whether a sub-folder has a name, but for case and separators."""
    own = keep_letters(path.relative_to(folder).as_posix())
    return own == keep_letters(name) != ""

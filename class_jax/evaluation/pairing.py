"""Pair the maps of methods with the masks of sets, by name."""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from class_jax.data.folders import find_images
from class_jax.data.layouts import folders_in
from class_jax.data.masks import Classes, read_highest
from class_jax.data.matching import match_names
from class_jax.errors import UserError
from class_jax.evaluation.measuring import Task, read_truth
from class_jax.evaluation.published import keep_letters
from class_jax.evaluation.scoring import MapSet
from class_jax.evaluation.sets import Masks, check_folders, list_by_stem, shorten_paths
from class_jax.files import absolute
from class_jax.text import count, list_names


def find_maps(
    folders: Sequence[Path],
    sets: Sequence[Masks],
    *,
    salient: Classes = (),
    highest: int | None = None,
) -> list[MapSet]:
    """Return the maps of each method for each set; a method is named by its folder.

    The maps of a set lie in a sub-folder of its name, or, for a single set, in the folder itself;
    in either, they may lie in a sub-folder `maps`. What mode eval wrote is named by its run.

    Args:
      folders: of the methods.
      sets: their masks.
      salient: as `read_truth` takes it.
      highest: the level of the maps that stands for 1, if not their format's highest.

    Raises:
      UserError: no such folder, one that is given twice, or one without a map for any mask.
    """
    check_folders(folders, "maps")
    runs = [_find_run(absolute(folder)) for folder in folders]
    different = len(set(runs)) == len(runs)
    names = shorten_paths(runs if different else [absolute(folder) for folder in folders])
    read = functools.partial(read_truth, salient=salient)
    found = []
    for masks in sets:
        for folder, name in zip(folders, names, strict=True):
            maps, notes = _pair_maps(folder, name, masks, num_sets=len(sets))
            tasks = [
                Task(n, path, functools.partial(read, masks.files[n], masks.images.get(n)))
                for n, path in maps.items()
            ]
            missing = [n for n in masks.files if n not in maps]
            size = len(masks.files)
            found.append(MapSet(masks.set_name, name, tasks, {}, highest, size, missing, notes))
    return found


def keep_common(methods: Sequence[MapSet]) -> list[MapSet]:
    """Return the methods' maps of those images of a set that all of its methods have."""
    common: dict[str, set[str]] = {}
    for maps in methods:
        names = {task.name for task in maps.tasks}
        common[maps.set_name] = common.get(maps.set_name, names) & names
    for set_name, names in common.items():
        if not names:
            raise UserError(f"{set_name}: there is no image that all methods have a map of.")
    return [
        maps._replace(tasks=[task for task in maps.tasks if task.name in common[maps.set_name]])
        for maps in methods
    ]


def find_highest(maps: MapSet) -> int | None:
    """Return the highest value of a method's 16-bit maps; None if it has none."""
    values = []
    for task in maps.tasks:
        with contextlib.suppress(UserError):  # reported when it is scored
            values.append(read_highest(task.map))
    return max((value for value in values if value is not None), default=None)


def keep_levels(maps: MapSet) -> MapSet:
    """Return maps whose masks of two values are not scaled."""
    tasks = [task._replace(read=functools.partial(task.read, scale=False)) for task in maps.tasks]
    return maps._replace(tasks=tasks)


def _pair_maps(
    root: Path, method: str, masks: Masks, *, num_sets: int
) -> tuple[dict[str, Path], list[str]]:
    """Pair the maps of a method's folder and masks by what their names have in common.

    Returns:
      The maps by the names of their masks, in the order of the masks, and notes.
    """
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
    return {name: paired[name] for name in masks.files if name in paired}, notes


def _note_names(maps: Mapping[str, Path], masks: Masks) -> Iterator[str]:
    """Say that names of maps and masks were found to belong together, if they differ."""
    others = [name for name, path in maps.items() if path.stem != name.rpartition("/")[2]]
    if others:
        yield (
            f"{len(others)} maps have other names than their masks: {maps[others[0]].name} is "
            f"taken as that of {masks.files[others[0]].name}"
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
    inside = folders_in(folder)
    below = [path for path in (folder / set_name, *inside) if path.is_dir()]
    own = {path: path.relative_to(folder).as_posix() for path in below}
    # `DUTS/test` may be the sub-folder DUTS/test, DUTS-test or DUTS; `test` alone could be any.
    for name in (set_name, set_name.partition("/")[0]):
        # But for case and separators.
        found = [path for path in own if keep_letters(own[path]) == keep_letters(name) != ""]
        exact = [path for path in found if own[path] == name]
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

"""Pair the maps of methods with the masks of sets, by name."""

import contextlib
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from class_jax.data.folders import find_images
from class_jax.data.layouts import folders_in
from class_jax.data.masks import Classes, read_highest
from class_jax.data.matching import match_names
from class_jax.errors import UserError
from class_jax.evaluation.measuring import Task, read_truth
from class_jax.evaluation.published import keep_letters
from class_jax.evaluation.scoring import MapSet, group_by
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
    in either, they may lie in a sub-folder `maps`.

    Args:
      folders: of the methods.
      sets: their masks.
      salient: as `read_truth` takes it.
      highest: the level of the maps that stands for 1, if not their format's highest.

    Raises:
      UserError: no such folder, one that is given twice, or one without a map for any mask.
    """
    check_folders(folders, "maps")
    names = shorten_paths([absolute(folder) for folder in folders])
    found = []
    for masks in sets:
        for root, method in zip(folders, names, strict=True):
            folder = _folder_of_set(root, masks.set_name, num_sets=len(sets))
            folder = folder / "maps" if (folder / "maps").is_dir() else folder
            maps, notes = _pair_maps(folder, masks)
            flat = [path.stem for path in find_images(root).images if path.parent == root]
            if folder != root and (beside := match_names(masks.files, flat)):
                notes.append(f"{_left_out(beside.values())} that lie in {root} itself")
            tasks = []
            for name, path in maps.items():
                read = partial(
                    read_truth, masks.files[name], masks.images.get(name), salient=salient
                )
                tasks.append(Task(name, path, read, highest=highest))
            missing = [name for name in masks.files if name not in maps]
            notes = [f"{method} on {masks.set_name}: {note}" for note in notes]
            label, size = (masks.set_name, method), len(masks.files)
            found.append(MapSet(*label, tasks, {}, size, missing, notes))
    return found


def keep_common(methods: Sequence[MapSet]) -> list[MapSet]:
    """Return the methods' maps of those images of a set that all of its methods have."""
    kept = []
    for set_name, of_set in group_by(methods, lambda maps: maps.set_name).items():
        common = set.intersection(*({task.name for task in maps.tasks} for maps in of_set))
        if not common:
            raise UserError(f"{set_name}: there is no image that all methods have a map of.")
        for maps in of_set:
            kept.append(maps._replace(tasks=[t for t in maps.tasks if t.name in common]))
    return kept


def find_highest(maps: MapSet) -> int | None:
    """Return the highest value of a method's 16-bit maps; None if it has none."""
    values = []
    for task in maps.tasks:
        with contextlib.suppress(UserError):  # reported when it is scored
            values.append(read_highest(task.map))
    return max((value for value in values if value is not None), default=None)


def keep_levels(maps: MapSet) -> MapSet:
    """Return maps whose masks of two values are not scaled."""
    tasks = [task._replace(read=partial(task.read, scale=False)) for task in maps.tasks]
    return maps._replace(tasks=tasks)


def _pair_maps(folder: Path, masks: Masks) -> tuple[dict[str, Path], list[str]]:
    """Pair the maps in a folder and masks by what their names have in common.

    Returns:
      The maps by the names of their masks, in the order of the masks, and notes.
    """
    found, notes = list_by_stem(folder, "maps")
    matches = match_names(masks.files, found)
    if not matches:  # maps are named as the images, and the masks are not
        matches = {mask: name for name, mask in match_names(found, masks.files).items()}
    if not matches:
        raise UserError(
            f"{folder}: none of the maps ({list_names(found)}) has the name of a mask "
            f"({list_names(masks.files)}): maps and masks are paired by their names."
        )
    maps = {name: found[matches[name]] for name in masks.files if name in matches}
    if others := [(p.name, n) for n, p in maps.items() if p.stem != Path(n).name]:
        example = "{} is taken as that of {}".format(*others[0])
        notes.append(f"{len(others)} maps have other names than their masks: {example}")
    if surplus := sorted(found.keys() - set(matches.values())):
        notes.append(f"{_left_out([found[n].name for n in surplus])}, as they have no mask")
    return maps, notes


def _left_out(maps: Collection[str]) -> str:
    return f"{count(len(maps), 'maps')} left out ({list_names(maps)})"


def _folder_of_set(folder: Path, set_name: str, *, num_sets: int) -> Path:
    """Return the sub-folder of a set, if a method's folder holds one folder a set."""
    below, found = folders_in(folder), list[Path]()
    # `DUTS/test` may be the sub-folder DUTS/test, DUTS-test or DUTS; `test` alone could be any.
    for name in (set_name, set_name.partition("/")[0]):
        # But for case and separators.
        alike = [path for path in below if keep_letters(path.name) == keep_letters(name) != ""]
        found = found or ([folder / name] if (folder / name).is_dir() else alike)
    if len(found) == 1 or (num_sets == 1 and not found):
        return found[0] if found else folder
    names = list_names(path.name for path in found or below) or "none"
    raise UserError(
        f"{folder}: expected one folder {set_name} with the maps of that set, as there are several "
        f"sets or such folders (found: {names})."
    )

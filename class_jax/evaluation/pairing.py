"""Pair the maps of methods with the masks of sets, by name."""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from class_jax.data.folders import describe_left_out, find_images, index_by_stem
from class_jax.data.images import load_mask, read_highest, read_image
from class_jax.data.layouts import PUBLISHED, find_layout, kind_of
from class_jax.data.masks import Reading
from class_jax.data.matching import match_names
from class_jax.errors import UserError
from class_jax.evaluation.measuring import Task
from class_jax.evaluation.scoring import MapSet
from class_jax.files import absolute
from class_jax.text import count, list_lines, list_names

LAYOUT_DEPTH = 3  # folders between the root of a layout and its masks, at most
PUBLISHED_MASKS = {masks for _, masks in PUBLISHED}


MaskReader = Callable[[Path], Reading]  # picklable


class Masks(NamedTuple):
    """The masks of a set."""

    set_name: str
    folder: Path
    files: dict[str, Path]  # by path below the folder, without suffix
    images: dict[str, Path]  # the images that belong to them, by the same names
    left_out: tuple[str, ...] = ()  # a line for each kind of file that cannot be read


class MethodMaps(NamedTuple):
    """The maps of a method for the masks of a set."""

    method: str
    masks: Masks
    maps: dict[str, Path]  # by the name of their mask, in the order of the masks
    missing: list[str]  # masks without a map
    surplus: list[Path]  # maps without a mask
    left_out: tuple[str, ...] = ()  # a line for each kind of file that cannot be read


def find_masks(folders: Sequence[Path]) -> list[Masks]:
    """Return the masks of sets; a folder holds masks, or images beside masks in a usual layout.

    Raises:
      UserError: no such folder, no masks in it, or one that is given twice.
    """
    _check_folders(folders, "masks")
    places = [_find_mask_folder(folder) for folder in folders]
    _check_different(places)
    names = _name_sets(places)
    return [_list_masks(place, name) for place, name in zip(places, names, strict=True)]


def find_maps(folders: Sequence[Path], sets: Sequence[Masks]) -> list[MethodMaps]:
    """Return the maps of each method for each set; a method is named by its folder.

    The maps of a set lie in a sub-folder of its name, or, for a single set, in the folder itself;
    in either, they may lie in a sub-folder `maps`. What mode eval wrote is named by its run.

    Raises:
      UserError: no such folder, one that is given twice, or one without a map for any mask.
    """
    _check_folders(folders, "maps")
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
        with contextlib.suppress(UserError):  # named when it is scored
            values.append(read_highest(path))
    return max((value for value in values if value is not None), default=None)


def build_map_set(
    maps: MethodMaps, read: MaskReader = load_mask, *, highest: int | None = None
) -> MapSet:
    """Return the maps of a method with their masks and images, to be scored.

    Args:
      maps: of a method.
      read: reads the file of a mask.
      highest: the level of the maps that stands for 1, if not their format's highest.
    """
    files, images = maps.masks.files, maps.masks.images
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


def shorten_paths(folders: Sequence[Path]) -> list[str]:
    """Return as few last parts of each path as tell it from the others.

    Raises:
      UserError: two paths are equal, so that nothing tells them apart.
    """
    if twice := [folder for folder, number in Counter(folders).items() if number > 1]:
        raise UserError(f"{twice[0]} is given twice.")
    names = []
    for folder in folders:
        parts = 1
        while sum(other.parts[-parts:] == folder.parts[-parts:] for other in folders) > 1:
            parts += 1
        names.append("/".join(folder.parts[-parts:]))
    return names


def _pair_maps(root: Path, method: str, masks: Masks, *, num_sets: int) -> MethodMaps:
    """Pair the maps of a method's folder and masks by what their names have in common."""
    folder = _folder_of_set(root, masks.set_name, num_sets=num_sets)
    folder = folder / "maps" if (folder / "maps").is_dir() else folder
    found, left_out = _list_by_stem(folder, "maps")
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
    used = set(matches.values())
    return MethodMaps(
        method,
        masks,
        {name: found[match] for name, match in matches.items()},
        [name for name in masks.files if name not in matches],
        [path for name, path in found.items() if name not in used],
        tuple(f"{method} on {masks.set_name}: {line}" for line in left_out),
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
    own, wanted = (
        "".join(letter for letter in text.casefold() if letter.isalnum())
        for text in (path.relative_to(folder).as_posix(), name)
    )
    return own == wanted != ""


def _list_masks(folder: Path, name: str) -> Masks:
    files, left_out = _list_by_stem(folder, "masks")
    images = _find_images_beside(folder.resolve())
    matches = match_names(images, files)
    beside = {mask: images[image] for image, mask in matches.items()}
    return Masks(name, folder, files, beside, tuple(f"{name}: {line}" for line in left_out))


def _list_by_stem(folder: Path, content: str) -> tuple[dict[str, Path], list[str]]:
    """Return the images below a folder by their path without suffix, and what is left out."""
    found = find_images(folder)
    files, doubled = index_by_stem(found.images, folder)
    if problems := [*found.problems, *doubled.values()]:
        raise UserError(f"{folder} cannot be used:{list_lines(problems)}")
    left_out = describe_left_out(found.left_out)
    if not files:
        raise UserError(f"{folder} holds no {content}.{list_lines(left_out)}")
    return files, left_out


def _find_mask_folder(folder: Path) -> Path:
    """Return the folder itself, or that of the masks in it if images lie beside them."""
    if any(path.parent == folder for path in find_images(folder).images):
        return folder
    try:
        return find_layout(folder, leaf="masks", pool=True).masks
    except UserError:
        return folder  # its masks, if any, lie in sub-folders


def _find_images_beside(masks: Path) -> dict[str, Path]:
    """Return the images that lie beside a folder of masks in a usual layout."""
    for root in masks.parents[:LAYOUT_DEPTH]:
        # Only the sheet of examples needs them: whatever is wrong with them is no matter here.
        with contextlib.suppress(UserError, OSError):
            layout = find_layout(root, leaf="masks", pool=True)
            if layout.masks == masks and not layout.is_flat:
                return index_by_stem(find_images(layout.images).images, layout.images)[0]
    return {}


def _check_folders(folders: Sequence[Path], content: str) -> None:
    """Raise UserError if a path is not a folder, or two lead to one."""
    for folder in folders:
        if not folder.is_dir():
            found = "is a file" if folder.exists() else "does not exist"
            raise UserError(f"{folder} {found}, and a folder of {content} is needed.")
    _check_different(folders)


def _check_different(folders: Sequence[Path]) -> None:
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < len(resolved):
        raise UserError(f"{max(resolved, key=resolved.count)} is given twice.")


def _is_general(folder: Path) -> bool:
    """Return whether a folder's name says only that it holds the masks of the one above."""
    kind, rest = kind_of(folder.name)
    says_no_more = all(word in folder.parent.name.lower() for word in rest)
    return (kind == "masks" and says_no_more) or folder.name.lower() in PUBLISHED_MASKS


def _name_sets(masks: Sequence[Path]) -> list[str]:
    """Name each set by its folder, or by the folder above if many sets call theirs so."""
    named = []
    for folder in map(absolute, masks):
        if folder.name.lower() == "pascal":  # datasets/masks/pascal, in the archive of many sets
            named.append(folder.with_name("PASCAL-S"))
        else:
            named.append(folder.parent if _is_general(folder) else folder)
    return shorten_paths(named)

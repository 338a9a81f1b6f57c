"""gallery.png, .pdf and .csv: images beside their masks and all methods' maps, as papers do."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from class_jax.data.images import load_map
from class_jax.data.resize import resize_bilinear
from class_jax.errors import UserError
from class_jax.evaluation.examples import pick_examples
from class_jax.evaluation.figures import Pictures, write_sheet
from class_jax.evaluation.measuring import read_if_possible
from class_jax.evaluation.scoring import MapSet, SetScores
from class_jax.files import write_csv
from class_jax.text import list_names

PICKED = 2  # images of each kind, and of several sets one each
NAMED = "named"


class Choice(NamedTuple):
    """An image to show, and why."""

    set_name: str
    image: str
    reason: str


def check_names(names: Iterable[str], map_sets: Sequence[MapSet]) -> None:
    """Raise UserError for names that no set has."""
    known = {task.name: None for maps in map_sets for task in maps.tasks}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"no image is called {list_names(unknown)}: there are {list_names(known)}.")


def choose_images(scores: Sequence[SetScores], names: Sequence[str] = ()) -> list[Choice]:
    """Return the images of that name, or a few of each set on which methods differ most.

    Picked are those of the largest difference in MAE between two methods, and of the largest gain
    and loss in MAE of the first method against the best of the others; for a single method its
    best, median and worst.

    Args:
      scores: of methods on sets, by one protocol.
      names: of images; none: they are picked.
    """
    choices: list[Choice] = []
    sets = list(dict.fromkeys(row.set_name for row in scores))
    count = PICKED if len(sets) == 1 else 1
    for set_name in sets:
        of_set = [row for row in scores if row.set_name == set_name]
        if names:
            measured = {name for row in of_set for name in row.per_image}
            choices += [Choice(set_name, name, NAMED) for name in names if name in measured]
        else:
            choices += [Choice(set_name, *pick) for pick in _pick(of_set, count).items()]
    return choices


def write_gallery(folder: Path, choices: Sequence[Choice], map_sets: Sequence[MapSet]) -> None:
    """Write the sheet of the chosen images, and a table of which they are.

    Raises:
      UserError: a file cannot be written, or a mask or map cannot be read any more.
    """
    methods = list(dict.fromkeys(maps.method for maps in map_sets))
    rows = [
        _read_row(
            choice.image, {m.method: m for m in map_sets if m.set_name == choice.set_name}, methods
        )
        for choice in choices
    ]
    write_sheet(folder / "gallery", ["image", "mask", *methods], rows)
    write_csv(
        folder / "gallery.csv",
        ("row", "set", "image", "reason"),
        ((str(row), *choice) for row, choice in enumerate(choices, start=1)),
    )


def _pick(scores: Sequence[SetScores], count: int) -> dict[str, str]:
    """Return image → reason for a few images that all methods have, `count` of each kind."""
    first, *others = scores
    if not others:
        return pick_examples(first.per_image)
    common = [n for n in first.per_image if all(n in row.per_image for row in others)]
    errors = np.array([[row.per_image[n]["MAE"] for n in common] for row in scores])
    gain = errors[1:].min(axis=0) - errors[0]
    picked: dict[str, str] = {}
    for values, reason in (
        (np.ptp(errors, axis=0), "largest difference between methods"),
        (gain, f"largest gain of {first.method}"),
        (-gain, f"largest loss of {first.method}"),
    ):
        order = [index for index in np.argsort(-values, kind="stable") if values[index] > 0]
        new = [common[index] for index in order if common[index] not in picked]
        picked |= dict.fromkeys(new[:count], reason)
    return picked


def _read_row(name: str, maps: Mapping[str, MapSet], methods: Sequence[str]) -> Pictures:
    """Read the image, the mask and each method's map of it, None where there is none."""
    found = {
        method: task
        for method, of_method in maps.items()
        for task in of_method.tasks
        if task.name == name
    }
    any_task = next(iter(found.values()))
    mask = any_task.mask().levels
    drawn: list[np.ndarray | None] = [read_if_possible(any_task), mask]
    for method in methods:
        if method not in found:
            drawn.append(None)
            continue
        levels = load_map(found[method].map, highest=maps[method].highest).levels
        drawn.append(levels if levels.shape == mask.shape else resize_bilinear(levels, *mask.shape))
    return drawn

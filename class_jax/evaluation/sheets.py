"""Sheets of maps beside images and masks: examples.png and the gallery."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from class_jax.data.images import write_picture
from class_jax.data.masks import load_map
from class_jax.data.resize import resize_bilinear
from class_jax.data.sheet import GAP, Panel, Row, draw_sheet
from class_jax.errors import UserError
from class_jax.evaluation.figures import DPI, PAGE
from class_jax.evaluation.markup import to_csv
from class_jax.evaluation.measuring import Task
from class_jax.evaluation.protocols import Figures
from class_jax.evaluation.scoring import MapSet, SetScores, group_by
from class_jax.files import atomic_write
from class_jax.text import list_names

COLUMNS = ("image", "mask", "map", "missed: blue, false: orange")
MISSED, FALSE = (0, 114, 178), (230, 159, 0)  # told apart in grey and by colour-blind readers
WHITE = 255
POINTS = 7  # size of a gallery's letters
PICKED = 2  # images of each set and kind in a gallery


class Choice(NamedTuple):
    """An image to show in a gallery, and why."""

    set: str
    image: str
    reason: str


def write_examples(path: Path, scores: Sequence[SetScores], map_sets: Sequence[MapSet]) -> None:
    """Write a sheet of the best, the median and the worst map of every score, and their errors.

    The map sets are those that were measured, one for each of the scores.

    Raises:
      UserError: the sheet cannot be written, or a mask or map cannot be read any more.
    """
    rows: list[Row] = [[Panel(caption=caption) for caption in COLUMNS]]
    for row, maps in zip(scores, map_sets, strict=True):
        rows.append(f"{row.set_name}: {row.method} ({row.protocol})")
        tasks = {task.name: task for task in maps.tasks}
        for name, label in pick_examples(row.per_image).items():
            mask, image = tasks[name].read()
            levels = _read_map(tasks[name], mask)
            rows.append(f"{label}: MAE {row.per_image[name]['MAE']:.4f}, {name}")
            rows.append([Panel(p) for p in (image, mask, levels, draw_errors(levels, mask))])
    write_picture(path, draw_sheet(rows))


def pick_examples(per_image: Mapping[str, Figures]) -> dict[str, str]:
    """Return name → "best", "median" or "worst" by MAE, for up to three images."""
    ranked = sorted(per_image, key=lambda name: (per_image[name]["MAE"], name))
    last = len(ranked) - 1
    picked: dict[str, str] = {}
    for label, position in (("best", 0), ("median", last // 2), ("worst", last)):
        picked.setdefault(ranked[position], label)
    return picked


def draw_errors(levels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Draw where a map, uint8 [H, W], is below its mask and where above it: uint8 [H, W, 3].

    Right pixels are white; others have the colour MISSED or FALSE in proportion to the difference.
    """
    error = (levels.astype(np.float32) - mask)[..., None] / 255
    colour = np.where(error < 0, np.array(MISSED, np.float32), np.array(FALSE, np.float32))
    return np.rint(WHITE + np.abs(error) * (colour - WHITE)).astype(np.uint8)


def check_names(names: Iterable[str], map_sets: Sequence[MapSet]) -> None:
    """Raise UserError for names that no set has."""
    known = {task.name: None for maps in map_sets for task in maps.tasks}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"no image is called {list_names(unknown)}: there are {list_names(known)}.")


def choose_images(scores: Sequence[SetScores], names: Sequence[str] = ()) -> list[Choice]:
    """Return the images of that name, or a few of each set on which methods differ most.

    Picks the images with the largest difference in MAE between two methods, and of the largest gain
    and loss in MAE of the first method against the best of the others; for a single method its
    best, median and worst.

    Args:
      scores: of methods on sets, by one protocol.
      names: of images; none: they are picked.
    """
    choices: list[Choice] = []
    for set_name, of_set in group_by(scores, lambda row: row.set_name).items():
        measured = {name for row in of_set for name in row.per_image}
        named = {name: "named" for name in names if name in measured}
        picks = named if names else _pick(of_set)
        choices += [Choice(set_name, *pick) for pick in picks.items()]
    return choices


def write_gallery(folder: Path, choices: Sequence[Choice], map_sets: Sequence[MapSet]) -> None:
    """Draw the chosen images with all methods' maps, gallery.png and .pdf; list them in .csv.

    Raises:
      UserError: a file cannot be written, or a mask or map cannot be read any more.
    """
    methods = list(dict.fromkeys(maps.method for maps in map_sets))
    tasks = {(m.set_name, task.name, m.method): task for m in map_sets for task in m.tasks}
    rows: list[Row] = [[Panel(caption=heading) for heading in ("image", "mask", *methods)]]
    for choice in choices:
        of_image = [tasks.get((choice.set, choice.image, method)) for method in methods]
        mask, image = next(filter(None, of_image)).read()
        maps = (task and _read_map(task, mask) for task in of_image)  # None if there is none
        rows.append([Panel(image), Panel(mask), *map(Panel, maps)])
    cell = (round(PAGE * DPI) - GAP) // (2 + len(methods)) - GAP
    sheet = draw_sheet(rows, cell=cell, letters=POINTS * DPI // 72, paper=WHITE)
    for suffix in ("png", "pdf"):
        write_picture(folder / f"gallery.{suffix}", sheet, dpi=(DPI, DPI), resolution=DPI)
    listed = ({"row": row, **choice._asdict()} for row, choice in enumerate(choices, start=1))
    with atomic_write(folder / "gallery.csv") as partial:
        partial.write_bytes(to_csv(listed, ("row", *Choice._fields)).encode())


def _pick(scores: Sequence[SetScores]) -> dict[str, str]:
    """Return image → reason for a few images that all methods have."""
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
        picked |= dict.fromkeys(new[:PICKED], reason)
    return picked


def _read_map(task: Task, mask: np.ndarray) -> np.ndarray:
    """Return a map at its mask's size."""
    return resize_bilinear(load_map(task.map, highest=task.highest).levels, *mask.shape)

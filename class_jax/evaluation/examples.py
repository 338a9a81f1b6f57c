"""examples.png: the best, the median and the worst map of every score, and where they err."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from class_jax.data.images import load_map
from class_jax.data.montage import GAP, Row, draw_montage
from class_jax.data.resize import resize_bilinear
from class_jax.evaluation.measuring import Task, read_if_possible
from class_jax.evaluation.protocols import Figures
from class_jax.evaluation.published import get_title
from class_jax.evaluation.scoring import MapSet, SetScores
from class_jax.files import atomic_write
from class_jax.text import shorten

CELL = 240  # pixels
STRIP = 24  # pixels, the height of a line of text
NAME_LENGTH, SET_LENGTH = 40, 24  # characters that fit
PAPER, INK = 255, 0
COLUMNS = ("image", "mask", "map", "missed: blue, false: orange")
MISSED, FALSE = (0, 114, 178), (230, 159, 0)  # told apart in grey and by colour-blind readers


def pick_examples(per_image: Mapping[str, Figures]) -> dict[str, str]:
    """Return name → "best", "median" or "worst" by MAE, for up to three images."""
    ranked = sorted(per_image, key=lambda name: (per_image[name]["MAE"], name))
    last = len(ranked) - 1
    picked: dict[str, str] = {}
    for label, position in (("best", 0), ("median", last // 2), ("worst", last)):
        picked.setdefault(ranked[position], label)
    return picked


def write_examples(path: Path, scores: Sequence[SetScores], map_sets: Sequence[MapSet]) -> None:
    """Write a sheet of the best, the median and the worst map of every score.

    Args:
      path: the PNG file, written atomically.
      scores: of methods on sets.
      map_sets: for each of the scores, the maps that were measured.

    Raises:
      UserError: the sheet cannot be written, or a mask or map cannot be read any more.
    """
    strips = [_draw_text({_column(i): word for i, word in enumerate(COLUMNS)})]
    for row, maps in zip(scores, map_sets, strict=True):
        set_title = shorten(get_title(row.set_name), SET_LENGTH)
        method = shorten(row.method, NAME_LENGTH)
        strips.append(_draw_text({GAP: f"{set_title}: {method} ({row.protocol})"}))
        by_name = {task.name: task for task in maps.tasks}
        for name, label in pick_examples(row.per_image).items():
            mae = row.per_image[name]["MAE"]
            text = f"{label}: MAE {mae:.4f}, {shorten(name, NAME_LENGTH)}"
            strips.append(_draw_text({GAP: text}))
            strips.append(draw_montage([_read_example(by_name[name], maps.highest)], cell=CELL))
    with atomic_write(path) as partial:
        Image.fromarray(np.concatenate(strips)).save(partial, format="PNG")


def draw_errors(levels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Draw where a map, uint8 [h, w], is below its mask and where above it: uint8 [H, W, 3].

    Right pixels are white; others have the colour MISSED or FALSE in proportion to the difference.
    """
    if levels.shape != mask.shape:
        levels = resize_bilinear(levels, *mask.shape)
    error = (levels.astype(np.float32) - mask)[..., None] / 255
    colour = np.where(error < 0, np.array(MISSED, np.float32), np.array(FALSE, np.float32))
    return np.rint(PAPER + np.abs(error) * (colour - PAPER)).astype(np.uint8)


def _read_example(task: Task, highest: int | None) -> Row:
    """Read the image if there is one, the mask and the map, and draw the errors."""
    mask, levels = task.mask().levels, load_map(task.map, highest=highest).levels
    return read_if_possible(task), mask, levels, draw_errors(levels, mask)


def _column(index: int) -> int:
    """Return the left edge of a column of the montage, pixels."""
    return GAP + index * (CELL + GAP)


def _draw_text(words: Mapping[int, str]) -> np.ndarray:
    """Draw words at the given left edges, uint8 [STRIP, width of a montage, 3]."""
    strip = Image.new("RGB", (_column(len(COLUMNS)), STRIP), (PAPER,) * 3)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=STRIP * 0.65)
    for left, word in words.items():
        draw.text((left, STRIP // 2), word, fill=(INK,) * 3, font=font, anchor="lm")
    return np.asarray(strip)

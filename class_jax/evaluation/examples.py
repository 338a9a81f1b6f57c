"""examples.png: the best, the median and the worst maps beside image and mask."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from class_jax.data.montage import GAP, Row, montage
from class_jax.evaluation.protocols import Figures
from class_jax.evaluation.published import title_of
from class_jax.evaluation.scores import SetScores
from class_jax.files import atomic_write
from class_jax.text import shorten

Show = Callable[[str], Row]  # an image's name → image if known, mask, map

CELL = 240  # pixels
STRIP = 24  # height of a line of text, pixels
NAME_LENGTH, SET_LENGTH = 40, 24  # of labels, characters
PAPER, INK = 255, 0


def pick_examples(per_image: Mapping[str, Figures]) -> dict[str, str]:
    """Name → "best", "median" or "worst" by MAE; fewer than three where there are fewer images."""
    ranked = sorted(per_image, key=lambda name: (per_image[name]["MAE"], name))
    last = len(ranked) - 1
    picked: dict[str, str] = {}
    for label, position in (("best", 0), ("median", last // 2), ("worst", last)):
        picked.setdefault(ranked[position], label)
    return picked


def write_examples(path: Path, scores: Sequence[SetScores], shown: Sequence[Show]) -> None:
    """Write a PNG sheet of the best, the median and the worst map of each method on each set.

    Args:
      path: the picture; written whole or not at all.
      scores: of methods on sets.
      shown: for each of the scores, what gives the pictures of an image by its name.

    Raises:
      UserError: the picture cannot be written.
    """
    width = GAP + 3 * (CELL + GAP)
    strips = [_text(width, {_column(i): word for i, word in enumerate(("image", "mask", "map"))})]
    for row, show in zip(scores, shown, strict=True):
        title = (
            f"{shorten(title_of(row.set_name), SET_LENGTH)}: "
            f"{shorten(row.method, NAME_LENGTH)} ({row.protocol})"
        )
        strips.append(_text(width, {_column(0): title}))
        for name, label in pick_examples(row.per_image).items():
            line = f"{label}: MAE {row.per_image[name]['MAE']:.4f}, {shorten(name, NAME_LENGTH)}"
            strips.append(_text(width, {_column(0): line}))
            strips.append(montage([show(name)], cell=CELL))
    with atomic_write(path) as partial:
        Image.fromarray(np.concatenate(strips)).save(partial, format="PNG")


def _column(index: int) -> int:
    """Left edge of a column of the montage, pixels."""
    return GAP + index * (CELL + GAP)


def _text(width: int, words: Mapping[int, str]) -> np.ndarray:
    """A line of text, uint8 [STRIP, width, 3]; `words` by their left edges."""
    strip = Image.new("RGB", (width, STRIP), (PAPER,) * 3)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=STRIP * 0.65)
    for left, word in words.items():
        draw.text((left, STRIP // 2), word, fill=(INK,) * 3, font=font, anchor="lm")
    return np.asarray(strip)

"""pr_curves.png, f_curves.png and examples.png; the only file that imports matplotlib."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image, ImageDraw, ImageFont

from class_jax.data.images import load_map
from class_jax.data.montage import GAP, Row, draw_montage
from class_jax.errors import UserError
from class_jax.evaluation.measuring import Task
from class_jax.evaluation.protocols import Figures
from class_jax.evaluation.published import get_title
from class_jax.evaluation.scoring import MapSet, SetScores
from class_jax.files import atomic_write
from class_jax.text import shorten

WIDTH = 3.4  # inches, one column of a paper
DPI = 300
PANELS_ACROSS = 2
LEGEND_ROW = 0.16  # inches
NAME_LENGTH, SET_LENGTH = 30, 16  # characters that fit
STYLE: Any = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.1,
    "grid.linewidth": 0.4,
    "legend.fontsize": 7,
    "text.parse_math": False,  # names may hold $ signs
}
# Okabe and Ito's colours, which colour-blind readers tell apart; dashes for grey prints.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))

CELL = 240  # pixels, of examples.png
STRIP = 24  # pixels, the height of a line of text
EXAMPLE_NAME_LENGTH, EXAMPLE_SET_LENGTH = 40, 24  # characters that fit
PAPER, INK = 255, 0


def write_curves(folder: Path, scores: Sequence[SetScores]) -> None:
    """Write pr_curves.png and f_curves.png; UserError if that fails."""
    for name, kind in (("pr_curves.png", "pr"), ("f_curves.png", "f")):
        figure = draw_curves(scores, kind)
        with (
            rc_context(STYLE),
            atomic_write(folder / name) as partial,
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", "Glyph")  # the font draws a box for what it lacks
            figure.savefig(partial, dpi=DPI, format="png")


def draw_curves(scores: Sequence[SetScores], kind: str) -> Figure:
    """Draw a panel for each set and protocol, with a line for each method.

    Args:
      scores: of methods on sets.
      kind: "pr" for precision over recall, "f" for F over the threshold.
    """
    panels = list(dict.fromkeys((row.set_name, row.protocol) for row in scores))
    methods = list(dict.fromkeys(row.method for row in scores))
    across = min(len(panels), PANELS_ACROSS)
    down = -(-len(panels) // across)
    height = down * (2.3 if across == 1 else 1.7) + LEGEND_ROW * len(methods)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(down, across, squeeze=False).flat
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        for axes, (set_name, protocol) in zip(grid, panels, strict=False):
            axes.set_title(f"{shorten(get_title(set_name), SET_LENGTH)} ({protocol})")
            _frame_panel(axes, kind)
            for row in scores:
                if (row.set_name, row.protocol) == (set_name, protocol):
                    _draw_line(axes, row, kind, methods.index(row.method))
        _draw_legend(figure, grid[: len(panels)])
    return figure


def _frame_panel(axes: Axes, kind: str) -> None:
    """Name the axes and set their limits."""
    if kind == "pr":
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), xticks=np.linspace(0, 1, 6))
    else:
        ticks = [0, 64, 128, 192, 255]
        axes.set(xlabel="threshold", ylabel="F-measure", xlim=(0, 255), xticks=ticks)
    axes.set_ylim(0, 1.02)
    axes.grid(visible=True)


def _draw_line(axes: Axes, row: SetScores, kind: str, index: int) -> None:
    """Draw the curve of method number `index`."""
    curves = row.total.curves()
    x = curves["recall"] if kind == "pr" else np.arange(255, -1, -1)
    axes.plot(
        x,
        curves["precision" if kind == "pr" else "F"],
        gid=row.method,
        color=COLOURS[index % len(COLOURS)],
        linestyle=DASHES[index % len(DASHES)],
    )


def _draw_legend(figure: Figure, panels: Iterable[Axes]) -> None:
    """List the methods below the panels, where the legend hides no line."""
    lines: dict[str, Line2D] = {}
    for axes in panels:
        lines |= {str(line.get_gid()): line for line in axes.get_lines()}
    # With a space first: matplotlib leaves labels out that start with "_".
    labels = [f" {shorten(method, NAME_LENGTH)}" for method in lines]
    figure.legend(list(lines.values()), labels, loc="outside lower center", frameon=False)


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
    strips = [_draw_text({_column(i): word for i, word in enumerate(("image", "mask", "map"))})]
    for row, maps in zip(scores, map_sets, strict=True):
        set_title = shorten(get_title(row.set_name), EXAMPLE_SET_LENGTH)
        method = shorten(row.method, EXAMPLE_NAME_LENGTH)
        strips.append(_draw_text({GAP: f"{set_title}: {method} ({row.protocol})"}))
        by_name = {task.name: task for task in maps.tasks}
        for name, label in pick_examples(row.per_image).items():
            mae = row.per_image[name]["MAE"]
            text = f"{label}: MAE {mae:.4f}, {shorten(name, EXAMPLE_NAME_LENGTH)}"
            strips.append(_draw_text({GAP: text}))
            strips.append(draw_montage([_read_example(by_name[name], maps.highest)], cell=CELL))
    with atomic_write(path) as partial:
        Image.fromarray(np.concatenate(strips)).save(partial, format="PNG")


def _read_example(task: Task, highest: int | None) -> Row:
    """Read the image if there is one, the mask and the map."""
    try:
        image = task.image() if task.image else None
    except UserError:
        image = None  # scores do not need it
    return image, task.mask().levels, load_map(task.map, highest=highest).levels


def _column(index: int) -> int:
    """Return the left edge of a column of the montage, pixels."""
    return GAP + index * (CELL + GAP)


def _draw_text(words: Mapping[int, str]) -> np.ndarray:
    """Draw words at the given left edges, uint8 [STRIP, width of a montage, 3]."""
    strip = Image.new("RGB", (_column(3), STRIP), (PAPER,) * 3)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=STRIP * 0.65)
    for left, word in words.items():
        draw.text((left, STRIP // 2), word, fill=(INK,) * 3, font=font, anchor="lm")
    return np.asarray(strip)

"""pr_curves.png and f_curves.png: a panel for each set and protocol, a line for each method."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from class_jax.evaluation.published import title_of
from class_jax.evaluation.scores import SetScores
from class_jax.files import atomic_write
from class_jax.text import shorten

WIDTH = 3.4  # inches, a column of a paper
DOTS = 300  # an inch
PANELS_ACROSS = 2
ROW = 0.16  # inches, of the legend
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
# Okabe and Ito's colours, which colour-blind readers tell apart; dashes for readers of grey prints.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))

Draw = Callable[[Axes, dict[str, np.ndarray], dict], None]


def write_curves(folder: Path, scores: Sequence[SetScores]) -> None:
    """Write both figures; UserError where that cannot be done."""
    _write(folder / "pr_curves.png", scores, _draw_precision_recall, ("recall", "precision"))
    _write(folder / "f_curves.png", scores, _draw_f, ("threshold", "F-measure"))


def _draw_precision_recall(axes: Axes, curves: dict[str, np.ndarray], line: dict) -> None:
    axes.plot(curves["recall"], curves["precision"], **line)


def _draw_f(axes: Axes, curves: dict[str, np.ndarray], line: dict) -> None:
    axes.plot(np.arange(255, -1, -1), curves["F"], **line)


def _write(path: Path, scores: Sequence[SetScores], draw: Draw, names: tuple[str, str]) -> None:
    with rc_context(STYLE):
        figure = _figure(scores, draw, names)
        with atomic_write(path) as partial, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a box for what the font lacks
            figure.savefig(partial, dpi=DOTS, format="png")


def _figure(scores: Sequence[SetScores], draw: Draw, names: tuple[str, str]) -> Figure:
    panels = list(dict.fromkeys((row.set_name, row.protocol) for row in scores))
    methods = list(dict.fromkeys(row.method for row in scores))
    across = min(len(panels), PANELS_ACROSS)
    down = -(-len(panels) // across)
    height = down * (2.3 if across == 1 else 1.7) + ROW * len(methods)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        axes.set_title(f"{shorten(title_of(panel[0]), SET_LENGTH)} ({panel[1]})")
        _frame(axes, names)
        for row in scores:
            if (row.set_name, row.protocol) == panel:
                draw(axes, row.total.curves(), _line(row.method, methods))
    handles = _handles(grid.flat[: len(panels)])
    # Not at the start of a label: matplotlib leaves those with "_" there out.
    labels = [f" {shorten(label, NAME_LENGTH)}" for label in handles]
    # Below the panels, where it hides no line.
    figure.legend(list(handles.values()), labels, loc="outside lower center", frameon=False)
    return figure


def _frame(axes: Axes, names: tuple[str, str]) -> None:
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.set_ylim(0, 1.02)
    if names[0] == "threshold":
        axes.set_xlim(0, 255)
        axes.set_xticks([0, 64, 128, 192, 255])
    else:
        axes.set_xlim(0, 1)
        axes.set_xticks(np.linspace(0, 1, 6))
    axes.grid(visible=True)


def _line(method: str, methods: Sequence[str]) -> dict:
    index = methods.index(method)
    return {
        "gid": method,
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index % len(DASHES)],
    }


def _handles(panels: Iterable[Axes]) -> dict[str, Line2D]:
    """One line for each method, whichever panel has it."""
    return {str(line.get_gid()): line for axes in panels for line in axes.get_lines()}

"""Figures of curves and breakdowns, drawn by matplotlib."""

import math
import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from class_jax.evaluation.breakdowns import PROPERTIES
from class_jax.evaluation.protocols import Curves
from class_jax.evaluation.scoring import SetScores, group_by
from class_jax.files import atomic_write
from class_jax.text import shorten

COLUMN, PAGE = 3.4, 7.0  # inches, the width of a column and of a page of a paper
DPI = 300
PANELS_ACROSS = 2
LEGEND_ROW = 0.16  # inches
NAME_LENGTH, SET_LENGTH = 30, 16  # characters that fit
STYLE: Any = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 3,
    "grid.linewidth": 0.4,
    "text.parse_math": False,  # names may hold $ signs
}
# Okabe and Ito's colours, which colour-blind readers tell apart; dashes and marks for grey prints.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKS = "osD^v<>Pp*X"
THRESHOLDS = np.arange(255, -1, -1)  # of a curve's points
GRID = 0.05  # limits of curves are multiples of it
HIDDEN = 1 / 3  # largest share of an F curve's thresholds that may fall below the axis

BROKEN_DOWN = "adpF"
PANEL = 1.15  # inches, the height
TICKS = {
    **{"lowest third": "low", "middle third": "mid", "highest third": "high"},
    **{"below 2 %": "<2%", "3 or more": "≥3", "none": "0", "1 or more": "≥1"},
    **{"inside": "no", "touched": "yes"},
}


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure in the format of the path's suffix, atomically; UserError if that fails."""
    with rc_context(STYLE), atomic_write(path) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the font draws a box for what it lacks
        figure.savefig(partial, dpi=DPI, format=path.suffix[1:])


def draw_curves(scores: Sequence[SetScores], kind: str) -> Figure:
    """Draw a panel for each set and protocol, with a line for each method.

    Args:
      scores: of methods on sets.
      kind: "pr" for precision over recall, "f" for F over the threshold.
    """
    panels = group_by(scores, lambda row: (row.set_name, row.protocol))
    methods = list(group_by(scores, lambda row: row.method))
    across = min(len(panels), PANELS_ACROSS)
    down = -(-len(panels) // across)
    height = down * (2.3 if across == 1 else 1.7) + LEGEND_ROW * len(methods)
    with rc_context(STYLE):
        figure = Figure(figsize=(COLUMN, height), layout="constrained")
        for number, ((set_name, protocol), rows) in enumerate(panels.items(), start=1):
            axes = figure.add_subplot(down, across, number)
            axes.set_title(f"{shorten(set_name, SET_LENGTH)} ({protocol})")
            curves = {row.method: row.total.curves() for row in rows}
            _frame_panel(axes, curves.values(), kind)
            for method, of in curves.items():
                index = methods.index(method)
                dash, colour = DASHES[index % len(DASHES)], COLOURS[index % len(COLOURS)]
                x, y = (of["recall"], of["precision"]) if kind == "pr" else (THRESHOLDS, of["F"])
                axes.plot(x, y, gid=method, color=colour, linestyle=dash)
        _draw_legend(figure)
    return figure


def _frame_panel(axes: Axes, curves: Collection[Curves], kind: str) -> None:
    """Name the axes, and zoom to where the methods are.

    That is from a little below the lowest precision and recall at a method's largest F; of F, to
    where two thirds of each curve are seen.
    """
    if kind == "pr":
        left, low = (
            _lower(min(curve[name][curve["F"].argmax()] for curve in curves))
            for name in ("recall", "precision")
        )
        axes.set(xlabel="recall", ylabel="precision", xlim=(left, 1.005), ylim=(low, 1.005))
    else:
        low = _lower(min(float(np.quantile(curve["F"], HIDDEN)) for curve in curves))
        high = min(max(curve["F"].max() for curve in curves) + 0.02, 1.005)
        axes.set(xlabel="threshold", ylabel="F-measure", xlim=(0, 255), ylim=(low, high))
        axes.set_xticks([0, 64, 128, 192, 255])
    axes.grid(visible=True)


def _lower(value: float) -> float:
    """Return the lower limit of an axis whose lowest value of interest is `value`."""
    return max(0.0, math.floor(value / GRID - 0.5) * GRID)


def _draw_legend(figure: Figure, *, across: int = 1) -> None:
    """List the methods below the panels, where the legend hides no line."""
    lines = {str(line.get_gid()): line for axes in figure.axes for line in axes.get_lines()}
    # With a space first: matplotlib leaves labels out that start with "_".
    labels = [f" {shorten(method, NAME_LENGTH)}" for method in lines]
    figure.legend(
        list(lines.values()), labels, loc="outside lower center", frameon=False, ncols=across
    )


def draw_breakdown(scores: Sequence[SetScores]) -> Figure:
    """Draw adaptive F with its 95 % interval over the groups of each property.

    A row of panels for each set and protocol, a panel for each property.
    """
    places = group_by(scores, lambda row: (row.set_name, row.protocol))
    methods = list(group_by(scores, lambda row: row.method))
    found = {(group.property, group.name) for row in scores for group in row.breakdown}
    counts = Counter(name for name, _ in found)
    names = sorted(counts, key=PROPERTIES.index)
    across = min(len(methods), 3)
    height = PANEL * len(places) + LEGEND_ROW * (1 - (-len(methods) // across))
    with rc_context(STYLE):
        figure = Figure(figsize=(PAGE, height), layout="constrained")
        widths, shape = [counts[name] + 0.5 for name in names], (len(places), len(names))
        grid = figure.subplots(*shape, squeeze=False, sharey="row", width_ratios=widths)
        for ((set_name, protocol), rows), panels in zip(places.items(), grid, strict=True):
            panels[0].set_ylabel(f"adaptive F\n{shorten(set_name, SET_LENGTH)}\n({protocol})")
            for axes, name in zip(panels, names, strict=True):
                _draw_groups(axes, name, rows, methods)
        for axes, name in zip(grid[0], names, strict=True):
            axes.set_title(name)
        _draw_legend(figure, across=across)
    return figure


def _draw_groups(axes: Axes, name: str, rows: Sequence[SetScores], methods: Sequence[str]) -> None:
    """Draw the scores of all methods, and their intervals if they have one, by a property."""
    of_property = [[group for group in row.breakdown if group.property == name] for row in rows]
    groups = list(dict.fromkeys(g.name for of_row in of_property for g in of_row))
    for row, of_row in zip(rows, of_property, strict=True):
        index = methods.index(row.method)
        mark, colour = MARKS[index % len(MARKS)], COLOURS[index % len(COLOURS)]
        shift = 0.5 * ((index + 0.5) / len(methods) - 0.5)  # side by side, within a group
        for group in of_row:
            x, (low, high) = groups.index(group.name) + shift, group.intervals[BROKEN_DOWN]
            axes.plot([x], [group.figures[BROKEN_DOWN]], mark, gid=row.method, color=colour)
            if math.isfinite(low):
                axes.vlines(x, low, high, color=colour, linewidth=0.8)
    axes.set_xticks(range(len(groups)), [TICKS.get(group, group) for group in groups])
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.grid(visible=True, axis="y")

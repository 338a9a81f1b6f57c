"""Scores as files: CSV at full precision, Markdown and LaTeX to print; and the terminal's table."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from class_jax.evaluation.comparison import Comparison
from class_jax.evaluation.markup import LATEX_HEAD, to_latex, to_markdown
from class_jax.evaluation.protocols import Figures
from class_jax.evaluation.scoring import SetScores
from class_jax.evaluation.statistics import Interval
from class_jax.evaluation.summary import (
    DIGITS,
    build_comparisons,
    build_tables,
    format_number,
    get_figures,
    note_coverage,
    split_names,
)
from class_jax.files import atomic_write, write_csv
from class_jax.text import printable

LABELS = ("set", "method", "images", "protocol")
COMPARISON_COLUMNS = (
    *("set", "protocol", "measure", "method", "against", "images"),
    *("difference", "low", "high", "p", "p_holm", "verdict"),
)
BREAKDOWN_COLUMNS = ("set", "method", "protocol", "property", "group", "from", "to", "images")
CURVE_COLUMNS = ("set", "method", "protocol", "threshold")
HOW_TO_READ = """# Comparison

Each method is held against each other one on the same images of a set. It is *better* or *worse* if
two things agree: the 95 % interval of the difference (paired bootstrap over the images) excludes 0,
and the Wilcoxon signed-rank test, corrected by Holm over the pairs, rejects at 5 %. Otherwise the
two are *not distinguishable* on this set.
"""
NOTHING = "\nThere are no two methods that were measured on the same images, two or more.\n"


def write_tables(
    folder: Path, scores: Sequence[SetScores], comparisons: Sequence[Comparison] = ()
) -> None:
    """Write all tables, each atomically; those in CSV hold full precision.

    Raises:
      UserError: a file cannot be written.
    """
    names = tuple(scores[0].total.figures())
    bounds = tuple(f"{name}_{end}" for name in names for end in ("low", "high"))
    rows = [
        (*_label(row), *_format_figures(row.total.figures()), *_format_intervals(row, names))
        for row in scores
    ]
    write_csv(folder / "results.csv", (*LABELS, *names, *bounds), rows)
    write_csv(
        folder / "per_image.csv",
        ("set", "method", "image", "protocol", *names),
        (
            (row.set_name, row.method, name, row.protocol, *_format_figures(figures))
            for row in scores
            for name, figures in row.per_image.items()
        ),
    )
    write_csv(folder / "comparison.csv", COMPARISON_COLUMNS, map(_format_comparison, comparisons))
    write_csv(
        folder / "breakdown.csv", (*BREAKDOWN_COLUMNS, *names, *bounds), _list_groups(scores, names)
    )
    curves = tuple(scores[0].total.curves())
    write_csv(folder / "curves.csv", (*CURVE_COLUMNS, *curves), _list_points(scores))
    tables = list(build_tables(scores, comparisons))
    compared = "".join(map(to_markdown, build_comparisons(comparisons)))
    coverage = note_coverage(scores).strip()
    for name, text in (
        ("results.md", "\n".join(["# Results", *map(to_markdown, tables)])),
        ("results.tex", "\n".join([LATEX_HEAD, *map(to_latex, tables)])),
        ("comparison.md", f"{HOW_TO_READ}{compared or NOTHING}\n{coverage}\n"),
    ):
        with atomic_write(folder / name) as partial:
            partial.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def format_table(scores: Sequence[SetScores]) -> str:
    """Return plain text tables of the figures to four decimals, nine of them side by side."""
    names = split_names(list(scores[0].total.figures()))
    return "\n\n".join(_format_part(scores, part) for part in names)


def _format_part(scores: Sequence[SetScores], names: Sequence[str]) -> str:
    """Return a plain text table of some figures."""
    columns = (*LABELS, *names)
    lines: list[tuple[str, ...]] = [columns]
    for row in scores:
        figures = get_figures(row)
        cells = (format_number(figures[name], DIGITS) for name in names)
        lines.append((*map(printable, _label(row)), *cells))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_align(line, columns, widths) for line in lines)


def _align(cells: Sequence[str], columns: Sequence[str], widths: Sequence[int]) -> str:
    """Pad cells so that names align left and numbers right."""
    names = ("set", "method", "protocol")
    return "  ".join(
        cell.ljust(width) if column in names else cell.rjust(width)
        for column, cell, width in zip(columns, cells, widths, strict=True)
    )


def _label(row: SetScores) -> tuple[str, str, str, str]:
    """Return the first cells of a row of results."""
    return row.set_name, row.method, str(row.total.images), row.protocol


def _format_figures(figures: Figures) -> list[str]:
    return [repr(value) for value in figures.values()]


def _format_intervals(row: SetScores, names: Sequence[str]) -> list[str]:
    """Return the bounds of each figure, empty where there is no interval."""
    intervals = row.statistics.intervals() if row.statistics else {}
    return _format_bounds(intervals.get(name, (math.nan, math.nan)) for name in names)


def _format_bounds(intervals: Iterable[Interval]) -> list[str]:
    return ["" if math.isnan(bound) else repr(bound) for pair in intervals for bound in pair]


def _format_comparison(found: Comparison) -> list[str]:
    """Return the row of a pair of methods."""
    label = found.set_name, found.protocol, found.measure, found.method, found.other
    tests = [repr(value) for value in (found.p, found.p_holm)]
    bounds = _format_bounds([found.interval])
    return [*label, str(found.images), repr(found.difference), *bounds, *tests, found.verdict]


def _list_groups(scores: Iterable[SetScores], names: Sequence[str]) -> Iterator[list[str]]:
    """Yield the rows of breakdown.csv."""
    for row in scores:
        for group in row.breakdown:
            label = row.set_name, row.method, row.protocol, group.property, group.group
            facts = f"{group.low:.6g}", f"{group.high:.6g}", str(group.images)
            bounds = _format_bounds(group.intervals[name] for name in names)
            yield [*label, *facts, *_format_figures(group.figures), *bounds]


def _list_points(scores: Iterable[SetScores]) -> Iterator[list[str]]:
    """Yield the rows of curves.csv, the threshold 0 first."""
    for row in scores:
        curves = [curve[::-1].tolist() for curve in row.total.curves().values()]
        for threshold, values in enumerate(zip(*curves, strict=True)):
            yield [row.set_name, row.method, row.protocol, str(threshold), *map(repr, values)]

"""Scores as files: CSV at full precision, Markdown and LaTeX to print; and the terminal's table."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from class_jax.evaluation.comparison import Comparison
from class_jax.evaluation.printed import (
    LABELS,
    build_comparisons,
    build_tables,
    describe,
    note_sets,
    print_figures,
    split_names,
)
from class_jax.evaluation.protocols import Figures
from class_jax.evaluation.scoring import SetScores
from class_jax.evaluation.statistics import NO_INTERVAL, Interval
from class_jax.evaluation.table import LATEX_HEAD, to_latex, to_markdown, to_text
from class_jax.files import atomic_write, write_csv

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
    names = scores[0].total.names
    bounds = [f"{name}_{end}" for name in names for end in ("low", "high")]
    lists = (
        ("results", [*LABELS, *names, *bounds], _list_results(scores)),
        ("per_image", ["set", "method", "image", "protocol", *names], _list_images(scores)),
        ("comparison", COMPARISON_COLUMNS, map(_list_comparison, comparisons)),
        ("breakdown", [*BREAKDOWN_COLUMNS, *names, *bounds], _list_groups(scores)),
        (
            "curves",
            ["set", "method", "protocol", "threshold", *scores[0].total.curves()],
            _list_points(scores),
        ),
    )
    for name, columns, rows in lists:
        write_csv(folder / f"{name}.csv", columns, rows)
    tables = list(build_tables(scores, comparisons))
    compared = "".join(map(to_markdown, build_comparisons(comparisons)))
    remarks = " ".join(note_sets(scores))
    for name, text in (
        ("results.md", "\n".join(["# Results", *map(to_markdown, tables)])),
        ("results.tex", "\n".join([LATEX_HEAD, *map(to_latex, tables)])),
        ("comparison.md", f"{HOW_TO_READ}{compared or NOTHING}\n{remarks}\n"),
    ):
        with atomic_write(folder / name) as partial:
            partial.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def format_table(scores: Sequence[SetScores]) -> str:
    """Return plain text tables of the figures to four decimals, nine of them side by side."""
    parts = split_names(scores[0].total.names)
    return "\n\n".join(
        to_text([describe(row) | print_figures(row, names) for row in scores]) for names in parts
    )


def _list_results(scores: Iterable[SetScores]) -> Iterator[list[str]]:
    for row in scores:
        found = row.intervals()
        bounds = _bounds(found.get(name, NO_INTERVAL) for name in row.total.names)
        yield [*describe(row).values(), *_exact(row.total.figures()), *bounds]


def _list_images(scores: Iterable[SetScores]) -> Iterator[list[str]]:
    for row in scores:
        for name, figures in row.per_image.items():
            yield [row.set_name, row.method, name, row.protocol, *_exact(figures)]


def _list_comparison(found: Comparison) -> list[str]:
    label = found.set_name, found.protocol, found.measure, found.method, found.other
    tests = [repr(value) for value in (found.p, found.p_holm)]
    bounds = _bounds([found.interval])
    return [*label, str(found.images), repr(found.difference), *bounds, *tests, found.verdict]


def _list_groups(scores: Iterable[SetScores]) -> Iterator[list[str]]:
    for row in scores:
        for group in row.breakdown:
            label = row.set_name, row.method, row.protocol, group.property, group.group
            facts = f"{group.low:.6g}", f"{group.high:.6g}", str(group.images)
            bounds = _bounds(group.intervals[name] for name in row.total.names)
            yield [*label, *facts, *_exact(group.figures), *bounds]


def _list_points(scores: Iterable[SetScores]) -> Iterator[list[str]]:
    """Yield the rows of curves.csv, the threshold 0 first."""
    for row in scores:
        curves = [curve[::-1].tolist() for curve in row.total.curves().values()]
        for threshold, values in enumerate(zip(*curves, strict=True)):
            yield [row.set_name, row.method, row.protocol, str(threshold), *map(repr, values)]


def _exact(figures: Figures) -> list[str]:
    return [repr(value) for value in figures.values()]


def _bounds(intervals: Iterable[Interval]) -> list[str]:
    """Return the bounds of intervals, empty where there is none."""
    return ["" if math.isnan(bound) else repr(bound) for pair in intervals for bound in pair]

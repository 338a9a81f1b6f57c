"""Scores as files: CSV at full precision, Markdown and LaTeX to print."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from class_jax.evaluation.comparison import Comparison
from class_jax.evaluation.markup import LATEX_HEAD, Row, to_csv, to_latex, to_markdown
from class_jax.evaluation.printed import build_comparisons, build_tables, describe, note_sets
from class_jax.evaluation.scoring import SetScores
from class_jax.evaluation.statistics import Interval
from class_jax.files import atomic_write

NOTHING = "\nThere are no two methods that were measured on the same images, two or more.\n"


def write_tables(
    folder: Path, scores: Sequence[SetScores], comparisons: Sequence[Comparison] = ()
) -> None:
    """Write all tables, each atomically; those in CSV hold full precision.

    Raises:
      UserError: a file cannot be written.
    """
    tables = list(build_tables(scores, comparisons))
    compared = "".join(map(to_markdown, build_comparisons(comparisons)))
    files = {
        "results.csv": to_csv(map(_list_figures, scores)),
        "per_image.csv": to_csv(chain.from_iterable(map(_list_images, scores))),
        "comparison.csv": to_csv(map(Comparison._asdict, comparisons), Comparison._fields),
        "breakdown.csv": to_csv(chain.from_iterable(map(_list_groups, scores))),
        "curves.csv": to_csv(chain.from_iterable(map(_list_points, scores))),
        "results.md": "\n".join(["# Results", *map(to_markdown, tables)]),
        "results.tex": "\n".join([LATEX_HEAD, *map(to_latex, tables)]),
        "comparison.md": f"# Comparison\n{compared or NOTHING}\n{' '.join(note_sets(scores))}",
    }
    for name, text in files.items():
        with atomic_write(folder / name) as partial:
            partial.write_bytes((text.rstrip("\n") + "\n").encode())


def _list_figures(row: SetScores) -> Row:
    return describe(row) | row.total.figures() | _bounds(row.statistics.intervals())


def _list_images(row: SetScores) -> Iterator[Row]:
    for name, figures in row.per_image.items():
        label = {"set": row.set_name, "method": row.method, "image": name}
        yield {**label, "protocol": row.protocol, **figures}


def _list_groups(row: SetScores) -> Iterator[Row]:
    for group in row.breakdown:
        yield {
            **_label(row),
            **{"property": group.property, "group": group.name},
            **{"from": f"{group.low:.6g}", "to": f"{group.high:.6g}", "images": group.images},
            **group.figures,
            **_bounds(group.intervals),
        }


def _list_points(row: SetScores) -> Iterator[Row]:
    """Yield the rows of curves.csv, the threshold 0 first."""
    curves = row.total.curves()
    for threshold, values in enumerate(zip(*(c[::-1] for c in curves.values()), strict=True)):
        yield {**_label(row), "threshold": threshold, **dict(zip(curves, values, strict=True))}


def _label(row: SetScores) -> Row:
    return {"set": row.set_name, "method": row.method, "protocol": row.protocol}


def _bounds(intervals: Mapping[str, Interval]) -> dict[str, float]:
    """Return the columns of intervals, those of the figures in turn."""
    return {
        f"{name}_{end}": bound
        for name, interval in intervals.items()
        for end, bound in zip(("low", "high"), interval, strict=True)
    }

"""Scores as a table for the terminal and as results.csv."""

from collections.abc import Sequence
from pathlib import Path

from class_jax.evaluation.protocols import FIGURES
from class_jax.evaluation.scores import SetScores
from class_jax.files import write_csv
from class_jax.text import printable

COLUMNS = ("set", "method", "images", "protocol", *FIGURES)


def format_table(rows: Sequence[SetScores]) -> str:
    """A plain text table of COLUMNS, figures to four decimals, a line for each row."""
    lines = [
        COLUMNS,
        *(
            (*map(printable, _labels(row)), *(f"{value:.4f}" for value in _figures(row)))
            for row in rows
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_align(line, widths) for line in lines)


def write_results_csv(path: Path, rows: Sequence[SetScores]) -> None:
    """Write COLUMNS at full precision, a line for each row; whole or not at all.

    Raises:
      UserError: the file cannot be written.
    """
    write_csv(path, COLUMNS, ((*_labels(row), *map(repr, _figures(row))) for row in rows))


def _labels(row: SetScores) -> tuple[str, str, str, str]:
    return row.set_name, row.method, str(row.total.images), row.protocol


def _figures(row: SetScores) -> list[float]:
    figures = row.total.figures()
    return [figures[name] for name in FIGURES]


def _align(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Words to the left, numbers to the right."""
    words = {COLUMNS.index(name) for name in ("set", "method", "protocol")}
    padded = (
        cell.ljust(width) if index in words else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded)

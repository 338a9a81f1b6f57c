"""Scores as a table for the terminal and as results.csv."""

import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from class_jax.errors import UserError
from class_jax.evaluation.evaluate import SetScores
from class_jax.evaluation.protocols import FIGURES

COLUMNS = ("set", "method", "images", "protocol", *FIGURES)


def format_table(rows: Sequence[SetScores]) -> str:
    """A plain text table of COLUMNS, figures to four decimals, a line for each row."""
    lines = [
        COLUMNS,
        *((*_labels(row), *(f"{value:.4f}" for value in _figures(row))) for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_align(line, widths) for line in lines)


def write_results_csv(path: Path, rows: Sequence[SetScores]) -> None:
    """Write COLUMNS at full precision, a line for each row; whole or not at all.

    Raises:
      UserError: the file cannot be written.
    """
    with written_whole(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((*_labels(row), *map(repr, _figures(row))) for row in rows)


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a name to write to, which becomes `path` only once all is written.

    Raises:
      UserError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): "
            "free some space, or choose a folder that you may write to."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


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

"""Scores as tables: results.csv, per_image.csv, results.md, results.tex and the terminal's."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from class_jax.evaluation.markup import LATEX_HEAD, Table, to_latex, to_markdown
from class_jax.evaluation.protocols import FIGURES, MATLAB, PYSOD, PYSOD_VERSION
from class_jax.evaluation.published import COLUMNS, TestSet, find_test_set, get_title
from class_jax.evaluation.scoring import SetScores
from class_jax.files import atomic_write, write_csv
from class_jax.text import printable

RESULTS_COLUMNS = ("set", "method", "images", "protocol", *FIGURES)
PER_IMAGE_COLUMNS = ("set", "method", "image", "protocol", *FIGURES)
LOWER_IS_BETTER = {"MAE"}
SHORT = {"adpF": "F", "adpE": "E"}  # the headings of the paper's Table 1
DESCRIPTIONS = {
    PYSOD: f"PySODMetrics {PYSOD_VERSION}",
    MATLAB: "as the scripts behind published figures",
}
NO_VALUE = "–"


def write_tables(folder: Path, scores: Sequence[SetScores]) -> None:
    """Write results.csv, per_image.csv, results.md and results.tex, each atomically.

    results.csv and per_image.csv hold full precision.

    Raises:
      UserError: a file cannot be written.
    """
    write_csv(
        folder / "results.csv",
        RESULTS_COLUMNS,
        ((*_label(row), *map(repr, row.total.figures().values())) for row in scores),
    )
    write_csv(
        folder / "per_image.csv",
        PER_IMAGE_COLUMNS,
        (
            (row.set_name, row.method, name, row.protocol, *map(repr, figures.values()))
            for row in scores
            for name, figures in row.per_image.items()
        ),
    )
    tables = list(_build_tables(scores))
    for name, text in (
        ("results.md", "\n".join(["# Results", *map(to_markdown, tables)])),
        ("results.tex", "\n".join([LATEX_HEAD, *map(to_latex, tables)])),
    ):
        with atomic_write(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")


def format_table(scores: Sequence[SetScores]) -> str:
    """Return a plain text table of RESULTS_COLUMNS, figures to four decimals."""
    lines: list[tuple[str, ...]] = [RESULTS_COLUMNS]
    for row in scores:
        figures = (_format_number(value, 4) for value in _figures(row))
        lines.append((*map(printable, _label(row)), *figures))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_align(line, widths) for line in lines)


def _label(row: SetScores) -> tuple[str, str, str, str]:
    """Return the first cells of a row of results."""
    return row.set_name, row.method, str(row.total.images), row.protocol


def _align(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Pad cells so that names align left and numbers right."""
    names = ("set", "method", "protocol")
    return "  ".join(
        cell.ljust(width) if column in names else cell.rjust(width)
        for column, cell, width in zip(RESULTS_COLUMNS, cells, widths, strict=True)
    )


def _build_tables(scores: Sequence[SetScores]) -> Iterator[Table]:
    """Yield the tables of each protocol."""
    for protocol in dict.fromkeys(row.protocol for row in scores):
        rows = [row for row in scores if row.protocol == protocol]
        yield _build_results(protocol, rows)
        if any(find_test_set(row.set_name) for row in rows):
            yield _build_comparison(protocol, rows)


def _build_results(protocol: str, scores: Sequence[SetScores]) -> Table:
    """Build a row for each set and method, the best method of a set in bold."""
    rows: list[list[str]] = []
    bold: set[tuple[int, int]] = set()
    for set_name in dict.fromkeys(row.set_name for row in scores):
        of_set = [row for row in scores if row.set_name == set_name]
        values = [_figures(row) for row in of_set]
        if len(of_set) > 1 and _have_same_images(of_set):
            best = _find_best(values, FIGURES, digits=4)
            bold |= {(len(rows) + row, 3 + column) for row, column in best}
        for row, numbers in zip(of_set, values, strict=True):
            cells = [_format_number(number, 4) for number in numbers]
            rows.append([get_title(set_name), row.method, str(row.total.images), *cells])
    columns = ["set", "method", "images", *FIGURES]
    note = "Higher is better, but for MAE. In bold: the best of a set." + _note_coverage(scores)
    return Table(_format_title(protocol), note, [("", len(columns))], columns, rows, bold)


def _figures(row: SetScores) -> list[float | None]:
    """Return the figures, or none if no mask of the set has a salient pixel."""
    return [value if row.has_salient else None for value in row.total.figures().values()]


def _have_same_images(rows: Sequence[SetScores]) -> bool:
    """Return whether the methods of a set were measured on the same images."""
    return all(row.per_image.keys() == rows[0].per_image.keys() for row in rows)


def _note_coverage(scores: Sequence[SetScores]) -> str:
    """Return remarks on sets whose scores are not comparable or say nothing."""
    text = ""
    for set_name in dict.fromkeys(row.set_name for row in scores):
        of_set = [row for row in scores if row.set_name == set_name]
        if not _have_same_images(of_set):
            text += f" {get_title(set_name)}: the methods were measured on different images."
        measured = len(of_set[0].per_image)
        if _have_same_images(of_set) and measured < of_set[0].set_size:
            text += (
                f" {get_title(set_name)}: measured on the {measured} of {of_set[0].set_size} "
                "images that all methods have."
            )
        if not of_set[0].has_salient:
            text += f" {get_title(set_name)}: no mask has a salient pixel."
    return text


def _build_comparison(protocol: str, scores: Sequence[SetScores]) -> Table:
    """Build a row for each method, measured or published, as the paper's Table 1."""
    sets = {row.set_name: test_set for row in scores if (test_set := find_test_set(row.set_name))}
    values: dict[str, list[float | None]] = {}
    for position, (set_name, test_set) in enumerate(sets.items()):
        measured: dict[str, tuple[float | None, ...]] = {}
        for row in (row for row in scores if row.set_name == set_name):
            figures = dict(zip(FIGURES, _figures(row), strict=True))
            measured[row.method] = tuple(figures[name] for name in COLUMNS)
        for name in measured.keys() & test_set.scores.keys():  # a folder of such a name
            measured[f"{name} (measured)"] = measured.pop(name)
        for method, numbers in (measured | test_set.scores).items():
            cells = values.setdefault(method, [None] * (len(sets) * len(COLUMNS)))
            cells[position * len(COLUMNS) : (position + 1) * len(COLUMNS)] = numbers
    published = {name for test_set in sets.values() for name in test_set.scores}
    methods = sorted(values, key=lambda method: method in published)  # measured ones first
    best = _find_best([values[method] for method in methods], COLUMNS * len(sets), digits=3)
    return Table(
        f"{_format_title(protocol)}: beside published figures",
        "F and E are adaptive. Published figures are as printed, by the protocol matlab."
        + "".join(_note_other_count(row, sets) for row in scores),
        [("", 1), *((test_set.title, len(COLUMNS)) for test_set in sets.values())],
        ["method", *(SHORT.get(name, name) for name in COLUMNS * len(sets))],
        [
            # As the paper prints them: .856
            [name, *(_format_number(value, 3).replace("0.", ".", 1) for value in values[name])]
            for name in methods
        ],
        {(row, column + 1) for row, column in best},
    )


def _note_other_count(row: SetScores, sets: dict[str, TestSet]) -> str:
    """Return a remark if the number of images is not that of the published set."""
    test_set = sets.get(row.set_name)
    if test_set is None or row.total.images == test_set.images:
        return ""
    return (
        f" {row.method} on {test_set.title}: {row.total.images} images, and the set has "
        f"{test_set.images}."
    )


def _find_best(
    rows: Sequence[Sequence[float | None]], columns: Sequence[str], *, digits: int
) -> Iterator[tuple[int, int]]:
    """Yield (row, column) of the best values, all of them that print alike."""
    for column, name in enumerate(columns):
        rounded = {
            index: round(value, digits)
            for index, row in enumerate(rows)
            if (value := row[column]) is not None and not math.isnan(value)
        }
        if rounded:
            best = (min if name in LOWER_IS_BETTER else max)(rounded.values())
            yield from ((index, column) for index, value in rounded.items() if value == best)


def _format_title(protocol: str) -> str:
    """Return a table's title."""
    return f"Protocol {protocol} ({DESCRIPTIONS[protocol]})"


def _format_number(value: float | None, digits: int) -> str:
    """Return a number, or a dash if there is none."""
    return NO_VALUE if value is None else f"{value:.{digits}f}"

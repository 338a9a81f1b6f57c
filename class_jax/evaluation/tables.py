"""results.md and results.tex: tables that a paper can print, each named by its protocol."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from class_jax.evaluation.protocols import FIGURES, MATLAB, PYSOD, PYSOD_VERSION
from class_jax.evaluation.published import COLUMNS, TestSet, published_set, title_of
from class_jax.evaluation.scores import SetScores
from class_jax.files import atomic_write
from class_jax.text import printable

LOWER_IS_BETTER = {"MAE"}
SHORT = {"adpF": "F", "adpE": "E"}  # as the paper's Table 1 heads its columns
DESCRIPTIONS = {
    PYSOD: f"PySODMetrics {PYSOD_VERSION}",
    MATLAB: "as the scripts behind published figures",
}
NO_VALUE = "–"


@dataclasses.dataclass
class Table:
    """Cells of text, some of them in bold."""

    title: str
    note: str
    groups: list[tuple[str, int]]  # headings over so many columns each; none: ("", 1)
    columns: list[str]
    rows: list[list[str]]
    bold: set[tuple[int, int]]  # (row, column)


def write_tables(folder: Path, scores: Sequence[SetScores]) -> None:
    """Write results.md and results.tex; UserError where that cannot be done."""
    tables = list(_tables(scores))
    for name, text in (
        ("results.md", "\n".join(["# Results", *map(_markdown, tables)])),
        ("results.tex", "\n".join([_LATEX_HEAD, *map(_latex, tables)])),
    ):
        with atomic_write(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")


def _tables(scores: Sequence[SetScores]) -> Iterator[Table]:
    for protocol in dict.fromkeys(row.protocol for row in scores):
        rows = [row for row in scores if row.protocol == protocol]
        yield _all_figures(protocol, rows)
        if any(published_set(row.set_name) for row in rows):
            yield _beside_published(protocol, rows)


def _all_figures(protocol: str, scores: Sequence[SetScores]) -> Table:
    """A row for each set and method; the best method of a set in bold, if it has several."""
    rows: list[list[str]] = []
    bold: set[tuple[int, int]] = set()
    for set_name in dict.fromkeys(row.set_name for row in scores):
        of_set = [row for row in scores if row.set_name == set_name]
        values = [list(row.total.figures().values()) for row in of_set]
        if len(of_set) > 1:
            best = _best(values, FIGURES, digits=4)
            bold |= {(len(rows) + row, 3 + column) for row, column in best}
        for row, numbers in zip(of_set, values, strict=True):
            cells = [_number(number, 4) for number in numbers]
            rows.append([title_of(set_name), row.method, str(row.total.images), *cells])
    columns = ["set", "method", "images", *FIGURES]
    note = "Higher is better, but for MAE. In bold: the best of a set."
    return Table(_title(protocol), note, [("", len(columns))], columns, rows, bold)


def _beside_published(protocol: str, scores: Sequence[SetScores]) -> Table:
    """A row for each method, measured and published, with the columns of Table 1 for each set."""
    known = {row.set_name: published_set(row.set_name) for row in scores}
    sets = {name: each for name, each in known.items() if each}
    values: dict[str, list[float | None]] = {}
    for position, (set_name, published) in enumerate(sets.items()):
        figures = {row.method: row.total.figures() for row in scores if row.set_name == set_name}
        measured = {name: tuple(row[c] for c in COLUMNS) for name, row in figures.items()}
        for name in measured.keys() & published.scores.keys():  # somebody calls a folder so
            measured[f"{name} (measured)"] = measured.pop(name)
        for method, numbers in (measured | published.scores).items():
            row = values.setdefault(method, [None] * (len(sets) * len(COLUMNS)))
            row[position * len(COLUMNS) : (position + 1) * len(COLUMNS)] = numbers
    printed = {name for each in sets.values() for name in each.scores}
    ordered = sorted(values, key=lambda method: method in printed)  # measured ones first
    best = _best([values[method] for method in ordered], COLUMNS * len(sets), digits=3)
    return Table(
        f"{_title(protocol)}: beside published figures",
        "F and E are adaptive. Published figures are as printed, by the protocol matlab."
        + "".join(_partly(row, sets) for row in scores),
        [("", 1), *((each.title, len(COLUMNS)) for each in sets.values())],
        ["method", *(SHORT.get(name, name) for name in COLUMNS * len(sets))],
        [
            # As the paper prints them: .856
            [method, *(_number(each, 3).replace("0.", ".", 1) for each in values[method])]
            for method in ordered
        ],
        {(row, column + 1) for row, column in best},
    )


def _partly(row: SetScores, sets: dict[str, TestSet]) -> str:
    """A remark where not the published images were scored."""
    published = sets.get(row.set_name)
    if published is None or row.total.images == published.images:
        return ""
    return (
        f" {row.method} on {published.title}: {row.total.images} images, where the set has "
        f"{published.images}."
    )


def _best(
    rows: Sequence[Sequence[float | None]], columns: Sequence[str], *, digits: int
) -> Iterator[tuple[int, int]]:
    """Where the best value of each column stands; several places where they print alike."""
    for column, name in enumerate(columns):
        rounded = {
            index: round(value, digits)
            for index, row in enumerate(rows)
            if (value := row[column]) is not None and not math.isnan(value)
        }
        if rounded:
            best = (min if name in LOWER_IS_BETTER else max)(rounded.values())
            yield from ((index, column) for index, value in rounded.items() if value == best)


def _title(protocol: str) -> str:
    return f"Protocol {protocol} ({DESCRIPTIONS[protocol]})"


def _number(value: float | None, digits: int) -> str:
    return NO_VALUE if value is None else f"{value:.{digits}f}"


def _markdown(table: Table) -> str:
    headings = [name for name, width in table.groups for _ in range(width)]
    columns = [
        f"{group} {name}".strip() for group, name in zip(headings, table.columns, strict=True)
    ]
    body = _cells(table, _escaped, "**{}**")
    rule = ["---" if _is_text(table, j) else "---:" for j in range(len(columns))]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in (columns, rule, *body))
    return f"\n## {table.title}\n\n{lines}\n\n{_escaped(table.note)}\n"


def _cells(table: Table, escape: Callable[[str], str], bold: str) -> list[list[str]]:
    """The cells as a language writes them."""
    return [
        [
            bold.format(escape(cell)) if (row, column) in table.bold else escape(cell)
            for column, cell in enumerate(cells)
        ]
        for row, cells in enumerate(table.rows)
    ]


def _escaped(cell: str) -> str:
    """Names of folders may hold Markdown's own signs."""
    return "".join(
        f"\\{letter}" if letter in "\\|*_`<>[]$~#" else letter for letter in printable(cell)
    )


def _is_text(table: Table, column: int) -> bool:
    return table.columns[column] in ("set", "method")


_LATEX_HEAD = r"% \usepackage{booktabs,graphicx}"
_LATEX_SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
}


def _latex(table: Table) -> str:
    align = "".join("l" if _is_text(table, j) else "r" for j in range(len(table.columns)))
    body = _cells(table, _tex, r"\textbf{{{}}}")
    lines = [
        "",
        r"\begin{table*}",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_tex(table.title)}. {_tex(table.note)}}}",
        # No wider than the page.
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        *_latex_groups(table.groups),
        *_latex_rows([[_tex(name) for name in table.columns]]),
        r"\midrule",
        *_latex_rows(body),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table*}",
        "",
    ]
    return "\n".join(lines)


def _latex_groups(groups: Sequence[tuple[str, int]]) -> Iterator[str]:
    if any(name for name, _ in groups):
        cells = [rf"\multicolumn{{{width}}}{{c}}{{{_tex(name)}}}" for name, width in groups]
        yield from _latex_rows([cells])


def _latex_rows(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    return (rf"{' & '.join(row)} \\" for row in rows)


def _tex(text: str) -> str:
    # A row that starts with [ or * would be taken for an option of the line before.
    start = "{}" if text.startswith(("[", "*")) else ""
    return start + "".join(_LATEX_SIGNS.get(letter, letter) for letter in printable(text))

"""Tables as CSV, Markdown, LaTeX and plain text; a row is a dictionary of cells by column."""

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from class_jax.text import printable

Row = Mapping[Any, Any]  # by column: its name, or the heading of a group of columns and its name
LEFT = ("set", "method", "protocol", "against", "measure", "verdict")  # columns of names
LATEX_HEAD = r"% \usepackage{booktabs,graphicx}"
LATEX_SIGNS = str.maketrans({
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
})  # fmt: skip


class Bold(str):
    """The text of a cell in bold."""


class Table(NamedTuple):
    """Rows of the same columns, at least one, to be printed."""

    title: str
    note: str
    rows: Sequence[Row]


def to_csv(rows: Iterable[Row], columns: Sequence[str] = ()) -> str:
    """Return rows as CSV, numbers at full precision.

    Args:
      rows: of the same columns.
      columns: those of a table that may have no rows.
    """
    rows = list(rows)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows[0] if rows else columns)
    for row in rows:
        writer.writerow(printable(c) if isinstance(c, str) else c for c in row.values())
    return file.getvalue()


def to_markdown(table: Table) -> str:
    """Return the table as a section of a Markdown document."""
    columns = [c if isinstance(c, str) else " ".join(c) for c in table.rows[0]]
    rule = ["---" if column in LEFT else "---:" for column in columns]
    body = [_format_cells(row, _escape_markdown, "**{}**") for row in table.rows]
    lines = (f"| {' | '.join(row)} |" for row in (map(_escape_markdown, columns), rule, *body))
    title, note = _escape_markdown(table.title), _escape_markdown(table.note)
    return "\n".join(["", f"## {title}", "", *lines, "", note, ""])


def to_latex(table: Table) -> str:
    """Return the table as a LaTeX `table*`, at most as wide as the page."""
    columns = [column if isinstance(column, tuple) else ("", column) for column in table.rows[0]]
    head = [[_escape_latex(name) for _, name in columns]]
    if any(group for group, _ in columns):
        groups = [(g, len(list(of))) for g, of in itertools.groupby(columns, lambda c: c[0])]
        head.insert(0, [rf"\multicolumn{{{n}}}{{c}}{{{_escape_latex(g)}}}" for g, n in groups])
    body = [_format_cells(row, _escape_latex, r"\textbf{{{}}}") for row in table.rows]
    head_lines, body_lines = (
        "\n".join(rf"{' & '.join(cells)} \\" for cells in rows) for rows in (head, body)
    )
    return rf"""
\begin{{table*}}
\centering\scriptsize\setlength{{\tabcolsep}}{{3pt}}
\caption{{{_escape_latex(table.title)}. {_escape_latex(table.note)}}}
\resizebox{{\ifdim\width>\linewidth\linewidth\else\width\fi}}{{!}}{{%
\begin{{tabular}}{{{"".join("l" if name in LEFT else "r" for _, name in columns)}}}
\toprule
{head_lines}
\midrule
{body_lines}
\bottomrule
\end{{tabular}}}}
\end{{table*}}
"""


def to_text(rows: Sequence[Row]) -> str:
    """Return the rows as aligned columns of plain text."""
    lines = [list(rows[0]), *([printable(str(cell)) for cell in row.values()] for row in rows)]
    columns = []
    for name, *cells in zip(*lines, strict=True):
        width = max(map(len, (name, *cells)))
        adjust = str.ljust if name in LEFT else str.rjust
        columns.append([adjust(cell, width) for cell in (name, *cells)])
    return "\n".join(map("  ".join, zip(*columns, strict=True)))


def _format_cells(row: Row, escape: Callable[[str], str], bold: str) -> list[str]:
    """Return the cells escaped, and as `bold` formats them if they are."""
    return [
        bold.format(escape(cell)) if isinstance(cell, Bold) else escape(str(cell))
        for cell in row.values()
    ]


def _escape_markdown(text: str) -> str:
    """Replace Markdown's signs, which names of folders may hold, by escapes."""
    return re.sub(r"[\\|*_`<>\[\]$~#]", r"\\\g<0>", printable(text))


def _escape_latex(text: str) -> str:
    """Replace LaTeX's signs, which names of folders may hold, by escapes."""
    # A row that starts with [ or * would be read as an option of the line before.
    start = "{}" if text.startswith(("[", "*")) else ""
    return start + printable(text).translate(LATEX_SIGNS)

"""A table whose rows are dictionaries of cells, as Markdown, LaTeX and plain text."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence

from class_jax.text import printable

Column = str | tuple[str, str]  # its name, or the heading of a group of columns and its name
LEFT = ("set", "method", "protocol", "against", "measure", "verdict")  # columns of names
LATEX_HEAD = r"% \usepackage{booktabs,graphicx}"
_LATEX_SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
}


class Bold(str):
    """The text of a cell in bold."""


Row = Mapping[Column, str]


@dataclasses.dataclass
class Table:
    """Rows of the same columns."""

    title: str
    note: str
    rows: Sequence[Row]


def to_markdown(table: Table) -> str:
    """Return the table as a section of a Markdown document."""
    columns = [c if isinstance(c, str) else " ".join(c).strip() for c in table.rows[0]]
    rule = ["---" if column in LEFT else "---:" for column in columns]
    body = [_format_cells(row, _escape_markdown, "**{}**") for row in table.rows]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in (columns, rule, *body))
    return f"\n## {table.title}\n\n{lines}\n\n{_escape_markdown(table.note)}\n"


def to_latex(table: Table) -> str:
    """Return the table as a LaTeX `table*`, at most as wide as the page."""
    columns = [column if isinstance(column, tuple) else ("", column) for column in table.rows[0]]
    groups = [
        (name, len(list(of_group)))
        for name, of_group in itertools.groupby(columns, key=lambda column: column[0])
    ]
    headings = [rf"\multicolumn{{{n}}}{{c}}{{{_escape_latex(name)}}}" for name, n in groups]
    body = [_format_cells(row, _escape_latex, r"\textbf{{{}}}") for row in table.rows]
    lines = [
        "",
        r"\begin{table*}",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_escape_latex(table.title)}. {_escape_latex(table.note)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{''.join('l' if name in LEFT else 'r' for _, name in columns)}}}",
        r"\toprule",
        *([_latex_row(headings)] if any(name for name, _ in groups) else []),
        _latex_row([_escape_latex(name) for _, name in columns]),
        r"\midrule",
        *map(_latex_row, body),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table*}",
        "",
    ]
    return "\n".join(lines)


def to_text(rows: Sequence[Row]) -> str:
    """Return the rows as aligned columns of plain text."""
    columns = [str(column) for column in rows[0]]
    lines = [columns, *([printable(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in LEFT else cell.rjust(width)
            for column, cell, width in zip(columns, line, widths, strict=True)
        )
        for line in lines
    )


def _format_cells(row: Row, escape: Callable[[str], str], bold: str) -> list[str]:
    """Return the cells escaped, and as `bold` formats them if they are."""
    return [
        bold.format(escape(cell)) if isinstance(cell, Bold) else escape(cell)
        for cell in row.values()
    ]


def _escape_markdown(text: str) -> str:
    """Replace Markdown's signs, which names of folders may hold, by escapes."""
    return "".join(
        f"\\{letter}" if letter in "\\|*_`<>[]$~#" else letter for letter in printable(text)
    )


def _escape_latex(text: str) -> str:
    """Replace LaTeX's signs, which names of folders may hold, by escapes."""
    # A row that starts with [ or * would be read as an option of the line before.
    start = "{}" if text.startswith(("[", "*")) else ""
    return start + "".join(_LATEX_SIGNS.get(letter, letter) for letter in printable(text))


def _latex_row(cells: Sequence[str]) -> str:
    return rf"{' & '.join(cells)} \\"

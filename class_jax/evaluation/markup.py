"""Tables as Markdown and as LaTeX."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

from class_jax.text import printable

LATEX_HEAD = r"% \usepackage{booktabs,graphicx}"
_LATEX_SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
}


@dataclasses.dataclass
class Table:
    """Cells of text, some of them in bold."""

    title: str
    note: str
    groups: list[tuple[str, int]]  # headings above the columns, and how many each spans
    columns: list[str]
    rows: list[list[str]]
    bold: set[tuple[int, int]]  # (row, column)


def to_markdown(table: Table) -> str:
    """Return the table as a section of a Markdown document."""
    headings = [name for name, width in table.groups for _ in range(width)]
    columns = [
        f"{heading} {name}".strip() for heading, name in zip(headings, table.columns, strict=True)
    ]
    rule = ["---" if _is_text(name) else "---:" for name in table.columns]
    body = _format_cells(table, _escape_markdown, "**{}**")
    lines = "\n".join(f"| {' | '.join(row)} |" for row in (columns, rule, *body))
    return f"\n## {table.title}\n\n{lines}\n\n{_escape_markdown(table.note)}\n"


def to_latex(table: Table) -> str:
    """Return the table as a LaTeX `table*`, at most as wide as the page."""
    align = "".join("l" if _is_text(name) else "r" for name in table.columns)
    lines = [
        "",
        r"\begin{table*}",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_escape_latex(table.title)}. {_escape_latex(table.note)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        *_latex_groups(table.groups),
        *_latex_rows([[_escape_latex(name) for name in table.columns]]),
        r"\midrule",
        *_latex_rows(_format_cells(table, _escape_latex, r"\textbf{{{}}}")),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table*}",
        "",
    ]
    return "\n".join(lines)


def _format_cells(table: Table, escape: Callable[[str], str], bold: str) -> list[list[str]]:
    """Return the cells escaped, and in bold as `bold` formats them."""
    return [
        [
            bold.format(escape(cell)) if (row, column) in table.bold else escape(cell)
            for column, cell in enumerate(cells)
        ]
        for row, cells in enumerate(table.rows)
    ]


def _is_text(column: str) -> bool:
    """Return whether a column holds names, which are aligned to the left."""
    return column in ("set", "method", "against", "measure", "verdict")


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


def _latex_groups(groups: Sequence[tuple[str, int]]) -> Iterator[str]:
    """Yield the row of headings above the columns, if there are any."""
    if any(name for name, _ in groups):
        cells = [
            rf"\multicolumn{{{width}}}{{c}}{{{_escape_latex(name)}}}" for name, width in groups
        ]
        yield from _latex_rows([cells])


def _latex_rows(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield rows of cells as LaTeX."""
    return (rf"{' & '.join(row)} \\" for row in rows)

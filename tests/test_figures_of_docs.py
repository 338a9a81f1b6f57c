"""Tables of figures in README and docs are held to the rows of benchmarks/results.

Before a table stands a comment, a line for each row of the table:

    <!-- rows:
    FILE # NAME OF THE ROW # ours, peer, ratio
    -->

Each expression gives a number of the table's row in turn; several entries are divided by `;`. A
table without such a comment is of figures that were measured by hand, and its section says so with
the date, or computed.
"""

import json
import re

import pytest

from tests.program import ROOT

PAGES = ["README.md", *(f"docs/{name}.md" for name in ("results", "scaling", "evaluation"))]
RESULTS = ROOT / "benchmarks" / "results"
BY_HAND = re.compile(
    r"by hand,\s+(January|February|March|April|May|June|July|August|September|October|November"
    r"|December)\s+20\d\d"
)
NUMBER = re.compile(r"(?<![\w²])-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?|(?<![\w.])\.\d+")


def tables_of(text):
    """Each table with its section up to its end, and the lines of its comment or None."""
    for section in re.split(r"\n(?=## )", text):
        for match in re.finditer(r"(?:^\|.*\n)+", section, re.MULTILINE):
            before = section[: match.start()]
            comment = re.search(r"<!-- rows:\n((?:(?!-->).*\n)*)-->\n\n$", before)
            rows = [line.strip("|\n").split(" | ") for line in match[0].splitlines()[2:]]
            yield section, rows, comment and comment[1].splitlines()


def numbers_of(cells):
    """The numbers as printed, of all cells but the first."""
    text = " | ".join(cells[1:]).replace("²", "² ")
    return [number.replace(",", "") for number in NUMBER.findall(text)]


def computed(line):
    """The values of a line of a comment."""
    for entry in line.split(";"):
        file, name, expressions = (part.strip() for part in entry.split(" # "))
        rows = json.loads((RESULTS / f"{file}.json").read_text())
        (row,) = (row for row in rows if row["name"] == name)
        values = {key: row[key] for key in ("ours", "peer", "ratio")}
        for expression in expressions.split(", "):
            yield eval(expression, {}, values)


def as_printed(value, like):
    """A value with as many decimals as a printed number."""
    return f"{value:.{len(like.partition('.')[2])}f}"


TABLES = [
    pytest.param(*table, id=f"{page}, table {number}")
    for page in PAGES
    for number, table in enumerate(tables_of((ROOT / page).read_text()))
]


@pytest.mark.parametrize(("section", "rows", "comment"), TABLES)
def test_figures_are_those_of_rows_or_say_that_they_were_measured_by_hand(section, rows, comment):
    if comment is None:
        words = re.sub(r"`[^`]*`", "", " ".join(cell for row in rows for cell in row))
        is_measured = re.search(r"\d\.\d|(?<!\w)\.\d\d", words)
        if is_measured and "computed" not in section:
            assert BY_HAND.search(section), section[:300]
        return
    assert len(comment) == len(rows)
    for line, cells in zip(comment, rows, strict=True):
        printed, values = numbers_of(cells), list(computed(line))
        assert len(printed) == len(values), cells
        assert printed == [as_printed(v, p) for v, p in zip(values, printed, strict=True)], cells


def test_every_file_of_rows_says_when_and_where_it_was_measured():
    for path in RESULTS.glob("*.json"):
        for row in json.loads(path.read_text()):
            assert {"name", "device", "date", "commit", "versions"} <= row.keys(), path.name

"""The tables, read back cell by cell by other means."""

import csv
import dataclasses
from collections import Counter

import numpy as np
import pytest

from class_jax.errors import UserError
from class_jax.evaluation.comparison import Comparison
from class_jax.evaluation.printed import LABELS, format_table
from class_jax.evaluation.published import find_test_set
from class_jax.evaluation.scoring import SetScores
from class_jax.evaluation.statistics import Statistics
from class_jax.evaluation.tables import write_tables
from tests.evaluation.measurements import AVERAGED, FIGURES, measurement_of

CURVES = ("F", "E", "precision", "recall")
HEADING = "adpF,meanF,maxF,wF,S,adpE,meanE,maxE,MAE"


def scores(set_name, method, *, value, mae, images=1000, protocol="pysod"):
    """All figures are `value` but for MAE."""
    values = {name: mae if name == "MAE" else value for name in AVERAGED}
    curves = {name: np.full(256, value) for name in CURVES}
    total = measurement_of(values, curves, images=images, protocol=protocol)
    return SetScores(set_name, method, protocol, total, {}, {}, True, Counter())


def markdown_tables(folder):
    """Title → rows of cells, the heading first."""
    tables, title = {}, None
    for line in (folder / "results.md").read_text().splitlines():
        if line.startswith("## "):
            title = line[3:]
            tables[title] = []
        elif line.startswith("| ") and "---" not in line:
            tables[title].append([cell.strip() for cell in line.strip("|").split(" | ")])
    return tables


def test_best_of_each_set_in_bold(tmp_path):
    rows = [
        scores("toys", "A", value=0.5, mae=0.1),
        scores("toys", "B_2", value=0.50004, mae=0.2, images=3),
        scores("other", "A", value=0.9, mae=0.3),
    ]
    write_tables(tmp_path, rows)
    (title, table), (overview, _) = markdown_tables(tmp_path).items()
    assert title.startswith("Protocol pysod (PySODMetrics 1.")
    assert overview == f"{title}: all sets"
    assert table[0] == ["set", "method", "images", *FIGURES]
    assert table[1] == ["toys", "A", "1000", *["**0.5000**"] * 8, "**0.1000**"]
    assert table[2] == ["toys", "B\\_2", "3", *["**0.5000**"] * 8, "0.2000"]  # alike in print
    assert table[3] == ["other", "A", "1000", *["0.9000"] * 8, "0.3000"]  # nothing to beat
    latex = (tmp_path / "results.tex").read_text()
    assert r"toys & B\_2 & 3 & \textbf{0.5000}" in latex
    assert r"\caption{Protocol pysod (PySODMetrics" in latex
    assert latex.count(r"\begin{") == latex.count(r"\end{")


def test_published_rows_beside_ours(tmp_path):
    rows = [
        scores("duts_te", "CLASS", value=0.89, mae=0.034, images=5019),
        scores("ECSSD", "CLASS", value=0.8, mae=0.2, images=10),
        scores("toys", "CLASS", value=0.1, mae=0.9),
    ]
    write_tables(tmp_path, rows)
    tables = markdown_tables(tmp_path)
    table = next(table for title, table in tables.items() if "published" in title)
    columns = ("F", "S", "MAE", "E")
    assert table[0] == [
        "method",
        *(f"{s} {c}" for s in ("duts\\_te", "ECSSD", "toys") for c in columns),
    ]
    assert table[1][:9] == (
        ["CLASS", "**.890**", ".890", "**.034**", ".890", ".800", ".800", ".200", ".800"]
    )
    assert table[2][9:] == ["–"] * 4  # nothing is published on toys
    assert table[2][:5] == ["CLASS (published)", ".856", "**.894**", "**.034**", "**.909**"]
    banet = next(row for row in table if row[0].startswith("BANet"))
    assert banet[4] == banet[8] == "–"
    text = (tmp_path / "results.md").read_text()
    assert "CLASS on ECSSD: 10 images, and the set has 1000." in text
    assert "on duts" not in text
    assert r"& \multicolumn{4}{c}{duts\_te}" in (tmp_path / "results.tex").read_text()


def test_each_protocol_has_tables_of_its_own(tmp_path):
    rows = [
        scores("ecssd", "A", value=0.5, mae=0.1),
        scores("ecssd", "A", value=0.6, mae=0.1, protocol="matlab"),
    ]
    write_tables(tmp_path, rows)
    tables = markdown_tables(tmp_path)
    assert [title.split()[1] for title in tables] == ["pysod", "pysod", "matlab", "matlab"]
    assert [table[1][3] for table in tables.values()][::2] == ["0.5000", "0.6000"]


def test_undefined_figures_are_no_best_ones(tmp_path):
    rows = [
        scores("toys", "A", value=float("nan"), mae=0.1),
        scores("toys", "B", value=0.2, mae=0.1),
    ]
    write_tables(tmp_path, rows)
    (table,) = markdown_tables(tmp_path).values()
    assert (table[1][3], table[2][3]) == ("–", "**0.2000**")


@pytest.mark.parametrize("name", ["DUTS-TE", "duts_te", "DutsTE", "duts te"])
def test_sets_are_known_by_any_spelling(name):
    assert find_test_set(name).images == 5019


def test_published_figures():
    # Table 1 of the paper, CLASS with ResNet-50: F, S, MAE.
    expected = {
        "ECSSD": (0.933, 0.928, 0.033),
        "PASCAL-S": (0.849, 0.863, 0.059),
        "DUTS-TE": (0.856, 0.894, 0.034),
        "HKU-IS": (0.921, 0.923, 0.028),
        "DUT-OMRON": (0.774, 0.838, 0.052),
    }
    found = {name: find_test_set(name).scores["CLASS (published)"] for name in expected}
    assert {s: (row["adpF"], row["S"], row["MAE"]) for s, row in found.items()} == expected
    assert find_test_set("ecssd2") is None


def known_scores(set_name, images, per_image=()):
    """Sums whose figures are 1/3, 2/3, … by construction; curves fall from 2x to 0."""
    curves = np.outer([0.7, 0.8, 0.9, 0.9], np.linspace(2, 0, 256)) / 2
    total = measurement_of(KNOWN, dict(zip(CURVES, curves, strict=True)), images=images)
    return SetScores(
        set_name,
        "CLASS",
        "pysod",
        total,
        dict(per_image),
        {},
        True,
        Counter(),
    )


KNOWN = {
    **{"adpF": 1 / 3, "meanF": 0.35, "maxF": 0.7, "wF": 0.5, "S": 2 / 3},
    **{"adpE": 1 / 7, "meanE": 0.4, "maxE": 0.8, "MAE": 0.04},
}
IMAGES = {"a": dict.fromkeys(FIGURES, 0.1 + 0.2), "b,c": dict.fromkeys(FIGURES, 2 / 3)}
ROWS = [known_scores("ECSSD", 1000), known_scores("DUT-OMRON", 3, IMAGES)]


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_holds_full_precision(tmp_path):
    write_tables(tmp_path / "new", ROWS)
    path = tmp_path / "new" / "results.csv"
    lines = path.read_bytes().split(b"\n")
    assert lines[0].decode() == f"set,method,images,protocol,{HEADING}"
    first, second = rows_of(path)
    assert (first["set"], first["method"], first["protocol"]) == ("ECSSD", "CLASS", "pysod")
    assert (first["images"], second["images"]) == ("1000", "3")
    for name, value in KNOWN.items():
        assert float(first[name]) == pytest.approx(value, rel=1e-14)
        # Exactly the number that was computed, not one printed near it.
        assert float(second[name]) == ROWS[1].total.figures()[name]


def test_the_figures_of_every_image(tmp_path):
    write_tables(tmp_path, ROWS)
    path = tmp_path / "per_image.csv"
    assert path.read_text().splitlines()[0] == f"set,method,image,protocol,{HEADING}"
    rows = rows_of(path)
    assert [(row["set"], row["image"]) for row in rows] == [
        ("DUT-OMRON", "a"),
        ("DUT-OMRON", "b,c"),
    ]
    for row in rows:
        assert (row["method"], row["protocol"]) == ("CLASS", "pysod")
        assert {name: float(row[name]) for name in FIGURES} == IMAGES[row["image"]]


def test_csv_is_replaced_whole_or_not_at_all(tmp_path):
    write_tables(tmp_path, ROWS)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(AttributeError):
        write_tables(tmp_path, [*ROWS, None])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_csv_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"results.csv cannot be written \(.+\): free some space"):
        write_tables(tmp_path / "file", ROWS)


def test_table_of_the_terminal():
    table = format_table(ROWS)
    head, first, second = table.split("\n")
    assert head.split() == ["set", "method", "images", "protocol", *FIGURES]
    assert first.split()[:4] == ["ECSSD", "CLASS", "1000", "pysod"]
    assert second.split()[:4] == ["DUT-OMRON", "CLASS", "3", "pysod"]
    assert first.split()[4:] == [f"{KNOWN[name]:.4f}" for name in FIGURES]
    assert len(head) == len(first) == len(second)
    for name in ("images", "adpF", "MAE"):  # numbers end below their heading's end
        end = head.index(name) + len(name)
        assert first[end - 1].isdigit()
        assert first[end : end + 1] in ("", " ")


def test_scores_without_a_salient_pixel_are_dashes_and_never_bold(tmp_path):
    rows = [
        dataclasses.replace(known_scores("blank", 3), method=method, has_salient=False)
        for method in "AB"
    ]
    write_tables(tmp_path, rows)
    (table,) = markdown_tables(tmp_path).values()
    assert table[1:] == [["blank", method, "3", *["–"] * 9] for method in "AB"]
    assert "**" not in (tmp_path / "results.md").read_text()
    assert "blank: no mask has a salient pixel" in (tmp_path / "results.md").read_text()
    assert format_table(rows).splitlines()[1].split()[3:] == ["pysod", *["–"] * 9]


def test_methods_on_different_images_have_no_best(tmp_path):
    rows = [
        dataclasses.replace(known_scores("toys", 2), method=method, per_image=per_image)
        for method, per_image in (("A", IMAGES), ("B", {"a": IMAGES["a"]}))
    ]
    write_tables(tmp_path, rows)
    text = (tmp_path / "results.md").read_text()
    assert "**" not in text
    assert "measured on different images (A: 2, B: 1)" in text


def compared(measure, method, other, verdict, set_name="toys"):
    label = set_name, "pysod", measure, method, other, 1000
    return Comparison(*label, 0.01, -0.01, 0.0321, 0.2, 0.4, verdict)


def test_methods_that_are_not_distinguishable_from_the_best_are_bold_with_it(tmp_path):
    values = {"A": 0.9, "B": 0.8, "C": 0.7}
    rows = [scores("toys", method, value=v, mae=1 - v) for method, v in values.items()]
    comparisons = [
        compared("S", "A", "B", "not distinguishable"),
        compared("S", "A", "C", "better"),
        compared("S", "B", "C", "not distinguishable"),
        *(compared("wF", *pair, "better") for pair in ("AB", "AC", "BC")),
    ]
    write_tables(tmp_path, rows, comparisons)
    (table,) = markdown_tables(tmp_path).values()
    bold = {
        name: [row[1] for row in table[1:] if row[table[0].index(name)].startswith("**")]
        for name in FIGURES
    }
    assert bold == {name: ["A", "B"] if name == "S" else ["A"] for name in FIGURES}


def test_comparisons_are_written_in_words_and_numbers(tmp_path):
    comparisons = [compared("S", "A", "B", "better"), compared("MAE", "A", "B", "worse")]
    write_tables(tmp_path, [scores("toys", m, value=0.5, mae=0.1) for m in "AB"], comparisons)
    rows = rows_of(tmp_path / "comparison.csv")
    assert rows[0] == {
        "set": "toys", "protocol": "pysod", "measure": "S", "method": "A", "against": "B",
        "images": "1000", "difference": "0.01", "low": "-0.01", "high": "0.0321", "p": "0.2",
        "p_holm": "0.4", "verdict": "better",
    }  # fmt: skip
    text = (tmp_path / "comparison.md").read_text()
    assert "On 1000 images." in text
    assert "| S | A | B | +0.0100 | -0.0100 to +0.0321 | 0.400 | better |" in text
    write_tables(tmp_path, ROWS[:1])
    assert rows_of(tmp_path / "comparison.csv") == []
    assert "There are no two methods" in (tmp_path / "comparison.md").read_text()


def test_intervals_in_csv_and_in_print(tmp_path):
    replicates = {name: np.linspace(0, 1, 2000) for name in FIGURES}
    replicates["S"] = np.full(2000, np.nan)
    row = dataclasses.replace(ROWS[1], statistics=Statistics(replicates, {}))
    write_tables(tmp_path, [row])
    (found,) = rows_of(tmp_path / "results.csv")
    assert (float(found["wF_low"]), float(found["wF_high"])) == pytest.approx((0.025, 0.975))
    assert (found["S_low"], found["S_high"]) == ("nan", "nan")
    _, intervals, _ = markdown_tables(tmp_path).values()
    assert intervals[1][3:8] == [".0250–.9750"] * 4 + ["–"]
    assert ".0250--.9750" in (tmp_path / "results.tex").read_text()


def test_curves_from_the_lowest_threshold(tmp_path):
    write_tables(tmp_path, ROWS[:1])
    rows = rows_of(tmp_path / "curves.csv")
    assert [row["threshold"] for row in rows] == list(map(str, range(256)))
    assert float(rows[0]["F"]) == ROWS[0].total.curves()["F"][-1]
    assert float(rows[255]["precision"]) == ROWS[0].total.curves()["precision"][0]


def test_a_column_is_added_by_one_entry(tmp_path, monkeypatch):
    monkeypatch.setitem(LABELS, "left out", lambda row: str(len(row.failed)))
    rows = [dataclasses.replace(row, failed={"x": "broken", "y": "broken"}) for row in ROWS]
    write_tables(tmp_path, rows)
    assert [row["left out"] for row in rows_of(tmp_path / "results.csv")] == ["2", "2"]
    table = next(iter(markdown_tables(tmp_path).values()))
    assert [row[table[0].index("left out")] for row in table] == ["left out", "2", "2"]
    assert r"ECSSD & CLASS & 1000 & 2 &" in (tmp_path / "results.tex").read_text()
    assert format_table(rows).splitlines()[1].split()[:5] == [
        "ECSSD",
        "CLASS",
        "1000",
        "pysod",
        "2",
    ]


def test_two_spellings_of_one_set_keep_their_own_columns(tmp_path):
    rows = [scores(name, "A", value=v, mae=0.1) for name, v in (("ECSSD", 0.2), ("ecssd", 0.4))]
    write_tables(tmp_path, rows)
    overview = next(t for title, t in markdown_tables(tmp_path).items() if "published" in title)
    assert overview[0][1::4] == ["ECSSD F", "ecssd F"]
    assert overview[1][1::4] == [".200", ".400"]

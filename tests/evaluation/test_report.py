"""The table and results.csv, read back by other means."""

import csv

import numpy as np
import pytest

from class_jax.errors import UserError
from class_jax.evaluation.protocols import Measurement
from class_jax.evaluation.report import format_table, write_results_csv
from class_jax.evaluation.scores import SetScores

FIGURES = "adpF,meanF,maxF,wF,S,adpE,meanE,maxE,MAE"


def scores(set_name, images):
    """Sums whose figures are 1/3, 2/3, … by construction; curves fall from 2x to 0."""
    curves = np.outer([0.7, 0.8, 0.9, 0.9], np.linspace(2, 0, 256)) * images / 2
    sums = [value * images for value in (1 / 3, 0.5, 2 / 3, 1 / 7, 0.04)]
    return SetScores(set_name, "CLASS", "pysod", Measurement(images, *sums, *curves), {}, {})


ROWS = [scores("ECSSD", 1000), scores("DUT-OMRON", 3)]
EXPECTED = {
    **{"adpF": 1 / 3, "meanF": 0.35, "maxF": 0.7, "wF": 0.5, "S": 2 / 3},
    **{"adpE": 1 / 7, "meanE": 0.4, "maxE": 0.8, "MAE": 0.04},
}


def test_csv_holds_full_precision(tmp_path):
    path = tmp_path / "new" / "results.csv"
    write_results_csv(path, ROWS)
    lines = path.read_bytes().split(b"\n")
    assert lines[0].decode() == f"set,method,images,protocol,{FIGURES}"
    with path.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["set"], first["method"], first["protocol"]) == ("ECSSD", "CLASS", "pysod")
    assert (first["images"], second["images"]) == ("1000", "3")
    for name, value in EXPECTED.items():
        assert float(first[name]) == pytest.approx(value, rel=1e-14)
        # Exactly the number that was computed, not one printed near it.
        assert float(second[name]) == ROWS[1].total.figures()[name]


def test_csv_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "results.csv"
    write_results_csv(path, ROWS)
    before = path.read_text()
    with pytest.raises(AttributeError):
        write_results_csv(path, [*ROWS, None])
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_csv_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"results.csv cannot be written \(.+\): free some space"):
        write_results_csv(tmp_path / "file" / "results.csv", ROWS)


def test_table():
    table = format_table(ROWS)
    head, first, second = table.split("\n")
    assert head.split() == ["set", "method", "images", "protocol", *FIGURES.split(",")]
    assert first.split()[:4] == ["ECSSD", "CLASS", "1000", "pysod"]
    assert second.split()[:4] == ["DUT-OMRON", "CLASS", "3", "pysod"]
    assert first.split()[4:] == [f"{EXPECTED[name]:.4f}" for name in FIGURES.split(",")]
    assert len(head) == len(first) == len(second)
    for name in ("images", "adpF", "MAE"):  # numbers end below their heading's end
        end = head.index(name) + len(name)
        assert first[end - 1].isdigit()
        assert first[end : end + 1] in ("", " ")

"""What the two figures show, looked at as pixels and as lines."""

import cv2
import numpy as np
import pytest

from class_jax.evaluation import curves
from class_jax.evaluation.protocols import MEASUREMENTS, measure
from class_jax.evaluation.scores import SetScores
from class_jax.text import printable
from tests.evaluation.test_protocols import drawn_pairs


def scores(set_name="toys", method="A", protocol="pysod"):
    total = MEASUREMENTS[protocol].nothing()
    for prediction, mask in drawn_pairs(4):
        total += measure(prediction, mask, protocol)
    return SetScores(set_name, method, protocol, total, {}, {})


@pytest.mark.parametrize(
    ("rows", "titles"),
    [
        ([scores()], ["toys (pysod)"]),
        ([scores(method=f"method {i}") for i in range(9)], ["toys (pysod)"]),
        (
            [scores("$x_{$", method) for method in ("a$\\frac$b", "_hidden", "m\udcff", "a\nb")],
            ["$x_{$ (pysod)"],
        ),
        (
            [scores("ecssd"), scores("ecssd", protocol="matlab"), scores("toys")],
            ["ECSSD (pysod)", "ECSSD (matlab)", "toys (pysod)"],
        ),
    ],
    ids=["one", "many methods", "signs", "sets and protocols"],
)
def test_figures(tmp_path, monkeypatch, rows, titles):
    drawn = []
    make = curves._figure
    monkeypatch.setattr(curves, "_figure", lambda *args: drawn.append(make(*args)) or drawn[-1])
    curves.write_curves(tmp_path, rows)
    for name, figure in zip(("pr", "f"), drawn, strict=True):
        picture = cv2.imread(str(tmp_path / f"{name}_curves.png"))
        assert picture.shape[1] == round(curves.WIDTH * curves.DOTS)
        panels = [axes for axes in figure.axes if axes.get_visible()]
        assert [axes.get_title() for axes in panels] == titles
        (legend,) = figure.legends
        labels = [text.get_text().strip() for text in legend.get_texts()]
        assert labels == list(dict.fromkeys(printable(row.method) for row in rows))
        # The legend lies below the panels and inside the figure, and every method looks different.
        box = legend.get_window_extent()
        assert box.y1 <= min(axes.get_tightbbox().y0 for axes in panels)
        assert box.x0 >= 0
        assert box.y0 >= 0
        styles = {(line.get_color(), str(line.get_linestyle())) for line in legend.get_lines()}
        assert len(styles) == len(labels)


def test_long_names_are_cut_where_they_fit(tmp_path, monkeypatch):
    drawn = []
    make = curves._figure
    monkeypatch.setattr(curves, "_figure", lambda *args: drawn.append(make(*args)) or drawn[-1])
    curves.write_curves(tmp_path, [scores("s" * 250, "m" * 250 + "v2"), scores("t", "m" * 250)])
    for figure in drawn:
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert [text.get_text()[-2:] for text in legend.get_texts()] == ["v2", "mm"]
        for axes in figure.axes:
            assert axes.title.get_window_extent().x1 <= figure.bbox.x1


def test_lines_are_the_curves(tmp_path, monkeypatch):
    drawn = []
    make = curves._figure
    monkeypatch.setattr(curves, "_figure", lambda *args: drawn.append(make(*args)) or drawn[-1])
    row = scores()
    curves.write_curves(tmp_path, [row])
    precision_recall, f_measure = (figure.axes[0].get_lines()[0] for figure in drawn)
    np.testing.assert_array_equal(precision_recall.get_ydata(), row.total.curves()["precision"])
    np.testing.assert_array_equal(precision_recall.get_xdata(), row.total.curves()["recall"])
    at_200 = f_measure.get_ydata()[list(f_measure.get_xdata()).index(200)]
    assert at_200 == row.total.curves()["F"][55]  # the first is that of the threshold 255

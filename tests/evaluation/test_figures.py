"""The figures, looked at as pixels and as lines."""

import dataclasses
from collections import Counter

import cv2
import numpy as np
import pytest

from class_jax.evaluation.breakdowns import Group
from class_jax.evaluation.figures import (
    COLUMN,
    DPI,
    PAGE,
    draw_breakdown,
    draw_curves,
    write_figure,
)
from class_jax.evaluation.protocols import Measurement, measure
from class_jax.evaluation.scoring import SetScores
from class_jax.text import printable
from tests.evaluation.measurements import AVERAGED, measurement_of
from tests.evaluation.test_protocols import drawn_pairs


def scores(set_name="toys", method="A", protocol="pysod"):
    total = Measurement.zero(protocol)
    for prediction, mask in drawn_pairs(4):
        total += measure(prediction, mask, protocol)
    return SetScores(set_name, method, protocol, total, {}, {}, True, Counter())


def drawn(rows, kind):
    """The figure, laid out."""
    figure = draw_curves(rows, kind)
    figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("kind", ["pr", "f"])
@pytest.mark.filterwarnings("ignore:Glyph")
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
            ["ecssd (pysod)", "ecssd (matlab)", "toys (pysod)"],
        ),
    ],
    ids=["one", "many methods", "signs", "sets and protocols"],
)
def test_panels_and_legend(rows, titles, kind):
    figure = drawn(rows, kind)
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


def test_both_figures_are_written_as_wide_as_a_column(tmp_path):
    for kind in ("pr", "f"):
        path = tmp_path / f"{kind}.png"
        write_figure(path, draw_curves([scores("$x_{$", "m\udcff"), scores()], kind))
        assert cv2.imread(str(path)).shape[1] == round(COLUMN * DPI)


@pytest.mark.parametrize("kind", ["pr", "f"])
def test_long_names_are_cut_where_they_fit(kind):
    figure = drawn([scores("s" * 250, "m" * 250 + "v2"), scores("t", "m" * 250)], kind)
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert [text.get_text()[-2:] for text in legend.get_texts()] == ["v2", "mm"]
    for axes in figure.axes:
        assert axes.title.get_window_extent().x1 <= figure.bbox.x1


def test_lines_are_the_curves():
    row = scores()
    precision_recall, f_measure = (
        draw_curves([row], kind).axes[0].get_lines()[0] for kind in ("pr", "f")
    )
    np.testing.assert_array_equal(precision_recall.get_ydata(), row.total.curves()["precision"])
    np.testing.assert_array_equal(precision_recall.get_xdata(), row.total.curves()["recall"])
    at_200 = f_measure.get_ydata()[list(f_measure.get_xdata()).index(200)]
    assert at_200 == row.total.curves()["F"][55]  # the first is that of the threshold 255


def total_of(precision, recall):
    """Sums over one image that has these curves, F = 1.3·P·R / (0.3·P + R)."""
    f = 1.3 * precision * recall / (0.3 * precision + recall)
    curves = {"F": f, "E": 0 * f, "precision": precision, "recall": recall}
    return measurement_of(dict.fromkeys(AVERAGED, 0.0), curves)


def test_curves_fill_the_panel_where_good_methods_differ_little():
    recall = np.linspace(0.01, 1, 256)
    rows = []
    for method, level in (("A", 0.95), ("B", 0.94)):
        total = total_of(level - 0.4 * recall**30, recall)
        rows.append(SetScores("toys", method, "pysod", total, {}, {}, True, Counter()))
    for kind in ("pr", "f"):
        (axes,) = drawn(rows, kind).axes
        (low, high), best = axes.get_ylim(), rows[0].total.figures()["maxF"]
        assert high - low < 0.5
        assert low < best < high
        first, second = (line.get_ydata() for line in axes.get_lines())
        apart = np.abs(first - second)[100:200].mean() / (high - low)
        assert apart * axes.bbox.height > 2  # pixels


def broken_down(method="A", set_name="toys", *, images=20):
    """Scores of a single group of each property, and of two of objects."""
    groups = [
        Group(name, group, 1, 1, images, {"adpF": value}, {"adpF": interval})
        for name, group, value, interval in (
            ("area", "lowest third", 0.5, (0.4, 0.7)),
            ("objects", "1", 0.8, (0.7, 0.9)),
            ("objects", "3 or more", 0.3, (np.nan, np.nan)),
        )
    ]
    return dataclasses.replace(scores(set_name, method), breakdown=groups)


def test_a_panel_for_each_property_and_a_mark_for_each_method():
    figure = draw_breakdown([broken_down("A"), broken_down("_B"), broken_down("A", "ecssd")])
    figure.draw_without_rendering()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["area", "objects", "", ""]
    objects = figure.axes[1]
    assert [label.get_text() for label in objects.get_xticklabels()] == ["1", "≥3"]
    marks = {(line.get_gid(), line.get_ydata()[0]) for line in objects.get_lines()}
    assert marks == {("A", 0.8), ("A", 0.3), ("_B", 0.8), ("_B", 0.3)}
    (legend,) = figure.legends
    assert [text.get_text().strip() for text in legend.get_texts()] == ["A", "_B"]
    assert legend.get_window_extent().y1 <= min(axes.bbox.y0 for axes in figure.axes)


def test_a_breakdown_is_as_wide_as_a_page(tmp_path):
    write_figure(tmp_path / "b.png", draw_breakdown([broken_down()]))
    assert cv2.imread(str(tmp_path / "b.png")).shape[1] == round(PAGE * DPI)

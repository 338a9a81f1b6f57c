"""The curves, looked at as pixels and as lines, and the sheet of examples."""

import functools
from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image

from class_jax.data.images import write_map
from class_jax.data.montage import draw_montage
from class_jax.errors import UserError
from class_jax.evaluation.figures import (
    DPI,
    WIDTH,
    draw_curves,
    pick_examples,
    write_curves,
    write_examples,
)
from class_jax.evaluation.measuring import Task
from class_jax.evaluation.protocols import MEASUREMENTS, measure
from class_jax.evaluation.scoring import MapSet, SetScores
from class_jax.text import printable
from tests.array_source import ArraySource, image_of, mask_of, reading_of
from tests.evaluation.test_protocols import drawn_pairs


def scores(set_name="toys", method="A", protocol="pysod"):
    total = MEASUREMENTS[protocol].zero()
    for prediction, mask in drawn_pairs(4):
        total += measure(prediction, mask, protocol)
    return SetScores(set_name, method, protocol, total, {}, {}, True, Counter())


def drawn(rows, kind):
    """The figure, laid out."""
    figure = draw_curves(rows, kind)
    figure.canvas.draw()
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
            ["ECSSD (pysod)", "ECSSD (matlab)", "toys (pysod)"],
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
    write_curves(tmp_path, [scores("$x_{$", "m\udcff"), scores()])
    assert {path.name for path in tmp_path.iterdir()} == {"pr_curves.png", "f_curves.png"}
    for path in tmp_path.iterdir():
        assert cv2.imread(str(path)).shape[1] == round(WIDTH * DPI)


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


def per_image(**maes):
    return {name: {"MAE": mae} for name, mae in maes.items()}


@pytest.mark.parametrize(
    ("maes", "picked"),
    [
        ({"a": 0.2}, {"a": "best"}),
        ({"a": 0.2, "b": 0.1}, {"b": "best", "a": "worst"}),
        ({"a": 0.2, "b": 0.1, "c": 0.3}, {"b": "best", "a": "median", "c": "worst"}),
        (
            {"e": 0.1, "d": 0.1, "c": 0.1, "b": 0.9, "a": 0.5},
            {"c": "best", "e": "median", "b": "worst"},
        ),
    ],
)
def test_best_median_and_worst_by_mae(maes, picked):
    # In this order too: it is that of the rows.
    assert list(pick_examples(per_image(**maes)).items()) == list(picked.items())


def contains(sheet, part):
    """Whether rows of `sheet` that span its width are `part`."""
    tops = range(len(sheet) - len(part) + 1)
    return any(np.array_equal(sheet[top : top + len(part)], part) for top in tops)


def saliency_of(source, index):
    return source[index]["image"][..., 0]


def tasks_of(source, folder):
    """A task for each image of the source, with its map written."""
    tasks = []
    for index, name in enumerate(source.names):
        path = folder / f"{index}.png"
        write_map(path, saliency_of(source, index))
        readers = (functools.partial(read, source, index) for read in (reading_of, image_of))
        tasks.append(Task(name, path, *readers))
    return tasks


def scores_of(source):
    per_image = {
        name: measure(saliency_of(source, index), mask_of(source, index)).figures()
        for index, name in enumerate(source.names)
    }
    return SetScores("ecssd", "CLASS", "pysod", None, per_image, {}, True, Counter())


def test_sheet_holds_image_mask_and_map(tmp_path):
    source = ArraySource(["sub/one", "three", "four", "a" * 80])
    scores, tasks = scores_of(source), tasks_of(source, tmp_path / "maps")

    def fail():
        raise UserError("gone")

    unknown = [task._replace(image=None if task.name == "three" else fail) for task in tasks]
    write_examples(
        tmp_path / "examples.png",
        [scores, scores],
        [MapSet("s", "m", tasks), MapSet("s", "m", unknown)],
    )
    sheet = np.asarray(Image.open(tmp_path / "examples.png"))
    upper, lower = sheet[: len(sheet) // 2 + 24], sheet[len(sheet) // 2 :]
    ranked = sorted(scores.per_image, key=lambda name: scores.per_image[name]["MAE"])
    for index, name in enumerate(source.names):
        row = source[index]["image"], source[index]["mask"], saliency_of(source, index)
        visible = name != ranked[2]  # four were measured, three are shown
        assert contains(upper, draw_montage([row], cell=240)) == visible
        assert contains(lower, draw_montage([(None, *row[1:])], cell=240)) == visible


def test_sheet_that_cannot_be_written(tmp_path):
    source = ArraySource(["one"])
    tasks = tasks_of(source, tmp_path / "maps")
    (tmp_path / "examples.png").mkdir()
    with pytest.raises(UserError, match=r"examples.png cannot be written"):
        write_examples(tmp_path / "examples.png", [scores_of(source)], [MapSet("s", "m", tasks)])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

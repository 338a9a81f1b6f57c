"""The curves, looked at as pixels and as lines, and the sheet of examples."""

import dataclasses
import functools
from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image

from class_jax.data.images import write_picture
from class_jax.data.montage import draw_montage
from class_jax.errors import UserError
from class_jax.evaluation.breakdowns import GroupScores
from class_jax.evaluation.examples import draw_errors, pick_examples, write_examples
from class_jax.evaluation.figures import (
    COLUMN,
    DPI,
    PAGE,
    draw_breakdown,
    draw_curves,
    write_breakdown,
    write_curves,
    write_sheet,
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
    total = MEASUREMENTS["pysod"].zero()
    return dataclasses.replace(
        total, images=1, f_curve=f, precision_curve=precision, recall_curve=recall
    )


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
        GroupScores(name, group, 1, 1, images, {"adpF": value}, {"adpF": interval})
        for name, group, value, interval in (
            ("area", "lowest third", 0.5, (0.4, 0.7)),
            ("objects", "1", 0.8, (0.7, 0.9)),
            ("objects", "3 or more", 0.3, (np.nan, np.nan)),
        )
    ]
    return dataclasses.replace(scores(set_name, method), breakdown=groups)


def test_a_panel_for_each_property_and_a_mark_for_each_method():
    figure = draw_breakdown([broken_down("A"), broken_down("_B"), broken_down("A", "ecssd")])
    figure.canvas.draw()
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
    write_breakdown(tmp_path / "b.png", [broken_down()])
    assert cv2.imread(str(tmp_path / "b.png")).shape[1] == round(PAGE * DPI)


def test_a_sheet_is_written_as_png_and_pdf(tmp_path):
    grey, colour = np.full((30, 60), 77, np.uint8), np.full((30, 60, 3), (255, 0, 0), np.uint8)
    rows = [[colour, grey, None], [None, grey.T, grey.T]]
    write_sheet(tmp_path / "sheet", ["image", "mask", "m" * 99], rows)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    height, width = sheet.shape[:2]
    assert width == round(PAGE * DPI)
    cell = PAGE / 3
    assert height == pytest.approx(DPI * (cell / 2 + 2 * cell), rel=0.05)
    assert (sheet[height // 8, width // 6] == (0, 0, 255)).all()  # BGR
    assert (sheet[height // 8, width // 2] == 77).all()
    assert (sheet[height // 8, 5 * width // 6] == 255).all()
    assert (tmp_path / "sheet.pdf").read_bytes().startswith(b"%PDF")


def test_errors_are_blue_where_the_object_is_missed_and_orange_where_it_is_not():
    mask = np.array([[255, 255, 0, 0]], np.uint8)
    levels = np.array([[255, 0, 255, 51]], np.uint8)
    right, missed, false, partly = draw_errors(levels, mask)[0].astype(int)
    assert (right == 255).all()
    assert tuple(missed) == (0, 114, 178)
    assert tuple(false) == (230, 159, 0)
    np.testing.assert_allclose(partly, 255 + (false - 255) / 5, atol=0.5)
    assert abs(missed @ (0.3, 0.6, 0.1) - false @ (0.3, 0.6, 0.1)) > 60  # told apart in grey


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
    return source.load(index)["image"][..., 0]


def tasks_of(source, folder):
    """A task for each image of the source, with its map written."""
    tasks = []
    for index, name in enumerate(source.names):
        path = folder / f"{index}.png"
        write_picture(path, saliency_of(source, index))
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
        mask, saliency = source.load(index)["mask"], saliency_of(source, index)
        row = source.load(index)["image"], mask, saliency, draw_errors(saliency, mask)
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

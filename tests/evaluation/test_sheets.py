"""The sheets of examples and of all methods' maps: which images, and what is drawn."""

import csv
import functools
from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image

from class_jax.data.images import write_picture
from class_jax.data.sheet import Panel, draw_sheet
from class_jax.errors import UserError
from class_jax.evaluation.figures import DPI, PAGE
from class_jax.evaluation.measuring import Task
from class_jax.evaluation.protocols import measure
from class_jax.evaluation.scoring import MapSet, SetScores
from class_jax.evaluation.sheets import (
    Choice,
    check_names,
    choose_images,
    draw_errors,
    pick_examples,
    write_examples,
    write_gallery,
)
from tests.array_source import ArraySource, mask_of, truth_of


def scores_of(method, errors, set_name="toys"):
    per_image = {name: {"MAE": error} for name, error in zip("abcdefgh", errors, strict=False)}
    return SetScores(set_name, method, "pysod", None, per_image, {}, True, Counter())


def reasons(scores, names=()):
    return {(c.set, c.image): c.reason for c in choose_images(scores, names)}


def test_images_on_which_methods_differ_most_are_picked():
    first = scores_of("A", [0.1, 0.1, 0.1, 0.1, 0.5, 0.3, 0.1, 0.1])
    second = scores_of("B", [0.9, 0.8, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1])
    picked = reasons([first, second])
    assert picked == {
        ("toys", "a"): "largest difference between methods",
        ("toys", "b"): "largest difference between methods",
        ("toys", "c"): "largest gain of A",
        ("toys", "d"): "largest gain of A",
        ("toys", "e"): "largest loss of A",
        ("toys", "f"): "largest loss of A",
    }
    others = [scores_of(m, [0.1, 0.2], "more") for m in "AB"]  # alike: nothing to show
    assert reasons([first, second, *others]) == picked


def test_gains_are_against_the_best_of_the_others():
    rows = [
        scores_of("A", [0.1, 0.1, 0.1, 0.1]),
        scores_of("B", [0.9, 0.8, 0.5, 0.2]),
        scores_of("C", [0.1, 0.1, 0.1, 0.2]),
    ]
    assert reasons(rows) == {
        ("toys", "a"): "largest difference between methods",
        ("toys", "b"): "largest difference between methods",
        ("toys", "d"): "largest gain of A",
    }


def test_images_that_are_named_and_the_picks_of_a_single_method():
    first, other = scores_of("A", [0.1, 0.2, 0.3]), scores_of("A", [0.1], "more")
    assert reasons([first, other], ["c", "a"]) == {
        ("toys", "c"): "named", ("toys", "a"): "named", ("more", "a"): "named",
    }  # fmt: skip
    assert list(reasons([first]).values()) == ["best", "median", "worst"]


def test_an_unknown_name_is_refused():
    tasks = [Task(name, None, None) for name in ("a", "sub/b")]
    check_names(["sub/b"], [MapSet("toys", "A", tasks)])
    with pytest.raises(UserError, match="no image is called b: there are a, sub/b"):
        check_names(["a", "b"], [MapSet("toys", "A", tasks)])


def test_columns_are_image_mask_and_methods(tmp_path):
    source = ArraySource(["one", "two"])
    map_sets = []
    for method, level in (("A", 60), ("B", 180)):
        tasks = []
        for index, name in enumerate(source.names[: 2 if method == "A" else 1]):
            path = tmp_path / method / f"{name}.png"
            write_picture(path, np.full((5, 5), level, np.uint8))
            tasks.append(Task(name, path, functools.partial(truth_of, source, index)))
        map_sets.append(MapSet("toys", method, tasks))
    choices = [Choice("toys", "two", "named"), Choice("toys", "one", "named")]
    write_gallery(tmp_path, choices, map_sets)
    sheet = cv2.imread(str(tmp_path / "gallery.png"), 0)
    height, width = sheet.shape
    columns = [width * (2 * column + 1) // 8 for column in range(4)]
    upper, lower = sheet[height // 4], sheet[3 * height // 4]
    found = [int(row[columns[column]]) for column in (2, 3) for row in (upper, lower)]
    assert found == pytest.approx([60, 60, 255, 180], abs=1)  # B has no map of "two"
    with (tmp_path / "gallery.csv").open(newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["two", "one"]
    assert (tmp_path / "gallery.pdf").read_bytes().startswith(b"%PDF")
    assert width == pytest.approx(PAGE * DPI, abs=8)


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
        tasks.append(Task(name, path, functools.partial(truth_of, source, index)))
    return tasks


def measured(source):
    per_image = {
        name: measure(saliency_of(source, index), mask_of(source, index)).figures()
        for index, name in enumerate(source.names)
    }
    return SetScores("ecssd", "CLASS", "pysod", None, per_image, {}, True, Counter())


def test_sheet_holds_image_mask_and_map(tmp_path):
    source = ArraySource(["sub/one", "three", "four", "a" * 80])
    scores, tasks = measured(source), tasks_of(source, tmp_path / "maps")

    unknown = [
        task._replace(read=lambda index=index: (mask_of(source, index), None))
        for index, task in enumerate(tasks)
    ]
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
        assert contains(upper, draw_sheet([[Panel(pixels) for pixels in row]])) == visible
        assert (
            contains(lower, draw_sheet([[Panel(pixels) for pixels in (None, *row[1:])]])) == visible
        )


def test_sheet_that_cannot_be_written(tmp_path):
    source = ArraySource(["one"])
    tasks = tasks_of(source, tmp_path / "maps")
    (tmp_path / "examples.png").mkdir()
    with pytest.raises(UserError, match=r"examples.png cannot be written"):
        write_examples(tmp_path / "examples.png", [measured(source)], [MapSet("s", "m", tasks)])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

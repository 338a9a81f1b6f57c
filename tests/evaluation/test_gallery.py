"""The sheet of images and all methods' maps: which images, and what is drawn."""

import csv
import functools
from collections import Counter

import cv2
import numpy as np
import pytest

from class_jax.data.images import write_picture
from class_jax.errors import UserError
from class_jax.evaluation.gallery import Choice, check_names, choose_images, write_gallery
from class_jax.evaluation.measuring import Task
from class_jax.evaluation.scoring import MapSet, SetScores
from tests.array_source import ArraySource, image_of, reading_of


def scores_of(method, errors, set_name="toys"):
    per_image = {name: {"MAE": error} for name, error in zip("abcdefgh", errors, strict=False)}
    return SetScores(set_name, method, "pysod", None, per_image, {}, True, Counter())


def reasons(scores, names=()):
    return {(c.set_name, c.image): c.reason for c in choose_images(scores, names)}


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
    assert list(reasons([first, second, *others]).values()) == [
        "largest difference between methods", "largest gain of A", "largest loss of A",
    ]  # fmt: skip


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
            readers = (functools.partial(read, source, index) for read in (reading_of, image_of))
            tasks.append(Task(name, path, *readers))
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

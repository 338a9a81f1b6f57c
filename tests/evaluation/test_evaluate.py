"""Evaluating a set: which maps are made, what is measured, what is left out."""

import cv2
import numpy as np
import py_sod_metrics
import pytest

from class_jax.errors import UserError
from class_jax.evaluation.evaluate import map_tasks, with_maps
from class_jax.evaluation.scores import Ledger
from class_jax.evaluation.scoring import Scorer
from tests.evaluation.array_source import ArraySource, red_channel

NAMES = ["c", "a", "deep/er/b", "dd", "e.jpg"]


def evaluate(source, folder, *, predict=red_channel, batch_size=2, origin="network 1 {}".format):
    tasks = map_tasks(source, folder / "maps", origin)
    ready = with_maps(tasks, source, predict, batch_size=batch_size)
    with Ledger(folder, ["pysod"]) as ledger, Scorer(["pysod"], ledger) as scorer:
        (scores,) = scorer.score("toys", "CLASS", tasks, ready).scores()
    return scores


def test_what_is_written_is_what_is_measured(tmp_path):
    source = ArraySource(NAMES)
    scores = evaluate(source, tmp_path)
    mae, s_measure = py_sod_metrics.MAE(), py_sod_metrics.Smeasure()
    for index, name in enumerate(NAMES):
        written = cv2.imread(str(tmp_path / "maps" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(written, source[index]["image"][..., 0])
        mae.step(written, source[index]["mask"])
        s_measure.step(written, source[index]["mask"])
        assert scores.per_image[name]["MAE"] == pytest.approx(mae.maes[-1], abs=1e-12)
    figures = scores.total.figures()
    assert figures["MAE"] == pytest.approx(mae.get_results()["mae"], abs=1e-12)
    assert figures["S"] == pytest.approx(s_measure.get_results()["sm"], abs=1e-12)
    assert (scores.set_name, scores.method, scores.protocol) == ("toys", "CLASS", "pysod")
    assert list(scores.per_image) == NAMES
    assert scores.failed == {}


def test_maps_are_rounded_and_not_truncated(tmp_path):
    levels = np.array([0.49, 0.51, 1.49, 1.51, 254.6, 255])

    def predict(images):
        return [np.resize(levels / 255, image.shape[:2]).astype(np.float32) for image in images]

    evaluate(ArraySource(["a"]), tmp_path, predict=predict)
    written = cv2.imread(str(tmp_path / "maps" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert written.flat[: len(levels)].tolist() == [0, 1, 1, 2, 255, 255]


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (9, [5])])
def test_batches(tmp_path, batch_size, sizes):
    seen = []

    def predict(images):
        seen.append(len(images))
        return red_channel(images)

    scores = evaluate(ArraySource(NAMES), tmp_path, predict=predict, batch_size=batch_size)
    assert seen == sizes
    whole = evaluate(ArraySource(NAMES), tmp_path / "whole", batch_size=5)
    assert scores.total.figures() == whole.total.figures()


def test_only_maps_of_another_network_or_image_are_made_again(tmp_path):
    seen = []

    def predict(images):
        seen.append(len(images))
        return red_channel(images)

    evaluate(ArraySource(NAMES), tmp_path, predict=predict, batch_size=5)
    (tmp_path / "maps" / "dd.png").unlink()
    cv2.imwrite(str(tmp_path / "maps" / "a.png"), np.zeros((9, 9), np.uint8))  # somebody's
    again = evaluate(ArraySource(NAMES), tmp_path, predict=predict, batch_size=5)
    evaluate(ArraySource(NAMES), tmp_path, predict=predict, batch_size=5, origin="2 {}".format)
    assert seen == [5, 2, 5]
    assert again.total.figures() == evaluate(ArraySource(NAMES), tmp_path / "x").total.figures()


def test_a_share_of_the_maps(tmp_path):
    source = ArraySource(NAMES)
    tasks = map_tasks(source, tmp_path / "maps", "network 1 {}".format)
    ready = with_maps(tasks, source, red_channel, batch_size=2, which=range(1, len(NAMES), 2))
    assert [task.name for task, problem in ready if problem is None] == ["a", "dd"]
    made = [path.relative_to(tmp_path / "maps") for path in tmp_path.rglob("*.png")]
    assert sorted(map(str, made)) == ["a.png", "dd.png"]
    scores = evaluate(source, tmp_path)  # finds those two, and makes the others
    assert scores.per_image == evaluate(source, tmp_path / "whole").per_image


def test_what_cannot_be_read_is_named_and_the_rest_measured(tmp_path):
    scores = evaluate(ArraySource(NAMES, broken=["c", "dd"]), tmp_path, batch_size=3)
    assert scores.failed == {
        "c": 'image "c.jpg" is truncated.',
        "dd": 'image "dd.jpg" is truncated.',
    }
    assert not (tmp_path / "maps" / "c.png").exists()
    readable = evaluate(
        ArraySource([name for name in NAMES if name not in scores.failed]), tmp_path / "readable"
    )
    assert scores.total.images == 3
    assert scores.per_image == readable.per_image
    assert scores.total.figures() == readable.total.figures()


def test_nothing_readable(tmp_path):
    with pytest.raises(
        UserError, match=r'toys, CLASS: none of the 2 images .* "a.jpg" is truncated'
    ):
        evaluate(ArraySource(["a", "b"], broken=["a", "b"]), tmp_path)
    with pytest.raises(UserError, match="toys, CLASS: the set holds no image"):
        evaluate(ArraySource([]), tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1])
def test_a_diverged_network_is_not_scored(tmp_path, value):
    def predict(images):
        return [np.full(image.shape[:2], value, np.float32) for image in images]

    with pytest.raises(UserError, match='map of "a" holds values that are not finite'):
        evaluate(ArraySource(["a"]), tmp_path, predict=predict)


def test_maps_that_cannot_be_written(tmp_path):
    (tmp_path / "maps").write_text("")
    with pytest.raises(UserError, match=r"maps/a.png cannot be written"):
        evaluate(ArraySource(["a"]), tmp_path)

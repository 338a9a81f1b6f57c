"""Maps measured by one process and by several, and what is left out."""

import functools

import cv2
import numpy as np
import py_sod_metrics
import pytest

from class_jax.data.masks import ALPHA
from class_jax.errors import UserError
from class_jax.evaluation.measuring import Task, read_truth
from class_jax.evaluation.protocols import PROTOCOLS, measure
from class_jax.evaluation.scoring import MapSet, Scorer

COUNT = 40
PROCESSES = 2


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """Files of maps and masks; the map of image 3 is no image, the mask of 5 is empty."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    made = []
    for index in range(COUNT):
        mask = np.zeros((30, 40), np.uint8)
        mask[8:20, 5 : 10 + index % 20] = 255 * (index != 5)
        levels = cv2.GaussianBlur(mask, (0, 0), 2)[::2] // 2 + rng.integers(0, 90, (15, 40))
        paths = [folder / f"{kind}{index}.png" for kind in ("map", "mask")]
        cv2.imwrite(str(paths[0]), levels.astype(np.uint8))
        cv2.imwrite(str(paths[1]), mask)
        made.append(Task(f"name {index}", paths[0], functools.partial(read_truth, paths[1])))
    made[3].map.write_text("no image")
    return made


def score(tasks, *, processes=1, protocols=PROTOCOLS, failed=None):
    with Scorer(protocols, processes=processes) as scorer:
        return scorer.score(MapSet("s", "m", tasks, failed or {}))


def assert_same(first, second):
    """To the last bit."""
    for ours, theirs in zip(first, second, strict=True):
        assert ours.total.figures() == theirs.total.figures()
        for name, curve in ours.total.curves().items():
            np.testing.assert_array_equal(curve, theirs.total.curves()[name])
        assert ours.per_image == theirs.per_image
        assert list(ours.per_image) == list(theirs.per_image)
        assert ours.failed == theirs.failed
        assert ours.has_salient == theirs.has_salient


def test_sums_are_those_of_the_images(tasks):
    readable = [task for task in tasks if task.name != "name 3"]
    for row in score(tasks):
        singles = [
            measure(cv2.imread(str(task.map), 0), task.read()[0], row.protocol) for task in readable
        ]
        assert row.total.figures() == sum(singles[1:], singles[0]).figures()
        assert (row.set_name, row.method, row.total.images) == ("s", "m", COUNT - 1)
        assert list(row.per_image) == [task.name for task in readable]
        assert list(row.failed) == ["name 3"]
        for task, single in zip(readable, singles, strict=True):
            assert row.per_image[task.name] == single.figures()


def test_figures_are_those_of_a_plain_pysodmetrics_loop(tasks):
    (row,) = score(tasks, protocols=["pysod"])
    metrics = py_sod_metrics.MAE(), py_sod_metrics.Smeasure(), py_sod_metrics.WeightedFmeasure()
    for task in tasks:
        levels, mask = cv2.imread(str(task.map), 0), task.read()[0]
        if levels is not None:
            resized = cv2.resize(levels, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
            for metric in metrics:
                metric.step(resized, mask)
    figures = row.total.figures()
    for metric, (ours, theirs) in zip(
        metrics, (("MAE", "mae"), ("S", "sm"), ("wF", "wfm")), strict=True
    ):
        assert figures[ours] == pytest.approx(metric.get_results()[theirs], rel=0, abs=1e-12)


def test_processes_compute_what_one_does(tasks, capsys):
    scores = score(tasks, processes=PROCESSES)
    assert f", starting {PROCESSES} processes]" in capsys.readouterr().err  # what the bar waits for
    assert_same(scores, score(tasks))
    assert "processes" not in capsys.readouterr().err


def test_order_does_not_matter(tasks):
    forth, back = score(tasks), score(tasks[::-1])
    for ours, theirs in zip(forth, back, strict=True):
        assert ours.total.figures() == pytest.approx(theirs.total.figures(), rel=0, abs=1e-12)
        assert ours.per_image == theirs.per_image


def test_images_without_a_map_are_named_and_not_counted(tasks):
    (row,) = score(tasks[:3], protocols=["pysod"], failed={"x": "x.jpg is truncated."})
    (without,) = score(tasks[:3], protocols=["pysod"])
    assert row.failed == {"x": "x.jpg is truncated."}
    assert row.total.figures() == without.total.figures()
    assert row.per_image == without.per_image


def test_nothing_to_score(tasks):
    with pytest.raises(UserError, match=r"s, m: none of the 2 images .* x.jpg is truncated"):
        score(tasks[3:4], failed={"x": "x.jpg is truncated."})
    with pytest.raises(
        UserError, match="s, m: none of the 0 images could be done: the set holds no image"
    ):
        score([])


def test_how_maps_were_read_and_whether_any_mask_is_salient_is_kept(tasks, tmp_path):
    levels = np.random.default_rng(0).integers(0, 255, (30, 40), np.uint8)
    white = np.full_like(levels, 255)
    cv2.imwrite(str(tmp_path / "cut.png"), np.dstack([white, white, white, levels]))
    (row,) = score([tasks[0]._replace(map=tmp_path / "cut.png"), tasks[5]], protocols=["pysod"])
    assert row.map_guesses[ALPHA] == 1
    assert row.has_salient
    (row,) = score([tasks[5]], protocols=["pysod"])
    assert not row.has_salient
    (plain,) = score([tasks[0]], protocols=["pysod"])
    cv2.imwrite(str(tmp_path / "half.png"), cv2.imread(str(tasks[0].map), 0) // 2)
    with Scorer(["pysod"]) as scorer:
        half = tasks[0]._replace(map=tmp_path / "half.png", highest=127)
        (scaled,) = scorer.score(MapSet("s", "m", [half]))
    assert scaled.total.figures()["MAE"] == pytest.approx(plain.total.figures()["MAE"], abs=0.01)


def test_samples_hold_each_image_and_each_mask_is_described_once(tasks, tmp_path):
    seen = []

    def counted(task):
        def read(*, with_image):
            seen.append(with_image)
            return task.read()[0], np.zeros((30, 40, 3), np.uint8)

        return task._replace(read=read)

    first = [counted(tasks[0]), tasks[3], tasks[5]]  # the map of the second is broken
    same_map = [tasks[i]._replace(map=tasks[0].map) for i in (0, 3, 5)]
    second = [counted(task) for task in same_map]
    with Scorer(PROTOCOLS) as scorer:
        one, two = (scorer.score(MapSet("s", m, t)) for m, t in (("a", first), ("b", second)))
    assert seen == [True, False, True, False]  # the first, and what was not described before
    for rows, made in ((one, [tasks[0], tasks[5]]), (two, same_map)):
        for row in rows:
            measured, properties = row.sample
            for index, task in enumerate(made):
                mask = task.read()[0]
                single = measure(cv2.imread(str(task.map), 0), mask, row.protocol)
                figures = {name: values[index] for name, values in measured.figures().items()}
                assert figures == single.figures()
                assert properties[index, 0] == np.mean(mask > 128)
            analyzed = row.analyze()
            assert analyzed.sample is None
            assert {group.property for group in analyzed.breakdown} >= {"area", "holes"}
            assert set(analyzed.statistics.replicates) == set(row.total.figures())

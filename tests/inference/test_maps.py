"""The maps of a set: which ones are made, what their files hold, what is left out."""

import cv2
import numpy as np
import pytest

from class_jax.inference.maps import make_maps, plan_source_maps
from tests.array_source import ArraySource
from tests.inference.stand_in import RedPredictor

NAMES = ["c", "a", "deep/er/b", "dd", "e.jpg"]


def make(folder, predictor, *, names=NAMES, broken=(), overwrite=True):
    jobs = plan_source_maps(ArraySource(names, broken=broken), folder)
    return make_maps(jobs, predictor, overwrite=overwrite, title="maps")


def grey(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (9, [5])])
def test_every_image_has_a_map_in_any_batches(tmp_path, batch_size, sizes):
    predictor = RedPredictor(batch_size=batch_size)
    results = make(tmp_path, predictor)
    assert (results.written, results.kept, results.foreign, results.failed) == (5, 0, [], {})
    assert predictor.batches == sizes
    source = ArraySource(NAMES)
    for index, name in enumerate(NAMES):
        red = source[index]["image"][..., 0]
        np.testing.assert_array_equal(grey(tmp_path / f"{name}.png"), red)


def test_maps_are_rounded_and_not_truncated(tmp_path):
    for value, level in ((0.49, 0), (0.51, 1), (1.49, 1), (1.51, 2), (254.6, 255), (255, 255)):
        make(tmp_path / str(value), RedPredictor(value=value / 255), names=["a"])
        assert (grey(tmp_path / str(value) / "a.png") == level).all()


def test_only_maps_of_another_network_or_image_are_made_again(tmp_path):
    predictor = RedPredictor(batch_size=5)
    make(tmp_path, predictor)
    (tmp_path / "dd.png").unlink()
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9), np.uint8))  # somebody's
    again = make(tmp_path, predictor)
    make(tmp_path, RedPredictor(batch_size=5, fingerprint="network 2"))
    assert predictor.batches == [5, 2]
    assert (again.written, again.kept) == (2, 3)
    np.testing.assert_array_equal(grey(tmp_path / "a.png"), ArraySource(NAMES)[1]["image"][..., 0])


def test_another_networks_maps_are_replaced_and_files_of_others_only_if_asked(tmp_path):
    make(tmp_path, RedPredictor(), names=["a", "dd"])
    somebodys = np.full((9, 9), 7, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), somebodys)
    other = RedPredictor(fingerprint="network 2", value=1)
    results = make(tmp_path, other, names=["a", "dd"], overwrite=False)
    assert (results.written, results.kept) == (1, 0)
    assert results.foreign == [tmp_path / "a.png"]
    np.testing.assert_array_equal(grey(tmp_path / "a.png"), somebodys)
    assert (grey(tmp_path / "dd.png") == 255).all()
    assert make(tmp_path, other, names=["a", "dd"]).written == 1
    assert (grey(tmp_path / "a.png") == 255).all()


def test_a_share_of_the_maps_is_found_by_the_others(tmp_path):
    jobs = plan_source_maps(ArraySource(NAMES), tmp_path)
    assert make_maps(jobs[1::2], RedPredictor(), overwrite=True, title="maps").written == 2
    made = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert made == ["a.png", "dd.png"]
    results = make(tmp_path, RedPredictor())
    assert (results.written, results.kept) == (3, 2)


def test_what_cannot_be_read_is_named_and_the_rest_done(tmp_path):
    predictor = RedPredictor(batch_size=3)
    results = make(tmp_path, predictor, broken=["c", "dd"])
    assert results.failed == {
        tmp_path / "c.png": 'image "c.jpg" is truncated.',
        tmp_path / "dd.png": 'image "dd.jpg" is truncated.',
    }
    assert results.written == 3
    assert not (tmp_path / "c.png").exists()
    assert predictor.batches == [3]  # filled up with the next images


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1])
def test_a_diverged_networks_map_is_not_written(tmp_path, value):
    results = make(tmp_path, RedPredictor(value=value), names=["a"])
    (why,) = results.failed.values()
    assert "a.png" in why
    assert "not finite" in why
    assert not (tmp_path / "a.png").exists()


def test_maps_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "maps").write_text("")
    results = make(tmp_path / "maps", RedPredictor(), names=["a", "dd"])
    assert results.written == 0
    for name, why in zip(("a", "dd"), results.failed.values(), strict=True):
        assert f"maps/{name}.png cannot be written" in why

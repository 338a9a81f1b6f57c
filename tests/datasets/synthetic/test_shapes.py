"""Outlines: their area, their place, their raster."""

from collections.abc import Callable

import numpy as np
import pytest

from datasets.synthetic.shapes import (
    BROAD,
    SUPERSAMPLING,
    THIN,
    Outline,
    place,
    rasterise,
    union,
)


@pytest.mark.parametrize("kind", [*BROAD, *THIN])
def test_rasterised_area_is_the_shoelace_area(kind: Callable[..., Outline]):
    rng = np.random.default_rng(5)
    for _ in range(5):
        outline = place(rng, kind(rng).moved(scale=25), 100, 140, crop=False)
        mask = rasterise(outline, 100, 140)
        steps = [contour - np.roll(contour, 1, axis=0) for contour in outline.contours]
        perimeter = np.hypot(*np.concatenate(steps).T).sum()
        # OpenCV also paints the samples that the border touches: up to one sample more.
        more = perimeter / SUPERSAMPLING
        assert -1 < mask.sum() / 255 - outline.area() < more
        borders = (mask > 0) & (mask < 255)
        assert borders.any()  # soft


def test_rasterised_rectangle_is_exact_to_a_sample():
    corners = np.array([[2.5, 1.0], [6.0, 1.0], [6.0, 4.25], [2.5, 4.25]])
    mask = rasterise(Outline(contours=(corners,)), 6, 8) / 255
    expected = np.zeros((6, 8))
    expected[1:4, 2:6], expected[4, 2:6] = 1, 0.25
    expected[:, 2] *= 0.5
    np.testing.assert_allclose(mask, expected, atol=0.3)  # one sample of four
    assert np.array_equal(mask[1:4, 3:6], np.ones((3, 3)))


@pytest.mark.parametrize("crop", [False, True])
def test_place_keeps_inside_or_crosses_one_border(crop):
    rng = np.random.default_rng(2)
    for kind in (*BROAD, *THIN):
        for size in (10, 80):
            left, top, right, bottom = place(
                rng, kind(rng).moved(scale=size), 60, 90, crop=crop
            ).box
            hidden = [
                max(-left, right - 90) / (right - left),
                max(-top, bottom - 60) / (bottom - top),
            ]
            assert (max(hidden) > 0) == crop
            assert min(hidden) < 0
            assert max(hidden) <= 0.4 + 1e-9


def test_union_of_soft_covers():
    covers = [np.array([[0, 100, 255]], np.uint8), np.array([[0, 120, 3]], np.uint8)]
    np.testing.assert_array_equal(union(covers), [[0, 120, 255]])

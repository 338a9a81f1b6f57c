"""Resizing against formulas: bilinear as before for small factors, by area for large ones."""

import cv2
import numpy as np
import pytest

from class_jax.data.resize import resize, resize_bilinear

RNG = np.random.default_rng(0)


def test_bilinear_has_half_pixel_centres_and_no_antialias():
    row = np.array([[0, 10, 20, 250]], np.float32)
    np.testing.assert_allclose(resize_bilinear(row, 1, 3), [[1 / 6 * 10, 15, 211.66666]], rtol=1e-5)
    np.testing.assert_allclose(resize(row[:, :2], 1, 4), [[0, 2.5, 7.5, 10]])


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (267, 400), (400, 400), (375, 500)])
@pytest.mark.parametrize("side", [224, 256, 288, 320, 352])
def test_published_sizes_give_the_bytes_of_plain_bilinear(shape, side):
    if max(shape) >= 2 * side:
        pytest.skip("a side shrinks by two or more")
    image = RNG.integers(0, 256, (*shape, 3), np.uint8)
    expected = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resize(image, side, side), expected)
    out = np.empty_like(expected)
    resize(image, side, side, out=out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("factor", [2, 3, 10])
def test_a_side_that_shrinks_by_two_or_more_is_averaged(factor):
    image = RNG.integers(0, 256, (8 * factor, 6 * factor)).astype(np.float32)
    expected = image.reshape(8, factor, 6, factor).mean(axis=(1, 3))
    np.testing.assert_allclose(resize(image, 8, 6), expected, rtol=1e-5)


def test_only_the_side_that_shrinks_is_averaged():
    image = RNG.integers(0, 256, (10, 60)).astype(np.float32)
    averaged = image.reshape(10, 20, 3).mean(axis=2)
    expected = cv2.resize(averaged, (20, 15), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(resize(image, 15, 20), expected, rtol=1e-4)

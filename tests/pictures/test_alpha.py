"""Alpha and colours beside their equations, in float64 and one window at a time."""

import cv2
import numpy as np
import pytest

from class_jax.pictures.alpha import cut_out, estimate_foreground, refine_alpha

CONTRAST, EPSILON = 3, 1e-4
SHAPES = [(1, 1), (1, 2), (1, 300), (300, 1), (3, 2000), (20_000, 1), (700, 600)]


def scene(height, width, seed=0):
    """A noisy picture, and an alpha that is 0, soft and 1 in parts."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 5, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    image = np.clip(smooth + rng.normal(0, 5, (height, width, 3)), 0, 255).astype(np.uint8)
    y, x = np.mgrid[:height, :width]
    distance = np.hypot((y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5)
    return image, np.clip((0.33 - distance) / 0.15 + 0.5, 0, 1).astype(np.float32)


def windows(values, radius):
    """The windows round every pixel of [H, W, ...], mirrored, as float64 [H, W, ..., n]."""
    pad = [(radius, radius)] * 2 + [(0, 0)] * (values.ndim - 2)
    padded = np.pad(values.astype(np.float64), pad, mode="symmetric")
    side = 2 * radius + 1
    found = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (0, 1))
    return found.reshape(*values.shape, -1)


def window_means(values, radius):
    return windows(values, radius).mean(-1)


def test_alpha_is_that_of_a_guided_filter_by_least_squares():
    image, saliency = scene(80, 100)
    guide, radius = image / 255, round(0.02 * np.sqrt(80 * 100))
    slopes, offsets = np.empty((80, 100, 3)), np.empty((80, 100))
    around, values = windows(guide, radius), windows(saliency, radius)
    for place in np.ndindex(80, 100):
        centred = around[place] - around[place].mean(-1, keepdims=True)
        spread = centred @ centred.T / centred.shape[1] + EPSILON * np.eye(3)
        slopes[place] = np.linalg.solve(spread, (centred * values[place]).mean(-1))
        offsets[place] = values[place].mean() - slopes[place] @ around[place].mean(-1)
    filtered = (window_means(slopes, radius) * guide).sum(-1) + window_means(offsets, radius)
    expected = np.clip(CONTRAST * (filtered - 0.5) + 0.5, 0, 1)
    np.testing.assert_allclose(refine_alpha(image, saliency), expected, atol=2e-3)


def test_colours_are_those_of_blur_fusion():
    image, alpha = scene(130, 140, 1)  # in four tiles
    colours, weight = image.astype(np.float64), alpha.astype(np.float64)[..., None]
    fused = back = colours
    for part in (20, 60, 100):
        radius = max(1, round(np.sqrt(130 * 140) / part))
        blurred = window_means(alpha, radius)[..., None]
        fore = window_means(fused * weight, radius) / (blurred + 1e-5)
        back = window_means(back * (1 - weight), radius) / (1 - blurred + 1e-5)
        fused = fore + weight * (colours - weight * fore - (1 - weight) * back)
    expected = np.clip(fused, 0, 255)
    found = estimate_foreground(image, alpha)
    soft = (alpha > 0.01) & (alpha < 0.99)
    np.testing.assert_allclose(found[soft], expected[soft], atol=1.6)


@pytest.mark.parametrize("size", [(130, 140), (700, 600)])
def test_nothing_of_the_picture_is_left_where_it_is_transparent(size):
    image, alpha = scene(*size)
    image = np.maximum(image, 1)
    for values in (alpha, (alpha > 0.5).astype(np.float32)):
        cut = cut_out(image, values)
        np.testing.assert_array_equal(cut[..., 3], np.rint(values * 255))
        assert not cut[cut[..., 3] == 0].any()
        np.testing.assert_array_equal(cut[values == 1, :3], image[values == 1])
    secret = np.where(alpha[..., None] == 0, 255 - image, image)
    assert not cut_out(secret, alpha)[alpha == 0].any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("value", [0, 0.5, 1, None])
def test_pictures_of_any_shape_and_alphas_of_one_value_are_cut_out(shape, value):
    image, alpha = scene(*shape)
    if value is not None:
        alpha = np.full(shape, value, np.float32)
    refined = refine_alpha(image, alpha)
    assert refined.shape == shape
    assert refined.dtype == np.float32
    assert 0 <= refined.min() <= refined.max() <= 1
    if value is not None:  # a constant is its own filter
        np.testing.assert_allclose(refined, value, atol=1e-3)
    cut = cut_out(image, alpha)
    assert cut.shape == (*shape, 4)
    if value in (0, 1):
        np.testing.assert_array_equal(cut[..., :3], image * value)


def test_a_map_of_the_networks_size_gives_nearly_the_alpha_of_one_of_the_pictures():
    image, _ = scene(700, 600)
    _, small = scene(88, 75)
    large = cv2.resize(small, (600, 700), interpolation=cv2.INTER_LINEAR)
    difference = np.abs(refine_alpha(image, small) - refine_alpha(image, large))
    assert difference.mean() < 2e-3


def test_squares_of_a_large_picture_do_not_show():
    image, alpha = scene(700, 600)
    shifted = slice(61, None)  # the squares lie elsewhere in what is left
    whole, part = (
        refine_alpha(x, y) for x, y in ((image, alpha), (image[shifted], alpha[shifted]))
    )
    inner = slice(150, None)  # beyond the windows of the border that moved
    assert np.abs(whole[shifted][inner] - part[inner]).max() < 0.05

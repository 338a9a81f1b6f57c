"""Losses against plain float64 loops over pixels and windows, and by property."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from class_jax.losses import class_loss, object_loss, pixel_loss, region_loss, window_means

pytestmark = pytest.mark.device


def draw(shape, seed=0):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.standard_normal(shape)
    return logits, rng.uniform(size=shape)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def pixel_by_formula(logits, masks):
    s = sigmoid(logits)
    return float(np.mean(-(masks * np.log(s) + (1 - masks) * np.log(1 - s))))


def region_by_loop(maps, masks):
    total, windows = 0.0, 0
    for top in range(maps.shape[0] - 10):
        for left in range(maps.shape[1] - 10):
            s = maps[top : top + 11, left : left + 11]
            g = masks[top : top + 11, left : left + 11]
            sigma_s, sigma_g = np.sqrt(s.var() + 1e-6), np.sqrt(g.var() + 1e-6)
            total += (s.mean() - g.mean()) ** 2 + (sigma_s - sigma_g) ** 2
            windows += 1
    return total / windows


def object_by_formula(maps, masks):
    hits = (maps * masks).sum()
    precision = hits / (maps.sum() + 1e-7)
    recall = hits / (masks.sum() + 1e-7)
    return 1 - 1.3 * precision * recall / (0.3 * precision + recall + 1e-7)


def test_pixel_loss_is_cross_entropy():
    logits, masks = draw((2, 13, 17))
    expected = [pixel_by_formula(x, g) for x, g in zip(logits, masks, strict=True)]
    np.testing.assert_allclose(pixel_loss(jnp.array(logits), jnp.array(masks)), expected, rtol=1e-5)


def test_region_loss_equals_a_loop_over_windows():
    logits, masks = draw((2, 14, 19))
    maps = sigmoid(logits)
    masks[1] = masks[1] > 0.5
    expected = [region_by_loop(s, g) for s, g in zip(maps, masks, strict=True)]
    np.testing.assert_allclose(region_loss(jnp.array(maps), jnp.array(masks)), expected, rtol=1e-4)


def test_object_loss_is_one_minus_soft_f():
    logits, masks = draw((3, 12, 12))
    maps = sigmoid(logits)
    expected = [object_by_formula(s, g) for s, g in zip(maps, masks, strict=True)]
    np.testing.assert_allclose(object_loss(jnp.array(maps), jnp.array(masks)), expected, rtol=1e-5)


def test_total_weights_stages_by_halves():
    logits, masks = draw((4, 2, 12, 15))
    masks = masks[0]
    expected = 0.0
    for stage, weight in enumerate((1, 1 / 2, 1 / 4, 1 / 8)):
        for x, g in zip(logits[stage], masks, strict=True):
            s = sigmoid(x)
            terms = pixel_by_formula(x, g) + region_by_loop(s, g) + object_by_formula(s, g)
            expected += weight * terms / 2
    total, finest = class_loss(jnp.array(logits), jnp.array(masks))
    assert float(total) == pytest.approx(expected, rel=1e-5)
    assert float(finest["loss_pixel"]) == pytest.approx(
        np.mean([pixel_by_formula(x, g) for x, g in zip(logits[0], masks, strict=True)]), rel=1e-5
    )


def test_region_gradient_equals_finite_differences_in_float64():
    logits, masks = draw((1, 12, 13), seed=3)
    maps = sigmoid(logits)
    gradient = jax.grad(lambda s: region_loss(s, jnp.array(masks)).sum())(jnp.array(maps))
    for row, column in ((0, 0), (5, 6), (11, 12), (3, 9)):
        step = np.zeros_like(maps[0])
        step[row, column] = 1e-6
        up, down = (region_by_loop(maps[0] + sign * step, masks[0]) for sign in (1, -1))
        assert float(gradient[0, row, column]) == pytest.approx(
            (up - down) / 2e-6, rel=2e-3, abs=1e-6
        )


@pytest.mark.parametrize("value", [0.0, 0.999, 1.0])
@pytest.mark.parametrize("mask", [0.0, 1.0])
def test_constant_maps_and_masks_give_finite_values_and_gradients(value, mask):
    # A logit of ±40 saturates float32's sigmoid: exactly 0 or 1.
    logit = {0.0: -120.0, 0.999: 6.9, 1.0: 120.0}[value]
    logits = jnp.full((4, 1, 24, 24), logit)
    masks = jnp.full((1, 24, 24), mask)
    loss, gradient = jax.value_and_grad(lambda x: class_loss(x, masks)[0])(logits)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


def test_window_statistics_of_a_constant_do_not_make_a_negative_root():
    # float32 makes E[x²] − μ² of this constant slightly negative.
    constant = jnp.full((1, 32, 32), 0.999)
    np.testing.assert_allclose(region_loss(constant, constant), 0.0, atol=1e-12)
    gradient = jax.grad(lambda s: region_loss(s, jnp.ones_like(s)).sum())(constant)
    assert np.isfinite(gradient).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_properties(seed):
    logits, masks = draw((2, 12, 14), seed)
    maps = jnp.array(sigmoid(logits), jnp.float32)
    masks = jnp.array(masks, jnp.float32)
    np.testing.assert_allclose(region_loss(masks, masks), 0.0, atol=1e-12)
    for loss in (region_loss, object_loss):
        whole = loss(maps, masks)
        for axis in (1, 2):
            flipped = loss(jnp.flip(maps, axis), jnp.flip(masks, axis))
            np.testing.assert_allclose(flipped, whole, rtol=1e-4)
        np.testing.assert_allclose(loss(maps[1:], masks[1:])[0], whole[1], rtol=1e-5)


def test_windows_lie_inside_the_image():
    x = jnp.arange(11 * 12, dtype=jnp.float32).reshape(1, 11, 12)
    expected = [[float(np.arange(132).reshape(11, 12)[:, k : k + 11].mean()) for k in (0, 1)]]
    np.testing.assert_allclose(window_means(x)[0], expected, rtol=1e-6)


def test_images_smaller_than_a_window_are_refused():
    with pytest.raises(ValueError, match="smaller than a 11x11 window"):
        region_loss(jnp.zeros((1, 10, 20)), jnp.zeros((1, 10, 20)))

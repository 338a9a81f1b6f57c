"""Crop, flip and resize treat image and mask alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from class_jax.data.augment import Augmentation, augment, random_span


def augmented(example, seed, *, side, crop):
    """Image and mask, in arrays that were not empty before."""
    image, mask = np.full((side, side, 3), 7, np.uint8), np.full((side, side), 9, np.uint8)
    settings = Augmentation(crop=crop)
    augment(example, np.random.default_rng(seed), settings=settings, image=image, mask=mask)
    return image, mask


@given(st.integers(1, 400), st.floats(0, 0.99), st.integers(0, 2**20))
def test_at_most_the_share_is_cropped(side, crop, seed):
    span = random_span(side, np.random.default_rng(seed), crop=crop)
    assert 0 <= span.start < span.stop <= side
    assert side - (span.stop - span.start) <= side * crop


def test_all_crops_occur_and_none_without_crop():
    spans = {
        (span.start, span.stop)
        for seed in range(400)
        for span in [random_span(16, np.random.default_rng(seed), crop=1 / 8)]
    }
    assert spans == {(0, 16), (0, 15), (1, 16), (0, 14), (1, 15), (2, 16)}
    assert random_span(16, np.random.default_rng(0), crop=0) == slice(0, 16)


@given(st.integers(0, 2**20))
def test_image_and_mask_stay_aligned(seed):
    mask = np.random.default_rng(seed).integers(0, 256, (40, 60), np.uint8)
    example = {"name": "x", "image": np.repeat(mask[..., None], 3, axis=-1), "mask": mask}
    image, resized = augmented(example, seed, side=32, crop=0.125)
    for channel in range(3):
        np.testing.assert_array_equal(image[..., channel], resized)


def test_half_of_the_images_are_flipped_and_masks_stay_soft():
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (60, 1))
    example = {"name": "x", "image": np.repeat(ramp[..., None], 3, axis=-1), "mask": ramp}
    results = [augmented(example, seed, side=60, crop=0)[1] for seed in range(300)]
    flipped = [np.array_equal(result, ramp[:, ::-1]) for result in results]
    assert all(np.array_equal(r, ramp) for r, f in zip(results, flipped, strict=True) if not f)
    assert np.mean(flipped) == pytest.approx(0.5, abs=0.1)

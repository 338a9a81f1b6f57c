"""Colour, grey, blur and JPEG beside formulas, and composites."""

import cv2
import numpy as np
import pytest

from class_jax.data.augment import Augmentation, augment, random_window
from class_jax.data.photometric import blur, compress, jitter_colour, paste_object, take_colour

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_colours_change_by_the_formula():
    gain, contrast, saturation, *tint = 1 + 0.5 * np.array([0.4, 0.4, 0.5, 0.1, 0.1, 0.1]) * rng(
        3
    ).uniform(-1, 1, 6)
    x = IMAGE.astype(np.float64)
    grey = (x @ [0.299, 0.587, 0.114])[..., None]
    y = gain * (grey.mean() + contrast * (grey + saturation * (x - grey) - grey.mean())) * tint
    got = jitter_colour(IMAGE, rng(3), strength=0.5)
    np.testing.assert_allclose(got, np.clip(y, 0, 255), atol=0.51)


def test_no_strength_changes_no_colour():
    np.testing.assert_array_equal(jitter_colour(IMAGE, rng(), strength=0.0), IMAGE)


def test_grey_is_the_luma_in_all_channels():
    got = take_colour(IMAGE)
    for channel in range(3):
        np.testing.assert_allclose(got[..., channel], IMAGE @ [0.299, 0.587, 0.114], atol=0.51)


def test_blur_keeps_the_mean_and_takes_contrast():
    noise = np.random.default_rng(1).integers(0, 256, (224, 224, 3), np.uint8)
    got = blur(noise, rng())
    assert abs(got.mean() - noise.mean()) < 1
    assert got.std() < 0.8 * noise.std()


def test_jpeg_stays_near_and_is_not_the_same():
    ramp = np.linspace(20, 230, 64)
    smooth = np.stack(np.broadcast_arrays(ramp[:, None], ramp, ramp[::-1]), axis=-1).astype(
        np.uint8
    )
    got = compress(smooth, rng()).astype(int)
    assert 0 < np.abs(got - smooth).mean() < 10


def square():
    """A red square on black, 20 of 60 pixels wide."""
    image, mask = np.zeros((60, 60, 3), np.uint8), np.zeros((60, 60), np.uint8)
    image[20:40, 20:40], mask[20:40, 20:40] = (255, 0, 0), 255
    return {"name": "a", "image": image, "mask": mask}


@pytest.mark.parametrize("seed", range(5))
def test_a_composite_shows_the_object_where_its_mask_says(seed):
    background = np.full((80, 100, 3), (0, 0, 255), np.uint8)
    made = paste_object(square(), background, rng(seed))
    assert made["image"].shape == (80, 100, 3)
    core = cv2.erode(made["mask"], np.ones((9, 9), np.uint8)) == 255
    outside = cv2.dilate(made["mask"], np.ones((9, 9), np.uint8)) == 0
    assert (made["image"][core] == (255, 0, 0)).all()
    assert (made["image"][outside] == (0, 0, 255)).all()
    rows = np.flatnonzero((made["mask"] > 128).any(axis=1))
    assert 0.3 * 80 - 1 <= len(rows) <= 0.9 * 80 + 1


@pytest.mark.parametrize("level", [0, 255])
def test_nothing_and_everything_make_no_composite(level):
    example = square() | {"mask": np.full((60, 60), level, np.uint8)}
    assert paste_object(example, IMAGE, rng()) is None


@pytest.mark.parametrize("seed", range(20))
def test_a_window_keeps_most_of_the_object_and_its_size(seed):
    mask = square()["mask"]
    rows, columns = random_window(mask, rng(seed), scale=0.4)
    assert (mask[rows, columns] > 128).sum() >= 0.7 * 400
    height, width = mask[rows, columns].shape
    assert 24 <= height <= 60
    assert 24 <= width <= 60


def run(settings, seed=0, backgrounds=None):
    image, mask = np.empty((32, 32, 3), np.uint8), np.empty((32, 32), np.uint8)
    augment(square(), rng(seed), settings=settings, image=image, mask=mask, backgrounds=backgrounds)
    return image, mask


def test_kinds_that_are_switched_off_draw_no_random_number():
    ours, papers = rng(4), rng(4)
    image, mask = np.empty((32, 32, 3), np.uint8), np.empty((32, 32), np.uint8)
    augment(square(), ours, settings=Augmentation(crop=0.125), image=image, mask=mask)
    for _ in range(2):  # rows and columns: how many pixels of 60 are removed, and where
        papers.integers(0, papers.integers(0, 7 + 1) + 1)
    papers.random()  # the flip
    assert ours.random() == papers.random()


def test_pixels_change_and_masks_do_not_with_colour():
    (image, mask), (coloured, same) = run(Augmentation()), run(Augmentation(colour=1.0))
    np.testing.assert_array_equal(mask, same)
    assert np.any(image != coloured)


def test_composites_come_from_the_backgrounds():
    class Blue:
        names = ("b",)

        def load(self, index, side=None):
            del index, side
            return {"name": "b", "image": np.full((50, 50, 3), (0, 0, 255), np.uint8), "mask": None}

    image, mask = run(Augmentation(composite=1.0), backgrounds=Blue())
    assert image[cv2.dilate(mask, np.ones((7, 7))) == 0][:, 2].min() > 250

"""Sources of examples: pairs of files read in place, and which of them are held out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from class_jax.data.check import facts_of
from class_jax.data.masks import SCALED
from class_jax.data.sources import AS_STORED, FITTED, Pair, PairSource, hold_out
from class_jax.errors import UserError

RNG = np.random.default_rng(0)
MASK = np.zeros((40, 60), np.uint8)
MASK[5:20, 10:40] = 255
PIXELS = np.dstack([MASK // 2, MASK, 255 - MASK])


def source_of(tmp_path, image, mask, *, orientation=1, **options):
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(image).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(mask).save(tmp_path / "a_mask.png")
    return PairSource([Pair("a", tmp_path / "a.png", (tmp_path / "a_mask.png",))], **options)


def test_an_example_holds_image_and_mask(tmp_path):
    example = source_of(tmp_path, PIXELS, MASK).load(0)
    assert (example["name"], example["size"]) == ("a", (40, 60))
    np.testing.assert_array_equal(example["image"], PIXELS)
    np.testing.assert_array_equal(example["mask"], MASK)


def test_a_mask_is_shrunk_with_its_reduced_image(tmp_path):
    large = np.repeat(np.repeat(PIXELS, 16, axis=0), 16, axis=1)
    Image.fromarray(large).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(np.repeat(np.repeat(MASK, 16, axis=0), 16, axis=1)).save(tmp_path / "a.png")
    example = PairSource([Pair("a", tmp_path / "a.jpg", (tmp_path / "a.png",))]).load(0, side=40)
    assert (example["image"].shape, example["size"]) == ((80, 120, 3), large.shape[:2])
    np.testing.assert_array_equal(example["mask"], np.repeat(np.repeat(MASK, 2, 0), 2, 1))


def test_a_mask_drawn_on_the_stored_pixels_makes_its_image_count_as_stored(tmp_path):
    source = source_of(tmp_path, PIXELS, MASK, orientation=6)
    example = source.load(0)
    np.testing.assert_array_equal(example["image"], PIXELS)
    np.testing.assert_array_equal(example["mask"], MASK)
    assert source.read(0, 32)[0].guesses == (AS_STORED,)


def test_a_mask_drawn_on_the_upright_image_fits_it(tmp_path):
    source = source_of(tmp_path, PIXELS, np.rot90(MASK, -1), orientation=6)
    np.testing.assert_array_equal(source.load(0)["image"], np.rot90(PIXELS, -1))
    (guess,) = source.read(0, 32)[0].guesses
    assert "turned upright by EXIF" in guess
    assert "mask must be drawn on the upright image" in guess


@pytest.mark.parametrize("shape", [(41, 60), (40, 61), (80, 120), (20, 30)])
def test_a_mask_of_another_size_is_refused_or_fitted_if_asked(tmp_path, shape):
    other = np.zeros(shape, np.uint8)
    other[: shape[0] // 2] = 255
    with pytest.raises(UserError) as error:
        source_of(tmp_path, PIXELS, other).load(0)
    for words in (f"{shape[1]}x{shape[0]}", "60x40", "same size", "config.data.fit_masks=true"):
        assert words in str(error.value)
    source = source_of(tmp_path, PIXELS, other, fit_masks=True)
    mask = source.load(0)["mask"]
    assert mask.shape == (40, 60)
    assert set(np.unique(mask)) == {0, 255}
    assert source.read(0, 32)[0].guesses == (FITTED,)


def test_a_mask_of_another_aspect_is_refused_in_any_case(tmp_path):
    with pytest.raises(UserError, match="expected the same size") as error:
        source_of(tmp_path, PIXELS, MASK[:, :50], fit_masks=True).load(0)
    assert "fit_masks" not in str(error.value)


def test_the_facts_of_a_pair(tmp_path):
    picture, mask = source_of(tmp_path, PIXELS, MASK // 2).read(0, 32)
    assert (picture.height, picture.width) == (40, 60)
    facts = facts_of(mask, picture)
    assert (facts.size, facts.border, facts.guesses) == ((40, 60), 0, (SCALED,))
    assert facts.salient == pytest.approx((MASK > 0).mean())


def test_classes_that_are_salient(tmp_path):
    classes = RNG.integers(0, 4, MASK.shape, np.uint8)
    source = source_of(tmp_path, PIXELS, classes, salient=(2, 3))
    np.testing.assert_array_equal(source.load(0)["mask"], 255 * (classes >= 2))


def test_a_fingerprint_changes_with_either_file(tmp_path):
    source = source_of(tmp_path, PIXELS, MASK)
    before = source.fingerprint(0)
    assert source.fingerprint(0) == before
    Image.fromarray(MASK[::-1]).save(tmp_path / "a_mask.png", compress_level=0)
    assert source.fingerprint(0) != before


@given(st.sets(st.text(min_size=1), min_size=2, max_size=40), st.text(min_size=1))
def test_held_out_parts_are_a_partition_that_new_names_do_not_disturb(names, new):
    names = sorted(names)
    held_out = hold_out(names)
    assert held_out
    assert held_out < set(names)
    # A part of one may be the exception for small sets.
    if 1 < len(held_out) < len(names) - 1 and new not in names:
        grown = [*names, new]
        assert hold_out(grown) - {new} == held_out


def test_about_a_tenth_is_held_out():
    names = [f"image_{index}" for index in range(5000)]
    assert 0.08 < len(hold_out(names)) / 5000 < 0.12
    with pytest.raises(UserError, match="too few"):
        hold_out(["only"])

"""Masks and maps of every kind that people have come out with the right values, or are refused."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from class_jax.data.masks import (
    ALPHA,
    CLASSES,
    EIGHT_OF_SIXTEEN,
    SCALED,
    load_map,
    load_mask,
)
from class_jax.errors import UserError

rng = np.random.default_rng(0)
DISC = np.hypot(*(np.mgrid[:24, :32] - np.array([12, 16])[:, None, None])) < 8
FULL = np.where(DISC, 255, 0).astype(np.uint8)
SOFT = (FULL * rng.uniform(0.5, 1, FULL.shape)).astype(np.uint8)
SOFT[12, 16] = 255
PHOTO = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)


def rgba(colours, alpha):
    return Image.fromarray(np.dstack([np.broadcast_to(colours, (24, 32, 3)), alpha]).astype("u1"))


def palette(indices, colours):
    image = Image.fromarray(indices.astype(np.uint8), "P")
    image.putpalette(list(np.ravel(colours)))
    return image


VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
CLASS_MASK = np.where(DISC, 1, 0)
CLASS_MASK[:4] = 2


@pytest.mark.parametrize("constant", [0, 255, 90])
@pytest.mark.parametrize("alpha", [FULL, SOFT])
def test_an_alpha_channel_over_one_colour_is_the_mask(constant, alpha):
    levels, guesses, _ = load_mask(rgba([constant] * 3, alpha))
    np.testing.assert_array_equal(levels, alpha)
    assert guesses == (ALPHA,)


def test_the_alpha_of_a_cut_out_is_the_mask():
    levels, guesses, _ = load_mask(rgba(PHOTO, FULL))
    np.testing.assert_array_equal(levels, FULL)
    assert guesses == (ALPHA,)


def test_the_alpha_of_grey_with_alpha_is_the_mask():
    image = Image.merge("LA", (Image.new("L", (32, 24)), Image.fromarray(FULL)))
    levels, guesses, _ = load_mask(image)
    np.testing.assert_array_equal(levels, FULL)
    assert guesses == (ALPHA,)


def test_the_transparent_colour_of_a_palette_is_background():
    image = palette(DISC, [(0, 0, 0), (0, 0, 0)])
    image.info["transparency"] = 0
    levels, guesses, _ = load_mask(image)
    np.testing.assert_array_equal(levels, FULL)
    assert guesses == (ALPHA,)


def test_an_opaque_alpha_says_nothing():
    assert load_mask(rgba(FULL[..., None], np.full_like(FULL, 255))).guesses == ()
    np.testing.assert_array_equal(load_mask(rgba(FULL[..., None], 255 + 0 * FULL)).levels, FULL)


def test_a_mask_of_which_nothing_is_visible_is_empty():
    assert load_mask(rgba([255] * 3, 0 * FULL)).levels.max() == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_soft_values_stay(dtype):
    levels, *_ = load_mask(Image.fromarray(SOFT.astype(dtype)))
    np.testing.assert_array_equal(levels, SOFT)


@pytest.mark.parametrize("highest", [1, 255])
def test_two_levels_need_no_word(highest):
    mask = DISC.astype(np.uint8) * np.uint8(highest)
    assert load_mask(Image.fromarray(mask)).guesses == ()
    np.testing.assert_array_equal(load_mask(Image.fromarray(mask)).levels, FULL)


@pytest.mark.parametrize("highest", [127, 128, 200, 254])
def test_the_higher_of_two_values_becomes_255(highest):
    mask = DISC.astype(np.uint8) * np.uint8(highest)
    levels, guesses, _ = load_mask(Image.fromarray(mask))
    np.testing.assert_array_equal(levels, FULL)
    assert guesses == (SCALED,)


@pytest.mark.parametrize("mode", ["1", "RGB", "I;16"])
def test_every_way_to_store_two_levels_gives_them(mode):
    image = {
        "1": Image.fromarray(DISC),
        "RGB": Image.fromarray(FULL).convert("RGB"),
        "I;16": Image.fromarray(FULL.astype(np.uint16) * 257),
    }[mode]
    assert image.mode == mode
    np.testing.assert_array_equal(load_mask(image).levels, FULL)


def test_sixteen_bits_that_hold_eight_are_said():
    assert load_mask(Image.fromarray(FULL.astype(np.uint16))).guesses == (EIGHT_OF_SIXTEEN,)


@pytest.mark.parametrize("classes", [(0, 38), (0, 1, 2), (0, 5, 100), (0, 2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_class_numbers_are_refused_with_the_highest_and_the_leaf(classes, dtype):
    values = np.resize(np.array(classes, dtype), (24, 32))
    with pytest.raises(UserError) as error:
        load_mask(Image.fromarray(values))
    assert f"the PIL image has {classes[-1]} as its highest value: class numbers?" in str(
        error.value
    )
    assert "0/1 or 0/255" in str(error.value)
    assert "config.data.salient" in str(error.value)


def test_a_palette_of_classes_is_refused():
    with pytest.raises(UserError, match=r"a palette of the numbers 0, 1, 2: class numbers\?"):
        load_mask(palette(CLASS_MASK, VOC))


@pytest.mark.parametrize(("salient", "chosen"), [((1,), [1]), ((2,), [2]), (("any",), [1, 2])])
@pytest.mark.parametrize("stored", ["palette", "grey", "sixteen bits"])
def test_the_classes_that_are_salient_make_the_mask(salient, chosen, stored):
    border = CLASS_MASK.copy()
    border[:, 0] = 255  # VOC's border between objects
    image = {
        "palette": palette(border, VOC + [(0, 0, 0)] * 252 + [(224, 224, 192)]),
        "grey": Image.fromarray(border.astype(np.uint8)),
        "sixteen bits": Image.fromarray(border.astype(np.uint16)),
    }[stored]
    levels, guesses, _ = load_mask(image, salient=salient)
    np.testing.assert_array_equal(levels, 255 * np.isin(border, chosen))
    assert guesses == (CLASSES,)


def test_a_coloured_palette_of_two_indices_is_a_mask():
    levels, *_ = load_mask(palette(DISC, [(0, 0, 0), (128, 0, 0)]))
    np.testing.assert_array_equal(levels, FULL)


def test_a_palette_of_greys_gives_its_greys():
    indices = rng.integers(0, 3, (24, 32))
    greys = np.array([0, 160, 255])
    image = palette(indices, np.repeat(greys[:, None], 3, axis=1))
    np.testing.assert_array_equal(load_mask(image).levels, greys[indices])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16", "CMYK"])
def test_a_black_picture_is_an_empty_mask(mode):
    image = Image.new("RGB", (32, 24)).convert(mode if mode != "I;16" else "L")
    image = image.convert("I;16") if mode == "I;16" else image
    levels, *_ = load_mask(image)
    np.testing.assert_array_equal(levels, np.zeros((24, 32)))
    np.testing.assert_array_equal(load_map(image).levels, np.zeros((24, 32)))


def test_colours_are_refused():
    for read in (load_mask, load_map):
        with pytest.raises(UserError, match="the PIL image is in colour"):
            read(Image.fromarray(PHOTO))


@given(st.integers(0, 255), st.integers(0, 255))
def test_every_mask_comes_out_full_or_is_refused(low, high):
    values = np.where(DISC, high, low).astype(np.uint8)
    try:
        levels, *_ = load_mask(Image.fromarray(values))
    except UserError:
        assert 2 <= max(low, high) < 127
    else:
        assert levels.max() in (0, 255)


def test_a_map_keeps_its_levels():
    low = (SOFT // 8).astype(np.uint8)
    np.testing.assert_array_equal(load_map(Image.fromarray(low)).levels, low)


def test_sixteen_bits_of_a_map_are_rounded_to_eight():
    deep = (SOFT.astype(np.uint16) << 8) + 7
    expected = np.rint(deep.astype(np.float64) / 257)
    np.testing.assert_array_equal(load_map(Image.fromarray(deep)).levels, expected)


def test_a_map_of_floats_is_scaled_from_0_1():
    floats = (SOFT / 255).astype(np.float32)
    np.testing.assert_array_equal(load_map(Image.fromarray(floats)).levels, SOFT)
    with pytest.raises(UserError, match="holds floats from 0 to 200: expected 0 to 1"):
        load_map(Image.fromarray(floats * 200))


def test_a_highest_level_of_a_map_may_be_given():
    image = Image.fromarray(SOFT.astype(np.uint16))
    np.testing.assert_array_equal(load_map(image, highest=255).levels, SOFT)
    half = np.rint(SOFT * (255 / 510))
    np.testing.assert_array_equal(load_map(image, highest=510).levels, half)
    with pytest.raises(UserError, match="holds uint16 values up to 255: 100 cannot"):
        load_map(image, highest=100)


@pytest.mark.parametrize("colours", [[255] * 3, PHOTO])
def test_the_alpha_of_a_cut_out_is_its_map(colours):
    levels, guesses, _ = load_map(rgba(colours, SOFT))
    np.testing.assert_array_equal(levels, SOFT)
    assert guesses == (ALPHA,)


@pytest.mark.parametrize("classes", [(0, 1, 255), (0, 15, 255), (0, 3, 7, 255)])
def test_class_numbers_beside_vocs_border_are_refused(classes):
    values = np.where(DISC, classes[1], 0).astype(np.uint8)
    values[:2] = classes[-2]
    values[11, :] = 255
    with pytest.raises(UserError, match=r"the PIL image has 255 and .*: class numbers\?"):
        load_mask(Image.fromarray(values))
    levels, *_ = load_mask(Image.fromarray(values), salient=("any",))
    np.testing.assert_array_equal(levels, 255 * ((values > 0) & (values < 255)))


def test_a_mask_with_a_few_low_edge_pixels_is_soft():
    values = FULL.copy()
    values[12, 4:7] = (9, 40, 90)
    np.testing.assert_array_equal(load_mask(Image.fromarray(values)).levels, values)


@pytest.mark.parametrize("numbers", [(0, 300, 10), (0, 26001, 33001)])
def test_numbers_of_objects_in_16_bits_are_refused(numbers):
    values = np.resize(np.array(numbers, np.uint16), (24, 32))
    with pytest.raises(UserError, match=rf"has {max(numbers)} as its highest value in 16 bits"):
        load_mask(Image.fromarray(values))


@pytest.mark.parametrize("highest", [4095, 1023, 40000])
def test_two_values_in_16_bits_become_0_and_255(highest):
    levels, guesses, _ = load_mask(Image.fromarray(DISC.astype(np.uint16) * np.uint16(highest)))
    np.testing.assert_array_equal(levels, FULL)
    assert guesses == (SCALED,)


def test_a_jpeg_of_0_and_128_is_scaled():
    file = io.BytesIO()
    Image.fromarray(np.kron(DISC, np.ones((8, 8))).astype(np.uint8) * np.uint8(128)).save(
        file, format="JPEG", quality=90
    )
    levels, guesses, _ = load_mask(Image.open(file))
    assert guesses == (SCALED,)
    np.testing.assert_array_equal(levels > 128, np.kron(DISC, np.ones((8, 8))) > 0)


@pytest.mark.parametrize("channel", [0, 2])
def test_class_numbers_in_one_channel_are_no_grey(channel):
    colours = np.zeros((24, 32, 3), np.uint8)
    colours[..., channel] = 4 * DISC
    with pytest.raises(UserError, match="is in colour"):
        load_mask(Image.fromarray(colours))


@pytest.mark.parametrize("constant", [0, 128])
def test_a_constant_alpha_over_a_mask_says_nothing(constant):
    levels, guesses, _ = load_mask(rgba(FULL[..., None], np.full_like(FULL, constant)))
    np.testing.assert_array_equal(levels, FULL)
    assert guesses == ()


@pytest.mark.parametrize(("highest", "guesses"), [(1, (ALPHA,)), (128, (ALPHA, SCALED))])
def test_alpha_of_two_values_becomes_0_and_255(highest, guesses):
    reading = load_mask(rgba([9, 9, 9], DISC.astype(np.uint8) * np.uint8(highest)))
    np.testing.assert_array_equal(reading.levels, FULL)
    assert reading.guesses == guesses


@pytest.mark.parametrize("image", [Image.fromarray(SOFT), Image.fromarray(np.float32(SOFT / 255))])
def test_a_top_level_that_the_format_cannot_have_is_refused(image):
    with pytest.raises(UserError, match="65535 cannot be the level that stands for 1"):
        load_map(image, highest=65535)


def test_values_that_are_not_finite_are_called_so():
    with pytest.raises(UserError, match="holds values that are not finite"):
        load_mask(Image.fromarray(np.full((4, 4), np.nan, np.float32)))

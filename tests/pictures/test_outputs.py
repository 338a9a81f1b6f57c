"""Cut-outs: colours without the old background, edges at the picture's, backgrounds, crops."""

import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from class_jax.data.images import Original, convert_colours, encode, load_original
from class_jax.errors import UserError
from class_jax.pictures.alpha import blur_background, estimate_foreground, refine_alpha
from class_jax.pictures.drawing import lay_over
from class_jax.pictures.outputs import Output, Scene
from class_jax.pictures.outputs import render as render_scene
from class_jax.pictures.settings import parse_background


def render(output, saliency, image, name, profile=None):
    original = None if image is None else Original(image, {"icc_profile": profile})
    return render_scene(output, Scene(saliency, original, name))


def soft_disc(size=160, radius=50, softness=12):
    """The alpha of a disc with a soft edge, float32."""
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(y - size / 2, x - size / 2)
    return np.clip((radius - distance) / softness + 0.5, 0, 1).astype(np.float32)


def smooth_colours(seed, size=160):
    """Colours that vary slowly, uint8 RGB."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def mean_error(alpha, colours, truth):
    return np.abs(colours.astype(float) - truth)[(alpha > 0.05) & (alpha < 0.95)].mean()


@pytest.mark.parametrize("seed", range(4))
def test_a_cut_out_laid_on_another_colour_is_nearer_the_truth_than_plain_copying(seed):
    alpha = soft_disc()
    foreground, background = smooth_colours(seed), smooth_colours(seed + 10)
    image = lay_over(foreground, alpha, background)
    third = np.full_like(image, (40, 200, 90))
    truth = alpha[..., None] * foreground.astype(float) + (1 - alpha[..., None]) * third
    plain = mean_error(alpha, lay_over(image, alpha, third), truth)
    ours = mean_error(alpha, lay_over(estimate_foreground(image, alpha), alpha, third), truth)
    assert ours < 0.65 * plain, (ours, plain)


def test_edges_move_to_those_of_the_picture():
    hard = soft_disc(200, 60, 0.5)
    rng = np.random.default_rng(0)
    image = np.where(hard[..., None] > 0.5, (200, 60, 40), (60, 90, 160)).astype(float)
    image = (image + rng.normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)
    small = cv2.resize(hard, (25, 25), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(small, (200, 200), interpolation=cv2.INTER_LINEAR)
    before, after = (np.abs(x - hard).mean() for x in (coarse, refine_alpha(image, coarse)))
    assert after < 0.3 * before, (after, before)


def test_an_edge_that_the_picture_does_not_show_stays():
    saliency = soft_disc(softness=4)
    flat = np.full((160, 160, 3), 128, np.uint8)
    refined = refine_alpha(flat, saliency)
    assert ((refined > 0.5) == (saliency > 0.5)).mean() > 0.98


def test_the_blurred_background_holds_none_of_the_object():
    alpha = soft_disc(softness=0.5)
    image = lay_over(
        np.full((160, 160, 3), 255, np.uint8), alpha, np.zeros((160, 160, 3), np.uint8)
    )
    assert blur_background(image, alpha)[alpha == 0].max() <= 8


def test_an_overlay_dims_what_is_not_salient():
    saliency, image = soft_disc(), smooth_colours(2)
    drawn = render(Output("overlay"), saliency, image, "x")
    factor = 0.25 + 0.75 * saliency[..., None]
    np.testing.assert_allclose(drawn, image * factor.astype(float), atol=0.51)


def test_a_threshold_gives_a_hard_mask():
    saliency = soft_disc()
    levels = render(Output(threshold=0.3), saliency, None, "x")
    np.testing.assert_array_equal(levels, np.where(saliency >= 0.3, 255, 0))
    alpha = render(Output("cutout", threshold=0.3), saliency, smooth_colours(3), "x")[..., 3]
    assert set(np.unique(alpha)) == {0, 255}


def test_a_crop_keeps_the_object_with_five_percent_around():
    saliency = np.zeros((100, 200), np.float32)
    saliency[20:60, 50:150] = 0.9
    levels = render(Output(crop=True), saliency, None, "x")
    assert levels.shape == (40 + 2 * 2, 100 + 2 * 5)
    assert (levels > 0).sum() == 40 * 100
    nothing = render(Output(crop=True), np.zeros((10, 20), np.float32), None, "x")
    assert nothing.shape == (10, 20)
    corner = np.zeros((100, 200), np.float32)
    corner[:40, :100] = 1
    assert render(Output(crop=True), corner, None, "x").shape == (42, 105)


def test_backgrounds_are_colours_pictures_or_blurred(tmp_path):
    saliency = np.zeros((40, 60), np.float32)
    image = np.zeros((40, 60, 3), np.uint8)
    for text, colour in (("white", 255), ("#0a0a0a", 10)):
        drawn = render(Output("cutout", parse_background(text)), saliency, image, "x")
        assert (drawn == colour).all()
    # A picture is cropped to the aspect of the other: of 300×100 here the middle 150×100.
    picture = np.zeros((100, 300, 3), np.uint8)
    picture[:, 75:225] = 200
    Image.fromarray(picture).save(tmp_path / "behind.png")
    behind = parse_background(str(tmp_path / "behind.png"))
    drawn = render(Output("cutout", behind), saliency, image, "x")
    assert (drawn[:, 1:-1] == 200).all()
    assert drawn.min() > 150  # the edge lies between two pixels
    for wrong in ("whitish", "#12345", "no/such/file.png"):
        with pytest.raises(UserError, match="is not a background: expected a colour"):
            parse_background(wrong)


def test_what_is_transparent_already_stays_so():
    image = np.dstack([smooth_colours(5), np.full((160, 160), 255, np.uint8)])
    image[:, :80, 3] = 0
    drawn = render(Output("cutout"), np.ones((160, 160), np.float32), image, "x")
    assert (drawn[:, :80, 3] == 0).all()
    assert (drawn[:, 80:, 3] == 255).all()


def test_nan_is_no_alpha():
    broken = np.full((4, 4), np.nan, np.float32)
    with pytest.raises(UserError, match="diverged"):
        render(Output("cutout"), broken, np.zeros((4, 4, 3), np.uint8), "x")


def test_profile_resolution_and_orientation_are_kept(tmp_path):
    profile = b"a profile" * 20
    exif = Image.Exif()
    exif[274] = 6
    pixels = smooth_colours(6)[:100]
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png", icc_profile=profile, dpi=(300, 300), exif=exif)
    original = load_original(tmp_path / "a.png")
    np.testing.assert_array_equal(original.pixels, np.rot90(pixels, -1))
    (tmp_path / "b.png").write_bytes(encode(original.pixels, like=original))
    with Image.open(tmp_path / "b.png") as copy:
        assert copy.info["icc_profile"] == profile
        assert copy.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert copy.getexif().get(274) == 1  # upright
    image.convert("L").save(tmp_path / "grey.png", icc_profile=profile)
    assert "icc_profile" not in load_original(tmp_path / "grey.png").metadata


def wide_profile():
    """The profile of sRGB with the primaries of Display P3, as its XYZ tags hold them."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {
        b"rXYZ": (0.5151, 0.2412, -0.0011),
        b"gXYZ": (0.2919, 0.6922, 0.0419),
        b"bXYZ": (0.1572, 0.0666, 0.7841),
    }
    for tag, values in primaries.items():
        entry = profile.index(tag)
        (start,) = struct.unpack(">I", profile[entry + 4 : entry + 8])
        numbers = (round(value * 65536) for value in values)
        profile[start + 8 : start + 20] = struct.pack(">3i", *numbers)
    return bytes(profile)


def test_a_background_has_its_own_colours_under_the_picture_s_profile():
    profile = wide_profile()
    nothing, image = np.zeros((4, 5), np.float32), np.zeros((4, 5, 3), np.uint8)
    drawn = render(Output("cutout", (40, 200, 90)), nothing, image, "x", profile=profile)
    assert np.abs(drawn[0, 0].astype(int) - (40, 200, 90)).max() > 5  # other numbers
    seen = convert_colours(drawn, profile, None)
    np.testing.assert_allclose(seen, np.full((4, 5, 3), (40, 200, 90)), atol=2)
    behind = Original(np.full((4, 5, 3), (9, 99, 199), np.uint8), {"icc_profile": profile})
    drawn = render(Output("cutout", behind), nothing, image, "x", profile=profile)
    assert (drawn == (9, 99, 199)).all()

"""Every kind of file comes out as upright 8-bit RGB, masks as 8-bit grey; bad files are named."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from class_jax.data.decode import (
    FEW_BITS,
    FIRST_FRAME,
    MOST_PIXELS,
    SIXTEEN_BITS,
    UPRIGHT,
    readable_suffixes,
)
from class_jax.data.images import (
    FLOATS,
    ON_WHITE,
    PLAIN_CMYK,
    load_image,
    load_original,
    write_picture,
)
from class_jax.data.masks import load_map, load_mask, read_highest
from class_jax.errors import UserError

GREY = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))  # 48 high, 64 wide
RGB = np.stack([GREY, GREY[::-1, ::-1], np.full_like(GREY, 90)], axis=-1)
MASK = np.zeros((48, 64), np.uint8)
MASK[10:30, 20:50] = 255


def saved(tmp_path, picture, name="x.png", **options):
    path = tmp_path / name
    picture.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("RGB", RGB),
        ("L", np.repeat(RGB[..., :1], 3, axis=-1)),
        ("1", np.where(RGB[..., :1] > 127, 255, 0).repeat(3, axis=-1)),
    ],
)
def test_8_bit_modes_become_rgb(tmp_path, mode, expected):
    source = Image.fromarray(RGB if mode.startswith("RGB") else RGB[..., 0])
    picture = source.convert(mode, dither=Image.Dither.NONE)
    image = load_image(saved(tmp_path, picture)).pixels
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)


def test_palette_and_cmyk_become_rgb(tmp_path):
    flat = np.zeros((8, 8, 3), np.uint8)
    flat[:4], flat[4:] = (200, 30, 60), (20, 90, 250)
    palette = Image.fromarray(flat).quantize(4)
    np.testing.assert_array_equal(load_image(saved(tmp_path, palette)).pixels, flat)
    inks = Image.fromarray(np.full((8, 8, 4), (0, 255, 255, 0), np.uint8), mode="CMYK")
    image = load_image(saved(tmp_path, inks, "x.tif")).pixels
    np.testing.assert_array_equal(image, np.full((8, 8, 3), (255, 0, 0)))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_scaled_not_clipped(tmp_path, suffix):
    deep = (GREY.astype(np.uint16) * 257).astype(np.uint16)
    path = saved(tmp_path, Image.fromarray(deep), f"x.{suffix}")
    np.testing.assert_array_equal(load_image(path).pixels, np.repeat(GREY[..., None], 3, axis=-1))


def test_floats_in_0_1_are_scaled_and_others_refused_truthfully(tmp_path):
    floats = (GREY / 255).astype(np.float32)
    path = saved(tmp_path, Image.fromarray(floats), "x.tif")
    picture = load_image(path)
    np.testing.assert_array_equal(picture.pixels[..., 0], GREY)
    assert picture.guesses == (FLOATS,)
    path = saved(tmp_path, Image.fromarray(floats * 3), "x.tif")
    with pytest.raises(UserError, match=r"holds floats from 0 to 2.96.*expected 0 to 1"):
        load_image(path)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_fewer_than_16_bits_are_scaled_by_the_power_of_two_that_holds_them(tmp_path, bits):
    deep = np.rint(GREY * ((2**bits - 1) / 255)).astype(np.uint16)
    deep[0, 0] = 2**bits - 1
    picture = load_image(saved(tmp_path, Image.fromarray(deep)))
    expected = np.rint(deep.astype(np.float64) * 255 / (2**bits - 1))
    np.testing.assert_array_equal(picture.pixels[..., 1], expected)
    assert picture.guesses == ((SIXTEEN_BITS if bits == 16 else FEW_BITS),)


@pytest.mark.parametrize(("level", "paper"), [(30, 255), (128, 255), (250, 0)])
def test_transparency_lies_on_white_or_on_black_if_what_is_visible_is_nearly_white(
    tmp_path, level, paper
):
    rgba = np.dstack([np.full((*MASK.shape, 3), level, np.uint8), MASK])
    rgba[40:, :, 3] = 51  # a fifth
    picture = load_image(saved(tmp_path, Image.fromarray(rgba)))
    alpha = rgba[..., 3:] / 255
    expected = np.rint(alpha * level + (1 - alpha) * paper).repeat(3, axis=-1)
    np.testing.assert_allclose(picture.pixels, expected, atol=1)
    assert picture.guesses == (ON_WHITE,)


def test_an_opaque_alpha_channel_changes_nothing(tmp_path):
    opaque = np.dstack([RGB, np.full_like(GREY, 255)])
    picture = load_image(saved(tmp_path, Image.fromarray(opaque)))
    np.testing.assert_array_equal(picture.pixels, RGB)
    assert picture.guesses == ()


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_frame_is_used_and_that_is_said(tmp_path, suffix):
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue")]
    path = tmp_path / f"x.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    picture = load_image(path)
    assert picture.guesses == (FIRST_FRAME,)
    np.testing.assert_array_equal(picture.pixels[0, 0], (255, 0, 0))


@pytest.mark.parametrize("suffix", ["avif", "jfif", "jp2", "ppm", "tga", "bmp", "webp", "mpo"])
def test_usual_suffixes_are_read(tmp_path, suffix):
    assert f".{suffix}" in readable_suffixes()
    kind = {"jfif": "JPEG", "mpo": "MPO", "jp2": "JPEG2000"}.get(suffix, suffix.upper())
    Image.fromarray(RGB).save(tmp_path / f"x.{suffix}", format=kind)
    assert load_image(tmp_path / f"x.{suffix}").pixels.shape == RGB.shape


# Lab of paper and prints: of no ink, cyan, magenta, yellow, and two or three of them.
PRINTS = {
    0: (93, 0, 2), 1: (55, -37, -40), 2: (47, 70, -4), 4: (86, -5, 86),
    3: (25, 19, -46), 5: (50, -65, 27), 6: (46, 64, 45), 7: (23, 0, 0),
}  # fmt: skip


def profile_of_prints():
    """An ICC profile of CMYK by a table of the corners, as ICC.1:2001-04 lays it out."""
    labs = [
        np.array(PRINTS[c + 2 * m + 4 * y]) * (1 if not k else (0.3, 0, 0))
        for c, m, y, k in np.ndindex(2, 2, 2, 2)
    ]
    table = np.rint([(L * 2.55, a + 128, b + 128) for L, a, b in labs]).astype(np.uint8).tobytes()
    unit = struct.pack(">9i", *(np.eye(3).ravel() * 65536).astype(int))
    steps = bytes(range(256))
    a2b = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + unit + steps * 4 + table + steps * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    text = b"text\0\0\0\0none\0\0\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + bytes(78)
    tags, data = b"", b""
    for tag, value in ((b"desc", name), (b"cprt", text), (b"wtpt", white), (b"A2B0", a2b)):
        tags += tag + struct.pack(">II", 128 + 4 + 4 * 12 + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    begin = struct.pack(">I4sI", 132 + len(tags) + len(data), b"lcms", 0x02400000)
    begin += b"prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28)
    begin += struct.pack(">3i", 63190, 65536, 54061)
    return begin.ljust(128, b"\0") + struct.pack(">I", 4) + tags + data


def srgb_of_lab(lab):
    """Compute sRGB 0-255 from Lab under D50, in float64."""
    lightness, a, b = np.moveaxis(np.asarray(lab, np.float64), -1, 0)
    f = np.stack([(lightness + 16) / 116 + a / 500, (lightness + 16) / 116,
                  (lightness + 16) / 116 - b / 200], axis=-1)  # fmt: skip
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * (0.9642, 1, 0.8249)
    to_linear = [
        (3.1338561, -1.6168667, -0.4906146),
        (-0.9787684, 1.9161415, 0.0334540),
        (0.0719453, -0.2289914, 1.4052427),
    ]
    linear = np.clip(xyz @ np.transpose(to_linear), 0, 1)
    low = linear <= 0.0031308
    return 255 * np.where(low, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_inks_are_converted_by_their_profile(tmp_path, suffix):
    inks = np.array([(c, m, y, 0) for y, m, c in np.ndindex(2, 2, 2)], np.uint8) * 255
    image = Image.fromarray(np.repeat(np.repeat(inks[None], 16, 0), 16, 1), "CMYK")
    options = {"icc_profile": profile_of_prints()} | ({"quality": 100} if suffix == "jpg" else {})
    image.save(tmp_path / f"x.{suffix}", **options)
    picture = load_image(tmp_path / f"x.{suffix}")
    found = picture.pixels[8, 8::16].astype(int)
    expected = srgb_of_lab([PRINTS[index] for index in range(8)])
    assert np.abs(found - expected).max() < 30  # the black of paper is darkened to that of sRGB
    assert np.abs(found - expected).mean() < 8
    assert np.abs(np.asarray(image.convert("RGB"))[8, 8::16] - expected).mean() > 40
    assert picture.guesses == ()
    np.testing.assert_array_equal(load_original(tmp_path / f"x.{suffix}").pixels, picture.pixels)


@pytest.mark.parametrize("profile", [None, b"damaged", profile_of_prints()[:200]])
def test_inks_without_a_usable_profile_are_converted_plainly_and_that_is_said(tmp_path, profile):
    image = Image.fromarray(np.dstack([RGB, np.zeros_like(GREY)]), "CMYK")
    image.save(tmp_path / "x.tif", icc_profile=profile)
    picture = load_image(tmp_path / "x.tif")
    np.testing.assert_array_equal(picture.pixels, 255 - RGB)
    assert picture.guesses == (PLAIN_CMYK,)


@pytest.mark.parametrize("mode", ["LAB", "YCbCr", "HSV", "RGBX", "RGBa"])
def test_other_colour_spaces_become_rgb(mode):
    smooth = Image.fromarray(RGB // 2 + 60)
    image = smooth.convert("RGBA").convert(mode) if mode == "RGBa" else None
    if mode == "LAB":
        spaces = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(smooth, *spaces, outputMode="LAB")
    found = load_image(image or smooth.convert(mode)).pixels.astype(int)
    assert np.abs(found - np.asarray(smooth)).mean() < 2


def test_a_profile_stays_with_16_bits_of_colour(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep_colour(tmp_path, RGB[..., ::-1].astype(np.uint16) * 257)
    data = (tmp_path / "deep.png").read_bytes()
    packed = b"x\0\0" + zlib.compress(profile)
    crc = zlib.crc32(b"iCCP" + packed)
    chunk = struct.pack(">I", len(packed)) + b"iCCP" + packed + struct.pack(">I", crc)
    (tmp_path / "deep.png").write_bytes(data[:33] + chunk + data[33:])
    original = load_original(tmp_path / "deep.png")
    np.testing.assert_array_equal(original.pixels, RGB)
    assert original.metadata["icc_profile"] == profile


def test_a_damaged_gif_is_named_whatever_pillow_raises(tmp_path):
    header = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0, 0, 0)
    frame = b",\0\0\0\0\4\0\4\0\0\2\1\0\0"
    for tail in (b"!\xf9\0" + frame, b"!\xf9\1\1\0" + frame, b"!\xff\0" + frame, frame[:5], b"!"):
        path = tmp_path / "x.gif"
        path.write_bytes(header + frame + tail)
        for read in (load_image, load_original, load_mask):
            with pytest.raises(UserError, match=r"x\.gif cannot be read as an image"):
                read(path)


@pytest.mark.parametrize("suffix", [".eps", ".ps", ".h5", ".mpg", ".wmf", ".pdf"])
def test_what_pillow_hands_on_or_only_names_is_not_read(suffix):
    assert suffix not in readable_suffixes()


def test_every_kind_of_source_gives_the_same_pixels(tmp_path):
    path = saved(tmp_path, Image.fromarray(RGB))
    with path.open("rb") as file, Image.open(path) as image:
        for source in (path, str(path), path.read_bytes(), file, image, Image.fromarray(RGB)):
            np.testing.assert_array_equal(load_image(source).pixels, RGB)


def test_a_large_jpeg_is_decoded_at_a_scale_of_at_least_twice_the_side(tmp_path):
    large = np.repeat(np.repeat(RGB, 20, axis=0), 20, axis=1)  # 960x1280
    path = saved(tmp_path, Image.fromarray(large), "x.jpg", quality=95)
    picture = load_image(path, side=100)
    assert (picture.height, picture.width) == (960, 1280)
    assert picture.pixels.shape == (240, 320, 3)
    assert load_image(path, side=400).pixels.shape == (960, 1280, 3)
    assert load_image(path).pixels.shape == (960, 1280, 3)
    area = large.reshape(240, 4, 320, 4, 3).mean(axis=(1, 3))
    assert np.abs(picture.pixels - area).mean() < 2


def test_a_reduced_jpeg_that_exif_turns_has_the_upright_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    large = np.repeat(np.repeat(RGB, 20, axis=0), 20, axis=1)
    picture = load_image(saved(tmp_path, Image.fromarray(large), "x.jpg", exif=exif), side=100)
    assert (picture.height, picture.width) == (1280, 960)
    assert picture.pixels.shape == (320, 240, 3)
    assert picture.guesses == (UPRIGHT,)
    stored = load_image(tmp_path / "x.jpg", side=100, upright=False)
    assert (stored.height, stored.width, stored.guesses) == (960, 1280, ())


@pytest.mark.parametrize("mode", ["1", "P", "L", "RGB"])
def test_a_very_large_image_is_shrunk_on_reading(tmp_path, monkeypatch, mode):
    monkeypatch.setattr("class_jax.data.images.LARGE", 100_000)
    path = saved(tmp_path, Image.new(mode, (2000, 1000)))
    picture = load_image(path, side=100)
    assert (picture.height, picture.width) == (1000, 2000)
    assert picture.pixels.shape == (200, 400, 3)


def test_the_number_of_pixels_is_limited(tmp_path):
    path = saved(tmp_path, Image.new("1", (20000, 10000)))
    with pytest.raises(UserError, match=r"has 20000x10000 pixels: at most 178 million"):
        load_image(path)
    assert load_image(path, side=64, most=MOST_PIXELS).pixels.shape[0] >= 128


# What a viewer does for each EXIF orientation, as NumPy writes it.
TURNS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_rotation_is_undone_for_images_and_masks(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(RGB), exif=exif)
    np.testing.assert_array_equal(load_image(path).pixels, TURNS[orientation](RGB))
    path = saved(tmp_path, Image.fromarray(MASK), exif=exif)
    np.testing.assert_array_equal(load_mask(path).levels, TURNS[orientation](MASK))


def palette_of(colours, indices):
    picture = Image.fromarray(indices, mode="P")
    picture.putpalette([value for colour in colours for value in colour])
    return picture


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(MASK),
        Image.fromarray(MASK // 255),
        Image.fromarray(MASK > 0),
        Image.fromarray(np.stack([MASK] * 3, axis=-1)),
        Image.fromarray(np.stack([MASK // 255] * 3, axis=-1)),
        Image.fromarray(np.stack([MASK] * 4, axis=-1)),
        Image.fromarray((MASK // 255).astype(np.uint16)),
        Image.fromarray(MASK.astype(np.uint16) * 257),
        Image.fromarray(MASK.astype(np.uint16)),
        palette_of([(0, 0, 0), (255, 255, 255)], MASK // 255),
        palette_of([(0, 0, 0), (128, 0, 0)], MASK // 255),
        palette_of([(0, 0, 0)] * 255 + [(0, 128, 0)], MASK),
    ],
)
def test_masks_of_every_kind(tmp_path, picture):
    mask = load_mask(saved(tmp_path, picture)).levels
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, MASK)


def test_soft_masks_stay_soft_and_empty_ones_empty(tmp_path):
    np.testing.assert_array_equal(load_mask(saved(tmp_path, Image.fromarray(GREY))).levels, GREY)
    empty = Image.fromarray(np.zeros_like(GREY))
    assert load_mask(saved(tmp_path, empty)).levels.max() == 0


def test_coloured_masks_are_refused(tmp_path):
    with pytest.raises(UserError, match="is in colour, and masks and maps must be grey"):
        load_mask(saved(tmp_path, Image.fromarray(RGB)))
    picture = palette_of([(0, 0, 0), (128, 0, 0), (0, 128, 0)], MASK // 255 + MASK // 128)
    with pytest.raises(UserError, match="class numbers"):
        load_mask(saved(tmp_path, picture))


def test_bad_files_are_named(tmp_path):
    good = saved(tmp_path, Image.fromarray(RGB), "good.jpg")
    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes(good.read_bytes()[:-300])
    text = tmp_path / "text.jpg"
    text.write_text("this is no picture")
    empty = tmp_path / "empty.png"
    empty.touch()
    for path in (truncated, text, empty, tmp_path / "missing.png", tmp_path):
        for read in (load_image, load_mask):
            with pytest.raises(UserError, match=path.name):
                read(path)


def test_maps_are_written_whole_or_not_at_all(tmp_path):
    write_picture(tmp_path / "map.png", GREY)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "map.png")), GREY)
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(UserError, match=r"taken\.png cannot be written"):
        write_picture(tmp_path / "taken.png", GREY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.png", "taken.png"]


@pytest.mark.parametrize("suffix", ["png", "JPG", "jpeg", "gif", "tif", "webp", "bmp"])
def test_maps_are_written_in_the_format_of_their_name(tmp_path, suffix):
    levels = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (32, 1))
    path = tmp_path / "new" / f"map.{suffix}"
    write_picture(path, levels)
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix.lower(), suffix.upper())
    with Image.open(path) as saved:
        assert saved.format == kind
        assert np.abs(np.asarray(saved.convert("L"), np.int64) - levels).max() <= 6  # some lose
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def deep_colour(tmp_path, channels, name="deep.png"):
    path = tmp_path / name
    assert cv2.imwrite(str(path), channels.astype(np.uint16))
    return path


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_of_colour_are_scaled_as_those_of_grey(tmp_path, bits, suffix):
    scaled = np.rint(RGB[..., ::-1].astype(np.float64) * ((2**bits - 1) / 255))
    picture = load_image(deep_colour(tmp_path, scaled, f"x{suffix}"))
    np.testing.assert_array_equal(picture.pixels, RGB)
    assert picture.guesses == ((SIXTEEN_BITS if bits == 16 else FEW_BITS),)


def test_masks_and_maps_in_three_equal_channels_of_16_bits_are_read_as_grey(tmp_path):
    path = deep_colour(tmp_path, np.stack([MASK.astype(np.uint16) * 257] * 3, -1))
    np.testing.assert_array_equal(load_mask(path).levels, MASK)
    np.testing.assert_array_equal(load_map(path).levels, MASK)
    path = deep_colour(tmp_path, np.stack([MASK] * 3, -1), "low.png")
    np.testing.assert_array_equal(load_mask(path).levels, MASK)
    assert read_highest(path) == 255


def test_exif_that_cannot_be_written_back_is_no_matter(tmp_path):
    entries = [(256, 2, 4, b"abc\0"), (274, 3, 1, b"\6\0\0\0")]
    ifd = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + ifd + b"\0\0\0\0"
    path = saved(tmp_path, Image.fromarray(RGB), "x.jpg", quality=100, exif=exif)
    picture = load_image(path)
    assert picture.pixels.shape == (64, 48, 3)
    assert picture.guesses == (UPRIGHT,)


def test_the_orientation_of_a_mask_is_obeyed_and_said(tmp_path):
    exif = Image.Exif()
    exif[274] = 3
    path = saved(tmp_path, Image.fromarray(MASK), exif=exif)
    levels, guesses, _ = load_mask(path)
    np.testing.assert_array_equal(levels, MASK[::-1, ::-1])
    assert guesses == (UPRIGHT,)


def test_pages_of_a_tiff_are_said(tmp_path):
    pages = [Image.fromarray(MASK), Image.fromarray(MASK[::-1])]
    path = saved(tmp_path, pages[0], "x.tif", save_all=True, append_images=pages[1:])
    levels, guesses, _ = load_mask(path)
    np.testing.assert_array_equal(levels, MASK)
    assert guesses == (FIRST_FRAME,)

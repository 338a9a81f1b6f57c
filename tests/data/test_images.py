"""Every kind of file comes out as upright 8-bit RGB, masks as 8-bit grey; bad files are named."""

import numpy as np
import pytest
from PIL import Image

from class_jax.data.images import read_fingerprint, read_image, read_mask, resize, write_map
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
        ("RGBA", RGB),
        ("1", np.where(RGB[..., :1] > 127, 255, 0).repeat(3, axis=-1)),
        ("LA", np.repeat(RGB[..., :1], 3, axis=-1)),
    ],
)
def test_8_bit_modes_become_rgb(tmp_path, mode, expected):
    source = Image.fromarray(RGB if mode.startswith("RGB") else RGB[..., 0])
    picture = source.convert(mode, dither=Image.Dither.NONE)
    if mode.endswith("A"):  # half transparent: the colours count as they are stored
        picture.putalpha(128)
    image = read_image(saved(tmp_path, picture))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)


def test_palette_and_cmyk_become_rgb(tmp_path):
    flat = np.zeros((8, 8, 3), np.uint8)
    flat[:4], flat[4:] = (200, 30, 60), (20, 90, 250)
    palette = Image.fromarray(flat).quantize(4)
    np.testing.assert_array_equal(read_image(saved(tmp_path, palette)), flat)
    inks = Image.fromarray(np.full((8, 8, 4), (0, 255, 255, 0), np.uint8), mode="CMYK")
    image = read_image(saved(tmp_path, inks, "x.tif"))
    np.testing.assert_array_equal(image, np.full((8, 8, 3), (255, 0, 0)))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_scaled_not_clipped(tmp_path, suffix):
    deep = (GREY.astype(np.uint16) * 257).astype(np.uint16)
    path = saved(tmp_path, Image.fromarray(deep), f"x.{suffix}")
    np.testing.assert_array_equal(read_image(path), np.repeat(GREY[..., None], 3, axis=-1))


def test_float_pictures_are_refused(tmp_path):
    path = saved(tmp_path, Image.fromarray(GREY.astype(np.float32)), "x.tif")
    with pytest.raises(UserError, match="outside 16 bits"):
        read_image(path)


# What a viewer does for each EXIF orientation, as NumPy writes it.
UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_rotation_is_undone_for_images_and_masks(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(RGB), exif=exif)
    np.testing.assert_array_equal(read_image(path), UPRIGHT[orientation](RGB))
    path = saved(tmp_path, Image.fromarray(MASK), exif=exif)
    np.testing.assert_array_equal(read_mask(path), UPRIGHT[orientation](MASK))


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
    mask = read_mask(saved(tmp_path, picture))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, MASK)


def test_soft_masks_stay_soft_and_empty_ones_empty(tmp_path):
    np.testing.assert_array_equal(read_mask(saved(tmp_path, Image.fromarray(GREY))), GREY)
    empty = Image.fromarray(np.zeros_like(GREY))
    assert read_mask(saved(tmp_path, empty)).max() == 0


def test_coloured_masks_are_refused(tmp_path):
    with pytest.raises(UserError, match="is in colour, and masks and maps must be grey"):
        read_mask(saved(tmp_path, Image.fromarray(RGB)))
    picture = palette_of([(0, 0, 0), (128, 0, 0), (0, 128, 0)], MASK // 255 + MASK // 128)
    with pytest.raises(UserError, match="is in colour"):
        read_mask(saved(tmp_path, picture))


def test_bad_files_are_named(tmp_path):
    good = saved(tmp_path, Image.fromarray(RGB), "good.jpg")
    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes(good.read_bytes()[:-300])
    text = tmp_path / "text.jpg"
    text.write_text("this is no picture")
    empty = tmp_path / "empty.png"
    empty.touch()
    for path in (truncated, text, empty, tmp_path / "missing.png", tmp_path):
        for read in (read_image, read_mask):
            with pytest.raises(UserError, match=path.name):
                read(path)


def test_maps_are_written_whole_or_not_at_all(tmp_path):
    write_map(tmp_path / "map.png", GREY)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "map.png")), GREY)
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(UserError, match=r"taken\.png cannot be written"):
        write_map(tmp_path / "taken.png", GREY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.png", "taken.png"]


def test_resize_is_half_pixel_bilinear_without_antialias():
    row = np.array([[0, 10, 20, 250]], np.float32)
    np.testing.assert_allclose(resize(row, 1, 2), [[5, 135]])
    np.testing.assert_allclose(resize(row[:, :2], 1, 4), [[0, 2.5, 7.5, 10]])


@pytest.mark.parametrize("suffix", ["png", "JPG", "jpeg", "gif", "tif", "webp", "bmp"])
def test_maps_are_written_in_the_format_of_their_name(tmp_path, suffix):
    levels = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (32, 1))
    path = tmp_path / "new" / f"map.{suffix}"
    write_map(path, levels, origin="here")
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix.lower(), suffix.upper())
    with Image.open(path) as saved:
        assert saved.format == kind
        assert np.abs(np.asarray(saved.convert("L"), np.int64) - levels).max() <= 6  # some lose
    assert read_fingerprint(path) == ("here" if suffix == "png" else None)
    assert [file.name for file in path.parent.iterdir()] == [path.name]

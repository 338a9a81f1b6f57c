"""TIFF files as scanners and laboratories write them, and grey PNG files of 16 bits."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from class_jax.data.images import load_image, load_original
from class_jax.data.masks import load_map
from class_jax.errors import UserError

GREY = (np.arange(30 * 44).reshape(30, 44) * 47 % 65536).astype(np.uint16)
BY_ORIENTATION = {  # what is shown of a stored array
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.T,
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x.T[::-1, ::-1],
    8: np.rot90,
}


def tiff(path, planes, **tags):
    """Write a TIFF file of arrays [H, W], or [H, W, C], one after another, uncompressed."""
    planes = [np.ascontiguousarray(plane) for plane in planes]
    height, width = planes[0].shape[:2]
    channels = len(planes) * (planes[0].shape[2] if planes[0].ndim == 3 else 1)
    bits = planes[0].dtype.itemsize * 8
    table = {
        256: [width], 257: [height], 258: [bits] * channels, 259: [1],
        262: [2 if channels == 3 else 1], 273: [0] * len(planes), 277: [channels], 278: [height],
        279: [plane.nbytes for plane in planes],
    } | {int(key[1:]): [value] for key, value in tags.items()}  # fmt: skip
    place = 8 + 2 + 12 * len(table) + 4
    lists = {key: place + 4 * channels * index for index, key in enumerate(table)}
    begin = place + 4 * channels * len(table)
    table[273] = [begin + sum(part.nbytes for part in planes[:i]) for i in range(len(planes))]
    entries, further = b"", b""
    for key, values in sorted(table.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        further += packed.ljust(4 * channels, b"\0")
        where = packed if len(values) == 1 else struct.pack("<I", lists[key])
        entries += struct.pack("<HHI", key, 4, len(values)) + where
    # The lists stand in the order of the sorted tags.
    assert list(table) == sorted(table)
    head = b"II*\0" + struct.pack("<IH", 8, len(table)) + entries + b"\0\0\0\0" + further
    path.write_bytes(head + b"".join(plane.tobytes() for plane in planes))
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", BY_ORIENTATION)
def test_a_grey_file_is_turned_as_its_tag_says(tmp_path, dtype, orientation):
    stored = GREY.astype(dtype)
    table = tiff(tmp_path / "a.tif", [stored])
    data = bytearray(table.read_bytes())
    with Image.open(io.BytesIO(data)) as image:
        exif = Image.Exif()
        exif[0x112] = orientation
        image.save(tmp_path / "b.tif", exif=exif)
    shown = BY_ORIENTATION[orientation](stored)
    levels = shown if dtype == np.uint8 else np.rint(shown / 257).astype(np.uint8)
    np.testing.assert_array_equal(load_map(tmp_path / "b.tif").levels, levels)
    picture = load_image(tmp_path / "b.tif")
    assert (picture.height, picture.width) == shown.shape
    if dtype == np.uint8:
        np.testing.assert_array_equal(picture.pixels, np.repeat(shown[..., None], 3, axis=2))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_0_is_white_levels_are_inverted(tmp_path, dtype):
    most = np.iinfo(dtype).max
    path = tiff(tmp_path / "a.tif", [most - GREY.astype(dtype)], _262=0)
    expected = np.rint(GREY.astype(dtype) * (255 / most)).astype(np.uint8)
    np.testing.assert_array_equal(load_map(path).levels, expected)


def test_channels_of_16_bits_one_after_another_are_refused_and_those_of_8_are_read(tmp_path):
    colours = np.stack([GREY, GREY[::-1], GREY[:, ::-1]])
    eight = tiff(tmp_path / "8.tif", colours.astype(np.uint8), _284=2)
    np.testing.assert_array_equal(load_image(eight).pixels, np.moveaxis(colours, 0, -1) % 256)
    sixteen = tiff(tmp_path / "16.tif", colours, _284=2)
    with pytest.raises(UserError, match=r"16\.tif holds 16 bits a channel, each channel by itself"):
        load_image(sixteen)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_that_pillow_does_not_know_get_a_sentence_that_says_what_to_do(tmp_path, dtype):
    colours = np.dstack([GREY] * 3) / dtype(65535)
    path = tiff(tmp_path / "a.tif", [colours], _339=3)
    with pytest.raises(UserError, match=r"a\.tif is not an image .* save it as PNG"):
        load_image(path)


def test_the_transparent_grey_of_a_png_of_16_bits_stays_transparent(tmp_path):
    clear = int(GREY[3, 5])

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in GREY)
    path = tmp_path / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", *GREY.shape[::-1], 16, 0, 0, 0, 0))
        + chunk(b"tRNS", struct.pack(">H", clear))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    pixels, is_clear = load_original(path).pixels, np.equal(GREY, clear)
    np.testing.assert_array_equal(pixels[..., 3], np.where(is_clear, 0, 255))
    assert (load_image(path).pixels[is_clear] == 255).all()  # on white
    np.testing.assert_array_equal(pixels[..., 0], np.rint(GREY / 257))

"""Files below a folder: which are read, and which are left out and named."""

import io

import numpy as np
import pytest
from PIL import Image

from class_jax.data.folders import VIDEOS, describe_left_out, find_images

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)


def encoded(kind):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, format=kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("name", ["IMG_1234", "x.jpeg?w=1024", "photo.jpg!large", "y.image"])
def test_an_image_without_the_suffix_of_one_is_left_out_and_named(tmp_path, kind, name):
    (tmp_path / name).write_bytes(encoded(kind))
    found = find_images(tmp_path)
    assert (found.images, [path.name for path in found.left_out]) == ([], [name])
    (line,) = describe_left_out(found.left_out)
    assert line.startswith("1 of no known suffix left out: an image or video by its content")
    assert line.endswith(f"({name})")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"BMW is a car\n",
        b"Python",
        b"P6 is a page",
        b"{}",
        b"\xff\xfeU\0T\0F\0",
        b"RIFF1234WAVE",
    ],
)
def test_other_files_are_no_images(tmp_path, content):
    for name in ("notes", "notes.txt", "labels.json"):
        (tmp_path / name).write_bytes(content)
    assert find_images(tmp_path) == ([], [], [])


def test_videos_and_raw_photographs_of_many_kinds_are_counted(tmp_path):
    films = ["ts", "m2ts", "mts", "flv", "ogv", "vob", "mxf", "3g2", "asf", "f4v", "qt", "mpeg"]
    raws = ["srw", "3fr", "x3f", "iiq", "dcr", "cr2", "cr3", "nef", "arw", "dng", "raf", "pef"]
    for suffix in (*films, *raws):
        (tmp_path / f"x.{suffix.upper()}").write_bytes(b"")
    found = find_images(tmp_path)
    assert {path.suffix.lower()[1:] for path in found.left_out} == {*films, *raws}
    lines = describe_left_out(found.left_out)
    assert len(lines) == len(films) + len(raws)
    assert "1 .m2ts left out: a video (x.M2TS)" in lines
    assert "1 .x3f left out: a raw photograph: export it as JPEG (x.X3F)" in lines


def test_of_many_files_ten_are_named(tmp_path):
    for index in range(14):
        (tmp_path / f"{index:02d}.heic").write_bytes(b"")
    (line,) = describe_left_out(find_images(tmp_path).left_out)
    assert line.startswith("14 .heic left out: pip install pillow-heif (00.heic, 01.heic, ")
    assert line.endswith("09.heic and 4 more)")


def test_pyav_knows_every_suffix_of_a_video():
    av = pytest.importorskip("av")
    # Other names of mov, avi, mpeg, mpegts, ogg and rm.
    known = {"3gpp", "qt", "divx", "mpe", "m2t", "insv", "lrv", "ogm", "rmvb"}
    for name in av.formats_available:
        known |= av.format.ContainerFormat(name).extensions | {name}
    assert {suffix[1:] for suffix in VIDEOS} <= known

"""Marks of files that were made here: found in every format that has room for them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from class_jax.data.images import load_original
from class_jax.jobs.marks import Job, read_mark, write_marked

PIXELS = np.full((16, 16, 3), 90, np.uint8)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "gif", "avif"])
def test_a_mark_is_read_from_the_file_that_it_was_written_to(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    mark = Job(path, path, "image").mark("network")
    write_marked(path, PIXELS, mark)
    assert read_mark(path) == mark
    Image.fromarray(PIXELS).save(path)  # touched up elsewhere
    assert read_mark(path) is None


def test_marks_differ_with_the_network_and_the_image():
    marks = {Job(Path(), Path(), image).mark(network) for network in "ab" for image in "xy"}
    assert len(marks) == 4


def test_a_mark_stands_beside_the_exif_data_that_are_kept(tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", 6
    exif.get_ifd(0x8769)[0x927C] = b"a preview"
    Image.fromarray(PIXELS[:8]).save(tmp_path / "a.jpg", exif=exif)
    original = load_original(tmp_path / "a.jpg")
    for suffix in ("jpg", "png", "webp", "tif"):
        path = tmp_path / f"b.{suffix}"
        write_marked(path, original.pixels, "mark", original)
        with Image.open(path) as image:
            kept = image.getexif()
            assert (kept[0x010F], kept[0x0112], image.size) == ("a camera", 1, (8, 16))
            assert 0x927C not in kept.get_ifd(0x8769)
        assert read_mark(path) == "mark"

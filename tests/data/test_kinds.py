"""The tables of kinds in docs/own-pictures.md: each row is tried, and does what it says."""

import functools
import re

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from class_jax.config import load_recipe
from class_jax.data.decode import readable_suffixes
from class_jax.data.images import load_image, load_original
from class_jax.errors import UserError
from datasets.inputs import folder_source, training_sources
from tests.program import ROOT

SIDE = 40
DISC = (np.hypot(*(np.indices((SIDE, SIDE)) - 20)) < 12).astype(np.uint8)
COLOURS = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
PHOTO = Image.fromarray(COLOURS)


def rows():
    """The rows of the three tables: the kind and what happens to it."""
    text = (ROOT / "docs" / "own-pictures.md").read_text().partition("## What can be read")[2]
    cells = re.findall(r"^\| (.*?) \| (.*?) \|$", text, re.M)
    return {kind: outcome for kind, outcome in cells if outcome}


ROWS = rows()


def sideways():
    exif = Image.Exif()
    exif[0x112] = 6
    return {"exif": exif}


def sixteen(path):
    cv2.imwrite(str(path), COLOURS.astype(np.uint16) * 257)


def ten_bits(path):
    av = pytest.importorskip("av")
    frame = av.VideoFrame.from_ndarray(COLOURS, format="rgb24").reformat(format="yuv420p10le")
    with av.open(str(path), "w", format="avif") as file:
        stream = file.add_stream("libsvtav1", rate=1)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p10le"
        file.mux([*stream.encode(frame), *stream.encode(None)])


def animation(path):
    PHOTO.save(path, save_all=True, append_images=[PHOTO.rotate(90)])


@functools.cache  # it holds the time of its making
def profile(space="sRGB"):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


# By the kind: the file's name and a function that writes it.
IMAGES = {
    "a format that the installed Pillow reads": ("x.webp", PHOTO.save),
    "turned by EXIF": ("x.png", lambda path: PHOTO.save(path, **sideways())),
    "16 bits a channel, floats in 0–1": ("x.png", sixteen),
    "AVIF or HEIC of 10 or 12 bits": ("x.avif", ten_bits),
    "grey or CMYK with a colour profile": (
        "x.tif",
        lambda path: PHOTO.convert("L").save(path, icc_profile=profile("sRGB")),
    ),
    "CMYK without a profile": ("x.tif", lambda path: PHOTO.convert("CMYK").save(path)),
    "RGB with a colour profile": ("x.png", lambda path: PHOTO.save(path, icc_profile=profile())),
    "transparent in parts": (
        "x.png",
        lambda path: Image.fromarray(np.dstack([COLOURS, 255 * DISC])).save(path),
    ),
    "animated": ("x.gif", animation),
    "HEIC without pillow-heif": ("x.heic", lambda path: path.write_bytes(b"")),
    "videos, raw photographs, SVG, PDF": ("x.m2ts", lambda path: path.write_bytes(b"")),
    "a name that does not end as an image's": (
        "x.jpeg?w=9",
        lambda path: PHOTO.save(path, format="JPEG"),
    ),
    "damaged, or of more than 178 million pixels": (
        "x.png",
        lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"),
    ),
}
SAID = {  # the words of a note where the row says "with a note"
    "turned by EXIF": "EXIF rotation ignored",
    "16 bits a channel, floats in 0–1": "16 bits a channel",
    "CMYK without a profile": "converted plainly",
    "transparent in parts": "laid on white",
    "animated": "the first is used",
}


def save(values):
    return lambda path: Image.fromarray(values.astype(np.uint8)).save(path)


def objects(path):
    save(255 * DISC)(path.with_name("x_0.png"))
    save(255 * DISC[::-1])(path.with_name("x_1.png"))


def annotation(suffix):
    return lambda path: path.with_suffix(suffix).write_text("0 .5 .5 .1 .1")


def palette(path):
    image = Image.fromarray(DISC, "P")
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(path)


MASKS = {
    "grey, soft or of 0/1, 0/255": (save(DISC), ""),
    "two values, the higher from 127 on": (save(128 * DISC), "the higher of two values"),
    "RGB of equal channels": (save(np.dstack([255 * DISC] * 3)), ""),
    "an alpha channel that is not opaque": (
        save(np.dstack([COLOURS, 255 * DISC])),
        "taken from alpha",
    ),
    "a palette of two colours": (palette, "two indices"),
    "class numbers": (save(15 * DISC), "config.data.salient"),
    "colours": (save(COLOURS), "is in colour"),
    "another size than the image's": (save(255 * DISC[:, 1:]), "config.data.fit_masks=true"),
    "`x_0.png`, `x_1.png` or `x/0.png`, `x/1.png` for `x.jpg`": (objects, "joined"),
    "outlines in files of labelme, COCO, YOLO or VOC": (
        annotation(".json"),
        "draw outlines of labelme, COCO, YOLO or VOC as PNG files first",
    ),
}
FOLDERS = {  # tried in test_layouts.py, test_pairs.py and test_inputs.py
    "`images/train` and `images/val` beside such masks",
    "an image in both `root` and `val_root`",
    "an image without a mask, a mask without an image",
}


@pytest.fixture
def config(tmp_path):
    """A folder with one good pair, and room for another of the name x."""
    for kind, values in (("images", COLOURS), ("masks", 255 * DISC)):
        (tmp_path / kind).mkdir()
        Image.fromarray(values).save(tmp_path / kind / "good.png")
    config = load_recipe(str(ROOT / "configs" / "folder.py"))
    config.data.root = str(tmp_path)
    return config


def test_all_rows_are_tried():
    assert set(ROWS) == {*IMAGES, *MASKS, *FOLDERS}


@pytest.mark.parametrize("kind", IMAGES)
def test_a_kind_of_image(config, tmp_path, kind):
    name, write = IMAGES[kind]
    if "HEIC" in kind and ".heic" in readable_suffixes():
        pytest.skip("pillow-heif is installed")
    write(tmp_path / "images" / name)
    outcome = ROWS[kind]
    if outcome.startswith("refused"):
        Image.fromarray(255 * DISC).save(tmp_path / "masks" / "x.png")
        with pytest.raises(UserError, match=r"x\.png"):
            training_sources(config, skip_broken=False)
        return
    if outcome.startswith("left out"):
        Image.fromarray(255 * DISC).save(tmp_path / "masks" / "other.png")
        Image.fromarray(COLOURS).save(tmp_path / "images" / "other.png")
        notes = training_sources(config, skip_broken=False).remarks
        assert any("1 " in note and "left out" in note and name in note for note in notes)
        return
    Image.fromarray(255 * DISC).save(tmp_path / "masks" / "x.png")
    sources = training_sources(config, skip_broken=False)
    assert len(sources.train.names) + len(sources.held_out.names) == 2
    said = any(SAID.get(kind, "-") in note for note in sources.remarks)
    assert said == (outcome.endswith("note") and kind != "turned by EXIF")
    if "cut-outs keep the profile" in outcome:
        assert load_original(tmp_path / "images" / name).metadata["icc_profile"] == profile()
        np.testing.assert_array_equal(load_image(tmp_path / "images" / name).pixels, COLOURS)


@pytest.mark.parametrize("kind", MASKS)
def test_a_kind_of_mask(config, tmp_path, kind):
    write, words = MASKS[kind]
    for folder in ("images", "masks"):
        (tmp_path / folder / "good.png").unlink()
    Image.fromarray(COLOURS).save(tmp_path / "images" / "x.png")
    write(tmp_path / "masks" / "x.png")

    def read():
        return folder_source(config, str(tmp_path), name="x", leaf="config.data.root")

    if ROWS[kind].startswith("refused"):
        with pytest.raises(UserError) as error:
            read()
        assert words in str(error.value)
        return
    found = read()
    assert (found.problems, list(found.source.names)) == ((), ["x"])
    assert words in "\n".join(found.remarks)
    assert bool(words) == ROWS[kind].endswith("note")
    assert set(np.unique(found.source.load(0)["mask"])) == {0, 255}

"""Formats of predict beside maps, standard streams, attention sheets."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from class_jax import Predictor
from class_jax.modes.table import PREDICT
from class_jax.pictures.outputs import OUTPUTS
from datasets.synthetic import SyntheticSource
from tests.program import ROOT


@pytest.fixture
def scene(tmp_path):
    image = SyntheticSource(1, seed=4, image_size=(90, 120)).load(0)["image"]
    (tmp_path / "in").mkdir()
    Image.fromarray(image).save(tmp_path / "in" / "scene.png", dpi=(72, 72))
    return tmp_path / "in" / "scene.png"


@pytest.fixture
def predict(run, trained):
    return lambda *arguments: run("--mode", "predict", "--workdir", trained, *arguments)


def test_each_format_is_made_and_told_from_the_others(predict, scene, tmp_path):
    modes = {"map": "L", "cutout": "RGBA", "overlay": "RGB", "attention": "RGB"}
    for kind, mode in modes.items():
        status, _, err = predict("--input", scene, "--output", "out/", "--format", kind)
        assert status == 0, err
        with Image.open(tmp_path / "out" / "scene.png") as image:
            assert image.mode == mode
            assert image.size == (120, 90) or kind == "attention"
    _, _, err = predict("--input", scene, "--output", "out/", "--format", "attention")
    assert "1 sheet is there already" in err
    _, _, err = predict("--input", scene, "--output", "out/", "--format", "attention",
                        "--point", "3,4")  # fmt: skip
    assert "1 sheet written" in err


def test_a_cut_out_on_a_background_is_opaque(predict, scene, tmp_path):
    status, _, err = predict("--input", scene, "--output", "a.jpg", "--format", "cutout",
                             "--background", "white", "--crop", "--threshold", "0.01")  # fmt: skip
    assert status == 0, err
    assert Image.open(tmp_path / "a.jpg").mode == "RGB"


@pytest.mark.parametrize("source", ["in/scene.png", "-"])
def test_a_background_is_not_replaced_by_the_output(predict, scene, tmp_path, source):
    Image.new("RGB", (40, 40), "teal").save(tmp_path / "behind.png")
    before = (tmp_path / "behind.png").read_bytes()
    (tmp_path / "link.png").symlink_to("behind.png")
    for background, output in (("behind.png", "behind.png"), ("link.png", "in/../behind.png")):
        status, _, err = predict("--input", source, "--format", "cutout",
                                 "--background", background, "--output", output)  # fmt: skip
        assert (status, "would replace the image" in err) == (2, True), err
    assert (tmp_path / "behind.png").read_bytes() == before
    assert scene.is_file()


def test_names_reach_a_terminal_without_control_characters(predict, scene, tmp_path):
    bad = scene.with_name("\x1b[31mred\nline.png")
    bad.write_bytes(b"no picture")
    status, _, err = predict("--input", "in", "--output", "out/")
    assert status == 1, err
    assert "\\x1b[31mred\\nline.png is not an image" in err
    status, _, err = predict("--input", bad, "--output", "out/")
    assert (status, "\x1b" in err) == (2, False)
    status, _, err = predict("--input", f"{bad}x.png", "--output", "out/")
    assert (status, "\x1b" in err, "\\x1b[31mred" in err) == (2, False, True)


def test_python_gives_the_same_cut_out(predict, scene, trained, tmp_path):
    predict("--input", scene, "--output", "a.png", "--format", "cutout")
    cutout = Predictor.load(trained).cutout(scene)
    assert cutout.shape == (90, 120, 4)
    np.testing.assert_array_equal(cutout, np.asarray(Image.open(tmp_path / "a.png")))
    (first, _) = Predictor.load(trained).cutout([scene, str(scene)], background="blur")
    assert first.shape == (90, 120, 3)


def test_an_empty_folder_among_others_is_named(predict, scene, tmp_path):
    (tmp_path / "empty").mkdir()
    status, _, err = predict("--input", scene, tmp_path / "empty", "--output", "out/")
    assert status == 1
    assert f"error: {tmp_path / 'empty'}: no images there" in err
    last = err.splitlines()[-1]
    assert last.startswith("1 made, 0 kept, ")
    assert last.endswith(" empty, 0 left out, 0 failed")
    assert (tmp_path / "out" / "scene.png").exists()


def pipe(trained, *arguments, data=b""):
    return subprocess.run(
        [sys.executable, ROOT / "main.py", "--mode", "predict", "--workdir", trained, *arguments],
        input=data, capture_output=True, check=False,
    )  # fmt: skip


def test_a_picture_goes_through_a_pipe(trained, scene):
    done = pipe(trained, "--input", "-", "--format", "cutout", data=scene.read_bytes())
    assert done.returncode == 0, done.stderr
    image = Image.open(io.BytesIO(done.stdout))
    assert (image.mode, image.size, image.format) == ("RGBA", (120, 90), "PNG")


def test_no_picture_in_a_pipe_is_one_sentence(trained):
    done = pipe(trained, "--input", "-", data=b"no picture")
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.splitlines()[-1].startswith(b"error: what was given is not an image")


@pytest.mark.parametrize(("data", "sentence"), [
    (b"", "standard input was empty: expected an image"),
    ("endless", "standard input holds more than 512 MB"),
    ("closed", "standard input is closed"),
])  # fmt: skip
def test_what_is_no_stream_of_a_picture_is_one_sentence(trained, data, sentence):
    command = [
        sys.executable,
        ROOT / "main.py",
        "--mode=predict",
        "--workdir",
        trained,
        "--input=-",
    ]
    if data == "closed":
        done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *command], capture_output=True,
                              check=False)  # fmt: skip
    else:
        with open("/dev/zero" if data == "endless" else os.devnull, "rb") as source:  # noqa: PTH123
            done = subprocess.run(command, stdin=source, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert sentence in done.stderr.decode().splitlines()[-1]


def test_the_first_of_several_pictures_in_a_stream_is_used_and_that_is_said(trained, scene):
    one = scene.read_bytes()
    for data in (one + one, one + b"\xff\xd8\xff"):
        done = pipe(trained, "--input", "-", data=data)
        assert done.returncode == 0, done.stderr
        assert b"note: standard input holds several images: the first is used" in done.stderr
        assert Image.open(io.BytesIO(done.stdout)).size == (120, 90)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_full_disk_behind_a_pipe_is_one_sentence(trained, scene):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, ROOT / "main.py", "--mode", "predict", "--workdir", trained,
             "--input", scene, "--output", "-"], stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[-1] == b"error: standard output was closed, or its disk is full."


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["--format", "cut"], "--format=cut: expected one of map, cutout, overlay, attention"),
    (["--background", "red"], "--background is for --format cutout, not for map."),
    (["--format", "overlay", "--background", "red"], "--background is for --format cutout"),
    (["--format", "cutout", "--background", "redd"], "--background=redd is not a background"),
    (["--threshold", "1.5"], "--threshold=1.5: expected a level above 0, up to 1."),
    (["--threshold", "0"], "--threshold=0.0: expected a level above 0"),
    (["--threshold", "nan"], "--threshold=nan"),
    (["--threshold", "high"], "invalid float"),
    (["--point", "3,4"], "--point is for --format attention"),
    (["--format", "attention", "--point", "3"], "--point=3: expected X,Y in pixels"),
    (["--format", "attention", "--point", "500,4"], "lies outside of {scene}, 120x90 pixels"),
    (["--format", "attention", "--crop"], "--crop is for"),
    (["--format", "cutout", "--output", "a.jpg"], "cannot be transparent; name a .png or .webp"),
    (["--output", "-", "--input", "in", "in"], "takes one image"),
    (["--output", "-", "--input", "nothing.png"], "nothing.png: there is no such file or folder"),
])  # fmt: skip
def test_mistakes_are_one_sentence(predict, scene, arguments, sentence):
    given = arguments if "--input" in arguments else ["--input", scene, *arguments]
    if "--output" not in arguments:
        given = [*given, "--output", "out/"]
    status, _, err = predict(*given)
    assert status == 2, err
    assert sentence.format(scene=scene) in err
    assert not (scene.parents[1] / "out").exists()


def test_the_help_and_the_page_name_every_kind():
    described = {flag.name: flag.help for flag in PREDICT.flags}["format"]
    page = (ROOT / "class_jax" / "serving" / "page.html").read_text()
    assert all(kind in described and f'name="kind" value="{kind}"' in page for kind in OUTPUTS)

"""Mode predict: which files it writes, what it leaves alone, and what it reports."""

import os

import cv2
import numpy as np
import pytest
from PIL import Image

from class_jax import Predictor
from tests.jobs.video.test_video import film
from tests.jobs.video.test_video import read as frames
from tests.program import use_one_device
from tests.test_parallel import finished, two


def picture(path, height=40, width=60, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def grey(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


@pytest.fixture
def predict(run, trained):
    return lambda *arguments: run("--mode", "predict", "--workdir", trained, *arguments)


@pytest.fixture
def predictor(trained, monkeypatch):
    use_one_device(monkeypatch)
    return Predictor.load(trained)


def test_a_folder_gives_a_map_for_every_picture_below_it(predict, predictor, tmp_path):
    for index, name in enumerate(("b.jpg", "deep/er/a.png", "deep/c.tif")):
        picture(tmp_path / "in" / name, 30 + index, 50 - index, seed=index)
    picture(tmp_path / "in" / ".hidden" / "d.png")
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    status, _, err = predict("--input", "in", "--output", "in/maps")
    assert status == 0, err
    assert "on 1 × cpu" in err
    assert "maps: 100%" in err
    maps = {path.relative_to(tmp_path / "in" / "maps") for path in (tmp_path / "in").rglob("*.png")
            if "maps" in path.parts}  # fmt: skip
    assert set(map(str, maps)) == {"b.png", "deep/er/a.png", "deep/c.png"}
    saliency = predictor.predict(tmp_path / "in" / "deep" / "c.tif")
    expected = np.rint(saliency * 255).astype(np.uint8)
    np.testing.assert_array_equal(grey(tmp_path / "in" / "maps" / "deep" / "c.png"), expected)
    # Again: nothing is left to do, and maps are not taken for pictures.
    status, _, err = predict("--input", "in", "--output", "in/maps")
    assert status == 0
    assert "3 maps are there already" in err
    assert "0 maps written" in err
    assert "cpu" not in err  # the network was not loaded for nothing
    assert "%" not in err


def test_a_map_of_another_picture_or_network_is_made_anew(predict, trained, tmp_path):
    picture(tmp_path / "x" / "a.png", 30, 40)
    picture(tmp_path / "y" / "a.png", 50, 60)
    for folder, shape in (("x", (30, 40)), ("y", (50, 60))):
        assert predict("--input", f"{folder}/a.png", "--output", "out")[0] == 0
        assert grey(tmp_path / "out" / "a.png").shape == shape
    status, _, err = predict("--input", "y", "--output", "out", "--config.eval.image_size=32")
    assert status == 0
    assert "1 map written" in err
    picture(tmp_path / "y" / "a.png", 20, 20)
    predict("--input", "y", "--output", "out", "--config.eval.image_size=32")
    assert grey(tmp_path / "out" / "a.png").shape == (20, 20)
    other = ("--config.eval.image_size=32", "--config.eval.dtype=bfloat16")
    assert "1 map written" in predict("--input", "y", "--output", "out", *other)[2]


@pytest.mark.parametrize(("name", "kind"), [("map.JPG", "JPEG"), ("map.avif", "AVIF")])
def test_one_map_in_the_format_of_its_name(predict, tmp_path, name, kind):
    picture(tmp_path / "a.png")
    status, _, err = predict("--input", "a.png", "--output", name)
    assert status == 0, err
    with Image.open(tmp_path / name) as saved:
        assert (saved.format, saved.size) == (kind, (60, 40))


def test_pictures_of_others_are_left_alone(predict, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / "in" / name)
    assert predict("--input", "in", "--output", "out")[0] == 0
    Image.open(tmp_path / "out" / "b.png").transpose(0).save(
        tmp_path / "out" / "b.png"
    )  # touched up
    (tmp_path / "out" / "c.png").write_bytes(b"mine")
    before = (tmp_path / "out" / "b.png").read_bytes()
    status, _, err = predict("--input", "in", "--output", "out", "--config.eval.image_size=32")
    assert status == 0
    assert "not made here" in err
    assert "1 map written" in err
    assert (tmp_path / "out" / "b.png").read_bytes() == before
    assert (tmp_path / "out" / "c.png").read_bytes() == b"mine"


def test_inputs_below_the_output_and_links(predict, tmp_path):
    picture(tmp_path / "out" / "in" / "a.jpg")
    picture(tmp_path / "blob" / "abc123.png").rename(tmp_path / "blob" / "abc123")
    (tmp_path / "out" / "in" / "cat.png").symlink_to(tmp_path / "blob" / "abc123")
    (tmp_path / "out" / "in" / "folder.png").mkdir()
    os.mkfifo(tmp_path / "out" / "in" / "pipe.png")
    status, _, err = predict("--input", "out/in", "--output", "out")
    assert status == 0, err
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"a.png", "cat.png"}
    assert predict("--input", "out/in/cat.png", "--output", "elsewhere")[0] == 0
    assert (tmp_path / "elsewhere" / "cat.png").exists()


def test_a_map_that_cannot_be_written_stops_no_other(predict, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / "in" / name)
    (tmp_path / "out" / "b.png").mkdir(parents=True)
    status, _, err = predict("--input", "in", "--output", "out")
    assert status == 1
    assert "b.png" in err
    assert (tmp_path / "out" / "a.png").is_file()
    assert (tmp_path / "out" / "c.png").is_file()


def test_paths_lists_and_arrays_give_the_same_maps(predictor, tmp_path):
    path = picture(tmp_path / "a.png")
    array = np.asarray(Image.open(path))
    by_path, by_array = predictor.predict([str(path), array])
    np.testing.assert_allclose(by_path, by_array, atol=1e-6)
    np.testing.assert_allclose(predictor.predict(path), by_array, atol=1e-5)


def test_several_inputs_and_images_of_one_name(predict, tmp_path):
    for name in ("in/a.png", "in/a.jpg", "in/b.jpg", "c.png"):
        picture(tmp_path / name)
    status, _, err = predict("--input", "in", "c.png", "--output", "out")
    assert status == 0, err
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {"a.png.png", "a.jpg.png", "b.png", "c.png"}


def test_what_a_phone_leaves_behind_is_done_or_named(predict, tmp_path):
    for name in ("a.jpg", "b.avif", "d.jfif"):
        image = Image.open(picture(tmp_path / "x.png"))
        (tmp_path / "in").mkdir(exist_ok=True)
        image.save(tmp_path / "in" / name, "JPEG" if name.endswith("jfif") else None)
    frames = [Image.new("RGB", (9, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "in" / "c.gif", save_all=True, append_images=frames[1:])
    for name in ("e.heic", "f.heic", "g.mp4", "h.cr2", "Thumbs.db"):
        (tmp_path / "in" / name).write_bytes(b"x")
    status, _, err = predict("--input", "in", "--output", "out")
    assert status == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "a.png", "b.png", "c.png", "d.png"
    }  # fmt: skip
    for words in ("2 .heic left out: pip install pillow-heif", "g.mp4 cannot be read as a video",
                  "1 .cr2 left out: a raw photograph", "of several frames, the first"):  # fmt: skip
        assert words in err
    assert "Thumbs" not in err


def test_a_logo_in_alpha_alone_has_the_map_of_the_same_on_white(predict, tmp_path):
    alpha = np.zeros((64, 64), np.uint8)
    alpha[16:40, 20:50] = 255
    black = np.full((64, 64, 3), 30, np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(np.dstack([black, alpha])).save(tmp_path / "in" / "alpha.png")
    white = np.where(alpha[..., None] > 0, black, 255).astype(np.uint8)
    Image.fromarray(white).save(tmp_path / "in" / "white.png")
    status, _, err = predict("--input", "in", "--output", "out")
    assert status == 0, err
    assert "1 of 2: transparent: laid on white" in err
    np.testing.assert_array_equal(
        grey(tmp_path / "out" / "alpha.png"), grey(tmp_path / "out" / "white.png")
    )


def test_a_rotated_photograph_gives_an_upright_map(predict, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif)
    status, _, err = predict("--input", "turned.jpg", "--output", "out/map.png")
    assert status == 0, err
    assert grey(tmp_path / "out" / "map.png").shape == (60, 40)


def test_maps_go_to_the_workdir_by_default(predict, trained, tmp_path):
    picture(tmp_path / "alone.png", 33, 44)
    status, _, err = predict("--input", "alone.png")
    assert status == 0, err
    saliency = grey(trained / "predictions" / "alone.png")
    assert saliency.dtype == np.uint8
    assert saliency.shape == (33, 44)


def test_what_cannot_be_read_is_named_and_the_rest_is_done(predict, tmp_path):
    picture(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.jpg").write_text("no picture")
    (tmp_path / "in" / "nowhere.jpg").symlink_to("gone.jpg")
    status, _, err = predict("--input", "in", "--output", "out")
    assert status == 1
    assert "bad.jpg" in err
    assert "nowhere.jpg" in err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"good.png"}
    # The rerun finds the good map there, and the broken picture still broken.
    assert predict("--input", "in", "--output", "out")[0] == 1
    (tmp_path / "in" / "good.png").unlink()
    status, _, err = predict("--input", "in", "--output", "elsewhere")
    assert status == 2
    assert "bad.jpg" in err
    assert not (tmp_path / "elsewhere").exists()
    status, _, err = predict("--input", "in/bad.jpg", "--output", "elsewhere")
    assert status == 2
    checkpoint, error = err.splitlines()  # of one picture nothing is counted
    assert checkpoint.startswith("checkpoint: step")
    assert error.startswith(f"error: {tmp_path / 'in' / 'bad.jpg'} is not an image")


def test_two_processes_share_the_images(predict, trained, tmp_path):
    for name in ("a.png", "b.png", "c.png", "d.png"):
        picture(tmp_path / "in" / name)
    film(tmp_path / "in" / "e.mp4", frames=4)
    (tmp_path / "in" / "b.png").write_text("no picture")
    assert predict("--input", "in", "--output", "alone")[0] == 1
    paths = ("--input", tmp_path / "in", "--output", tmp_path / "out")
    statuses, printed = finished(two("--mode", "predict", "--workdir", trained, *paths))
    assert statuses == [1, 1], printed
    assert [f"process {index}: " in text for index, text in enumerate(printed)] == [True, True]
    assert "process 0: 3 maps" in printed[0]
    assert "process 1: 1 maps" in printed[1]
    assert "4 maps written" in printed[0]
    # One of them speaks for both.
    assert ["error: " in text and "b.png" in text for text in printed] == [True, False]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "a.png", "c.png", "d.png", "e.mp4",
    }  # fmt: skip
    assert len(frames(tmp_path / "out" / "e.mp4")[1]) == 4
    for path in (tmp_path / "out").glob("*.png"):
        # Maps may differ by a level on other numbers of devices.
        np.testing.assert_allclose(
            grey(path).astype(int), grey(tmp_path / "alone" / path.name).astype(int), atol=1
        )


def test_of_several_inputs_those_that_cannot_be_done_are_named(predict, tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("")
    film(tmp_path / "film.mp4", frames=2)
    bad = ("nothing.png", "notes.txt", "film.mp4")
    status, _, err = predict("--crop", "--output", "out", "--input", *bad, "a.png")
    assert status == 1, err
    assert f"error: {tmp_path}/nothing.png: there is no such file or folder.\n" in err
    assert f"error: {tmp_path}/notes.txt cannot be read as an image: expected" in err
    assert f"error: {tmp_path}/film.mp4 is a video: videos cannot be cropped" in err
    assert "1 made, 0 kept, " in err
    assert err.endswith(" 3 left out, 0 failed\n")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    status, _, err = predict("--crop", "--output", "none", "--input", *bad)
    assert status == 2
    assert all(name in err for name in bad)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "needs --input"),
        (["--input", "none"], "there is no such file or folder"),
        (["--input", "empty"], "no images there"),
        (["--input", "notes.txt"], "cannot be read as an image: expected"),
        (["--input", "in", "--output", "map.png"], "several images need a folder"),
        (["--input", "in/a.png", "--output", "x.heic"], "cannot be written as .heic"),
        (
            ["--input", "in/a.png", "--protocol", "both"],
            "--protocol is for eval and score, not for predict",
        ),
        (["--input", "in", "--output", "notes.txt"], "notes.txt is a file"),
        (["--input", "in", "--output", "in"], "would replace the image"),
        (["--input", "in/a.png", "--output", "in/a.png"], "would replace the image"),
        (["--input", "in/a.png", "--output", "in"], "would replace the image"),
        (["--input", "deep", "--output", "deep/er"], "would replace the image"),
        (["--input", "in", "--output", ""], "--output is empty"),
        (["--input", "twice", "in", "deep", "in", "--output", "out/1.png"], "several images"),
        (["--input", "in", "--checkpoint", "77"], "77 is not a checkpoint of"),
        (["--input", "in", "--output", "/proc/maps"], "cannot be written"),
    ],
)
def test_mistakes_are_answered_before_anything_is_written(predict, tmp_path, arguments, sentence):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    picture(tmp_path / "in" / "a.png")
    for name in ("twice/a.png", "twice/a.jpg", "deep/b.bmp", "deep/er/b.png"):
        picture(tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    status, out, err = predict(*arguments)
    assert status == 2
    assert sentence in err
    assert out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_without_a_network_the_sentence_says_how_to_get_one(run, tmp_path):
    picture(tmp_path / "a.png")
    status, _, err = run("--mode", "predict", "--workdir", "nowhere", "--input", "a.png")
    assert status == 2
    assert "train a network first, or convert the authors' checkpoint" in err

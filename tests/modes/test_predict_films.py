"""Mode predict with films and animated pictures: files, exit status, what is said."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from class_jax import Predictor
from tests.jobs.video.test_animation import DURATIONS, animation
from tests.jobs.video.test_animation import read as read_animation
from tests.jobs.video.test_video import damage, film, packets, read
from tests.program import ROOT, use_one_device


@pytest.fixture
def predict(run, trained):
    return lambda *arguments: run("--mode", "predict", "--workdir", trained, *arguments)


def test_each_frames_map_is_that_of_the_frame(predict, trained, monkeypatch, tmp_path):
    source = film(tmp_path / "a.mp4", frames=12)
    status, _, err = predict("--input", "a.mp4", "--output", "b.mp4")
    assert status == 0, err
    assert "a.mp4: 100%" in err
    use_one_device(monkeypatch)
    expected = Predictor.load(trained).predict(read(source)[1])
    for saliency, picture in zip(expected, read(tmp_path / "b.mp4")[1], strict=True):
        assert np.abs(picture - 255.0 * saliency[..., None]).mean() < 2  # by the codec
    assert packets(tmp_path / "b.mp4") == packets(source)
    before = (tmp_path / "b.mp4").read_bytes()
    status, _, err = predict("--input", "a.mp4", "--output", "b.mp4")
    assert (status, "1 map is there already" in err) == (0, True)
    assert (tmp_path / "b.mp4").read_bytes() == before


def test_films_photographs_and_animations_of_a_folder(predict, tmp_path):
    film(tmp_path / "in" / "deep" / "a.mov", frames=4)
    animation(tmp_path / "in" / "b.gif")
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "in" / "c.jpg")
    damage(film(tmp_path / "in" / "d.mkv"), "cut")
    flags = ("--input", "in", "--output", "out", "--format", "cutout")
    status, _, err = predict(*flags)
    assert status == 1
    assert err.count("error: ") == 1
    assert "d.mkv" in err
    made = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")}
    assert made == {"deep", "deep/a.webm", "b.webp", "c.png"}
    assert read_animation(tmp_path / "out" / "b.webp")[1] == DURATIONS
    (tmp_path / "in" / "d.mkv").unlink()
    status, _, err = predict(*flags)
    assert (status, "3 cut-outs are there already" in err) == (0, True)
    status, _, err = predict(*flags, "--background", "white")
    assert status == 0, err
    assert (tmp_path / "out" / "deep" / "a.mp4").is_file()
    assert (tmp_path / "out" / "b.gif").is_file()


def test_smoothing_and_a_video_behind_are_for_videos(predict, tmp_path):
    film(tmp_path / "a.mp4", frames=4)
    film(tmp_path / "behind.mp4", frames=3)
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "c.png")
    status, _, err = predict("--input", "c.png", "--smooth", "--output", "out")
    assert (status, "none is among the inputs" in err) == (2, True), err
    flags = ("--format", "cutout", "--background", "behind.mp4", "--output")
    status, _, err = predict("--input", "c.png", *flags, "d.png")
    assert (status, "not behind images" in err) == (2, True), err
    status, _, err = predict("--input", "a.mp4", "--smooth", *flags, "b.gif")
    assert status == 0, err
    assert "1 made, 0 kept" in err
    assert len(read_animation(tmp_path / "b.gif")[1]) == 4


@pytest.mark.parametrize(("flags", "sentence"), [
    (["--output", "x.avi"], "name a .mp4, .webm or .mov"),
    (["--output", "x.jpg"], "cannot be written in this format"),
    (["--output", "x.mp4", "--format", "cutout"], "name a .webm or .mov, or give a background"),
    (["--output", "x.mp4", "--crop"], "cannot be cropped"),
    (["--format", "attention"], "no attention"),
])  # fmt: skip
def test_what_films_cannot_give_is_a_sentence(predict, tmp_path, flags, sentence):
    film(tmp_path / "a.mp4", frames=2)
    status, _, err = predict("--input", "a.mp4", *flags)
    assert (status, sentence in err) == (2, True), err
    assert "Traceback" not in err


def test_ctrl_c_leaves_no_film(predict, monkeypatch, tmp_path):
    film(tmp_path / "a.mp4")
    whole, batches = Predictor.maps, []

    def maps(self, batch):
        batches.append(len(batch))
        if len(batches) > 1:
            raise KeyboardInterrupt
        return whole(self, batch)

    monkeypatch.setattr(Predictor, "maps", maps)
    status, _, err = predict("--input", "a.mp4", "--output", "out/")
    assert (status, batches) == (130, [8, 8])
    assert "Traceback" not in err
    assert list((tmp_path / "out").iterdir()) == []


def test_the_network_in_the_package_runs_as_an_export_already(run, tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(20):
        Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "in" / f"{index}.png")
    status, _, err = run("--mode", "predict", "--input", "in", "--model", "photo")
    assert (status, "by ONNX Runtime" in err) == (0, True), err


def test_photographs_need_no_pyav(tmp_path):
    """The module of films is not imported before there is one."""
    code = "import sys, class_jax.modes.predict; print('av' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                           check=True)  # fmt: skip
    assert found.stdout.strip() == "False"

"""Videos along time: smoothed maps, a video behind another, animated images out of videos."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from class_jax.data.images import Original
from class_jax.errors import UserError
from class_jax.jobs.marks import Job
from class_jax.jobs.video.animation import TOO_SHORT
from class_jax.jobs.video.videos import SILENT, make_video
from class_jax.pictures.outputs import MAPS, Output
from class_jax.pictures.settings import parse_output
from tests.jobs.video.stand_in import RedPredictor
from tests.jobs.video.test_animation import read as read_animation
from tests.jobs.video.test_looks import film as encode
from tests.jobs.video.test_video import draw, film, read


def make(source, target, output=MAPS, predictor=None):
    job = Job(target, source, "here", moves=True)
    return make_video(job, predictor or RedPredictor(), output, "net")


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng"])
def test_a_video_gives_an_animated_image_of_the_same_length(tmp_path, suffix):
    source = film(tmp_path / "a.mp4")
    notes, _ = make(source, tmp_path / f"b{suffix}", Output("cutout", (20, 200, 60)))
    assert list(notes) == [SILENT]
    frames, durations, loop = read_animation(tmp_path / f"b{suffix}")
    assert (len(frames), loop) == (20, 0)
    tick = 10 if suffix == ".gif" else 1
    assert set(durations) <= {tick * (33 // tick), tick * (33 // tick + 1)}
    assert abs(sum(durations) - 2000 / 3) <= tick
    for index, frame in enumerate(frames):  # the colours, and which frame it is
        inside = frame[12:20, 8 + index : 16 + index, :3]
        np.testing.assert_allclose(inside.mean((0, 1)), (230, 40, 30), atol=14)
        np.testing.assert_allclose(frame[40:, 40:, :3].mean((0, 1)), (20, 200, 60), atol=8)


def test_a_gif_of_a_fast_video_has_no_frames_that_browsers_slow_down(tmp_path):
    frames = [draw(index, (64, 48)) for index in range(30)]
    encode(tmp_path / "a.mp4", frames, rate=120)
    assert list(make(tmp_path / "a.mp4", tmp_path / "b.gif")[0]) == [TOO_SHORT]
    pictures, durations, _ = read_animation(tmp_path / "b.gif")
    assert min(durations) == 20
    assert 250 <= sum(durations) <= 260
    start = 0
    for picture, duration in zip(pictures, durations, strict=True):
        shown = round(start * 0.12)  # the frame of that time
        left = np.flatnonzero(picture[16, :, 0] > 128)[0]
        assert abs(left - 4 - shown) <= 1
        start += duration


def test_an_animated_image_has_the_proportions_of_its_video(tmp_path):
    wide = Fraction(3, 2)
    encode(tmp_path / "a.mp4", [draw(0, (64, 48))] * 3, sample_aspect_ratio=wide)
    make(tmp_path / "a.mp4", tmp_path / "b.webp")
    with Image.open(tmp_path / "b.webp") as image:
        assert image.size == (96, 48)
    assert make(tmp_path / "a.mp4", tmp_path / "out" / "%d.png")[0] == []
    with Image.open(tmp_path / "out" / "1.png") as image:
        assert image.size == (96, 48)


def test_an_animated_image_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    source = film(tmp_path / "a.mp4")
    monkeypatch.setattr("class_jax.jobs.video.animation.MOST_PIXELS", 64 * 48 * 19)
    with pytest.raises(UserError, match="would hold 20 frames of 64×48"):
        make(source, tmp_path / "b.gif")
    assert not (tmp_path / "b.gif").exists()


def test_a_video_lies_behind_another_and_begins_again_where_it_is_shorter(tmp_path):
    """Behind: 3 frames at 10 frames a second, each of one grey; before: 20 at 30."""
    greys = (40, 120, 200)
    behind = [np.full((96, 128, 3), grey, np.uint8) for grey in greys]
    encode(tmp_path / "behind.mp4", behind, rate=10, options={"crf": "1"})
    source = film(tmp_path / "a.mp4")
    output = parse_output("cutout", {"background": tmp_path / "behind.mp4"})
    make(source, tmp_path / "b.mp4", output)
    for index, picture in enumerate(read(tmp_path / "b.mp4")[1]):
        grey = greys[index // 3 % 3]
        np.testing.assert_allclose(picture[40:, 40:].mean((0, 1)), grey, atol=5)
        inside = picture[12:20, 8 + index : 16 + index]
        np.testing.assert_allclose(inside.mean((0, 1)), (230, 40, 30), atol=14)
    other = parse_output("cutout", {"background": film(tmp_path / "other.mp4", frames=2)})
    assert other.text != output.text  # finished files are told apart


def test_a_damaged_video_behind_is_named(tmp_path):
    (tmp_path / "behind.mp4").write_bytes(b"x")
    output = parse_output("cutout", {"background": tmp_path / "behind.mp4"})
    with pytest.raises(UserError, match=r"behind\.mp4"):
        make(film(tmp_path / "a.mp4"), tmp_path / "b.mp4", output)
    assert not (tmp_path / "b.mp4").exists()


def test_a_video_lies_behind_no_image(tmp_path):
    output = parse_output("cutout", {"background": film(tmp_path / "a.mp4")})
    from class_jax.pictures.pipeline import make as make_one  # noqa: PLC0415

    with pytest.raises(UserError, match="lies behind videos"):
        make_one(RedPredictor(), Original(draw(0, (64, 48)), {}), output)


class Flickering(RedPredictor):
    """Shifts the map of every other frame by a fifth."""

    def maps(self, batch):
        for saliency in super().maps(batch):
            self.odd = not getattr(self, "odd", False)
            yield np.clip(0.8 * saliency + 0.2 * self.odd, 0, 1).astype(np.float32)


def test_smoothing_takes_flicker_away_where_nothing_moves(tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[..., 0] = 100
    encode(tmp_path / "a.mkv", [pixels] * 12, codec="ffv1", pix_fmt="bgr0")
    changes = []
    for smooth in (None, 0.7):
        output = parse_output("map", {"smooth": smooth})
        make(tmp_path / "a.mkv", tmp_path / "out" / "%02d.png", output, Flickering())
        maps = [
            np.asarray(Image.open(path), float) for path in sorted((tmp_path / "out").iterdir())
        ]
        changes.append(np.abs(np.diff(maps[4:], axis=0)).mean())
    assert changes[0] == pytest.approx(51, abs=1)
    # An exponential mean of ±x has ±x (1 − s) / (1 + s); edges get three times the contrast.
    assert changes[1] == pytest.approx(51 * 3 * 0.3 / 1.7, abs=2)


def test_what_moves_leaves_no_trail(tmp_path):
    frames = [draw(2 * index, (64, 48)) for index in range(16)]
    encode(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    output = parse_output("map", {"smooth": "0.9"})
    make(tmp_path / "a.mkv", tmp_path / "out" / "%02d.png", output)
    for index, path in enumerate(sorted((tmp_path / "out").iterdir())):
        wanted = frames[index][..., 0] > 128
        assert np.abs(np.asarray(Image.open(path)) / 255 - wanted).mean() < 0.03


@pytest.mark.parametrize("smooth", [0, 1, -0.1, "nan", "much"])
def test_the_share_of_smoothing_is_between_0_and_1(smooth):
    with pytest.raises(UserError, match="above 0, below 1"):
        parse_output("map", {"smooth": smooth}, prefix="--")


def test_videos_in_which_nothing_is_salient_are_told(tmp_path):
    frames = [np.zeros((48, 64, 3), np.uint8)] * 3 + [draw(0, (64, 48))] * 2
    source = encode(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    notes, is_salient = make(source, tmp_path / "b.mp4")
    assert (is_salient, list(notes)) == (
        True, ["nothing salient was found in 3 of 5 frames"]
    )  # fmt: skip
    source = encode(tmp_path / "c.mkv", frames[:3], codec="ffv1", pix_fmt="bgr0")
    assert make(source, tmp_path / "d.mp4") == ([], False)


def test_lost_bits_and_fields_are_told(tmp_path):
    source = encode(tmp_path / "a.mkv", [draw(0, (64, 48))] * 2, pix_fmt="yuv420p10le")
    assert list(make(source, tmp_path / "b.mp4")[0]) == [
        "more than 8 bits a colour: written with 8"
    ]
    encode(tmp_path / "c.mkv", [draw(0, (64, 48))] * 3, options={"flags": "+ilme+ildct"})
    assert "interlaced" in next(iter(make(tmp_path / "c.mkv", tmp_path / "d.mp4")[0]))

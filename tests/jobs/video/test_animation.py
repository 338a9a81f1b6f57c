"""Animated pictures: all frames where asked for, with their durations and loop counts."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from class_jax.data.decode import FIRST_FRAME
from class_jax.jobs.marks import Job
from class_jax.jobs.plan import plan_image_maps, sort_jobs
from class_jax.jobs.run import make_outputs
from class_jax.jobs.video.videos import make_video
from class_jax.pictures.outputs import MAPS, Output
from tests.jobs.video.stand_in import Looking, RedPredictor

DURATIONS = [50, 120, 200, 80, 70]  # milliseconds
CUTOUT = Output("cutout")
ON_GREEN = Output("cutout", (20, 200, 60))


def draw(index):
    """A red square on blue, elsewhere in each frame."""
    pixels = np.zeros((40, 50, 3), np.uint8)
    pixels[..., 2] = 160
    pixels[10:26, 4 + 5 * index : 20 + 5 * index] = (240, 0, 0)
    return pixels


def animation(path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = (Image.fromarray(draw(index)) for index in range(len(DURATIONS)))
    kind = {"loop": 3, "duration": DURATIONS, "lossless": True, **options}
    first.save(path, save_all=True, append_images=others, **kind)
    return path


def read(path):
    """Frames as uint8 RGBA, durations in milliseconds, and the loop count, if there is one."""
    with Image.open(path) as image:
        frames, durations = [], []
        for frame in ImageSequence.Iterator(image):
            frames.append(np.array(frame.convert("RGBA")))
            durations.append(frame.info["duration"])
        return frames, durations, image.info.get("loop")


def make(source, output, made, *, animate):
    """Plan and make the outputs; return them, and how pictures were read."""
    jobs, problems, _ = plan_image_maps([source], output, made=made, animate=animate)
    results = make_outputs(jobs, RedPredictor(), network="net", title="maps", output=made)
    assert (problems, results.failed) == ([], {})
    return [job.target for job in jobs], results.guesses


@pytest.mark.parametrize("source", ["a.gif", "a.webp", "a.png", "a.apng"])
@pytest.mark.parametrize(("target", "atol"), [("x.gif", 0), ("x.webp", 6), ("x.apng", 0)])
def test_a_named_animation_holds_all_frames_durations_and_loops(tmp_path, source, target, atol):
    animation(tmp_path / source)
    made, guesses = make(tmp_path / source, tmp_path / target, MAPS, animate=False)
    assert (made, guesses) == ([tmp_path / target], {})
    frames, durations, loop = read(tmp_path / target)
    assert (durations, loop) == (DURATIONS, 3)
    for index, (frame, picture) in enumerate(zip(frames, read(tmp_path / source)[0], strict=True)):
        np.testing.assert_allclose(frame[..., 0], picture[..., 0], atol=max(atol, 1))
        assert abs(int(frame[16, 12 + 5 * index, 0]) - 240) <= atol + 1


def test_elsewhere_the_first_frame_is_used_and_said(tmp_path):
    animation(tmp_path / "in" / "a.gif")
    for output in ("x.png", "folder"):
        (target,), guesses = make(tmp_path / "in" / "a.gif", tmp_path / output, MAPS, animate=False)
        assert guesses == {FIRST_FRAME: 1}
        with Image.open(target) as image:
            assert not getattr(image, "is_animated", False)
            np.testing.assert_array_equal(np.asarray(image), draw(0)[..., 0])
    still = Output("cutout", crop=True)
    (target,), guesses = make(tmp_path / "in", tmp_path / "out", still, animate=True)
    assert (target.name, guesses) == ("a.png", {FIRST_FRAME: 1})  # crops differ in size


@pytest.mark.parametrize(("made", "names"), [
    (MAPS, ["a.gif", "b.webp", "c.png", "d.png", "e.png"]),
    (ON_GREEN, ["a.gif", "b.webp", "c.png", "d.png", "e.png"]),
    (CUTOUT, ["a.webp", "b.webp", "c.png", "d.png", "e.png"]),
])  # fmt: skip
def test_animations_in_folders_stay_animated_where_they_can(tmp_path, made, names):
    for name in ("a.gif", "b.webp", "c.png", "d.apng"):
        animation(tmp_path / "in" / name)
    for name in ("e.gif", "still.png"):
        Image.fromarray(draw(0)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "still.png").unlink()
    targets, guesses = make(tmp_path / "in", tmp_path / "out", made, animate=True)
    assert (sorted(path.name for path in targets), guesses) == (names, {})
    for path in targets:
        if path.name != "e.png":
            frames, durations, _ = read(path)
            assert durations == DURATIONS
            outside = {"map": (0, 0, 0), "cutout": (20, 200, 60)}[made.kind]
            if made.has_alpha:
                assert [frame[38, 45, 3] for frame in frames] == [0] * 5
            else:
                np.testing.assert_allclose(frames[2][38, 45, :3], outside, atol=6)
    # Again: all are there.
    jobs, *_ = plan_image_maps([tmp_path / "in"], tmp_path / "out", made=made, animate=True)
    kept = sort_jobs(jobs, "net", overwrite=False)
    assert (len(kept.kept), kept.foreign) == (5, [])


def test_a_transparent_cut_out_follows_the_object(tmp_path):
    animation(tmp_path / "a.gif")
    make(tmp_path / "a.gif", tmp_path / "x.webp", CUTOUT, animate=True)
    for index, frame in enumerate(read(tmp_path / "x.webp")[0]):
        assert frame[16, 12 + 5 * index, 3] > 240
        np.testing.assert_allclose(frame[16, 12 + 5 * index, :3], (240, 0, 0), atol=20)
        assert frame[..., 3].astype(bool).sum() < 700  # of 2000


def test_an_animation_shown_once_stays_so(tmp_path):
    animation(tmp_path / "a.gif", loop=None)
    for name, loop in (("x.gif", None), ("x.webp", 1), ("x.apng", 1)):
        make(tmp_path / "a.gif", tmp_path / name, MAPS, animate=False)
        assert read(tmp_path / name)[2] == loop


def test_transparent_frames_stay_transparent_and_lie_on_white_for_the_network(tmp_path):
    network = Looking()
    rgba = [np.dstack([draw(index), np.full((40, 50), 255, np.uint8)]) for index in range(3)]
    for frame in rgba:
        frame[:, 40:, 3] = 0
    first, *others = map(Image.fromarray, rgba)
    first.save(tmp_path / "a.webp", save_all=True, append_images=others, lossless=True, exact=True)
    job = Job(tmp_path / "b.webp", tmp_path / "a.webp", "", moves=True)
    make_video(job, network, CUTOUT, "net")
    assert (network.seen[0][:, 40:] == 255).all()
    assert (read(tmp_path / "b.webp")[0][0][:, 40:, 3] == 0).all()


def test_a_gif_can_become_a_film_and_numbered_pictures(tmp_path):
    av = pytest.importorskip("av")
    animation(tmp_path / "a.gif")
    make(tmp_path / "a.gif", tmp_path / "x.mp4", ON_GREEN, animate=False)
    with av.open(tmp_path / "x.mp4") as container:
        times = [picture.time for picture in container.decode(video=0)]
        np.testing.assert_allclose(times, np.cumsum([0, *DURATIONS])[:5] / 1000, atol=1e-6)
        assert container.duration == 520_000
    make(tmp_path / "a.gif", tmp_path / "out" / "%d.png", CUTOUT, animate=False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{number}.png" for number in range(1, 6)
    ]


def test_a_damaged_animation_is_named(tmp_path):
    for suffix in (".gif", ".webp", ".png"):
        path = animation(tmp_path / "in" / f"a{suffix}")
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    jobs, *_ = plan_image_maps([tmp_path / "in"], tmp_path / "out", made=MAPS, animate=True)
    results = make_outputs(jobs, RedPredictor(), network="net", title="maps")
    assert results.written == 0
    for job in jobs:
        assert str(job.source) in results.failed[job.target]


def test_numbered_pictures_replace_no_file_of_others_and_leave_none_of_a_longer_film(tmp_path):
    photos = tmp_path / "photos"
    make(animation(tmp_path / "a.gif"), photos / "%03d.png", MAPS, animate=False)
    first, second = (Image.fromarray(draw(index)) for index in range(2))
    first.save(tmp_path / "short.webp", save_all=True, append_images=[second], duration=50)
    make(tmp_path / "short.webp", photos / "%03d.png", MAPS, animate=False)
    assert sorted(path.name for path in photos.iterdir()) == ["001.png", "002.png"]
    (photos / "007.png").write_bytes(b"mine")
    (photos / "1.png").write_bytes(b"of another pattern")
    before = {path: path.read_bytes() for path in photos.iterdir()}
    jobs, *_ = plan_image_maps([tmp_path / "a.gif"], photos / "%03d.png")
    results = make_outputs(jobs, RedPredictor(), network="other", title="maps")
    (why,) = results.failed.values()
    assert "not made here" in why
    assert "007.png" in why
    assert {path: path.read_bytes() for path in photos.iterdir()} == before


@pytest.mark.parametrize(("pattern", "first"), [
    ("100%_%03d.png", "100%_001.png"), ("%d_%d.png", "1_%d.png"), ("%s %2d.png", "%s  1.png"),
])  # fmt: skip
def test_of_percent_signs_in_a_name_one_is_the_number(tmp_path, pattern, first):
    source, photos = animation(tmp_path / "a.gif"), tmp_path / "photos"
    make(source, photos / pattern, MAPS, animate=False)
    assert (photos / first).is_file()
    assert len(list(photos.iterdir())) == len(DURATIONS)
    (photos / first).write_bytes(b"mine")
    jobs, *_ = plan_image_maps([source], photos / pattern)
    results = make_outputs(jobs, RedPredictor(), network="other", title="maps")
    assert first in next(iter(results.failed.values()))
    assert (photos / first).read_bytes() == b"mine"


def test_the_hidden_picture_of_a_png_is_no_frame(tmp_path):
    hidden, *shown = (Image.fromarray(draw(index)) for index in range(4))
    hidden.save(tmp_path / "a.png", save_all=True, append_images=shown, default_image=True,
                duration=[50, 60, 70])  # fmt: skip
    make(tmp_path / "a.png", tmp_path / "x.gif", MAPS, animate=False)
    frames, durations, _ = read(tmp_path / "x.gif")
    assert durations == [50, 60, 70]
    for index, frame in enumerate(frames, 1):
        np.testing.assert_array_equal(frame[..., 0], draw(index)[..., 0])

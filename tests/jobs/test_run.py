"""The maps of a set: which ones are made, what their files hold, what is left out."""

import cv2
import numpy as np
import pytest
from PIL import Image

from class_jax.data.decode import FIRST_FRAME
from class_jax.errors import UserError
from class_jax.jobs.plan import plan_image_maps, plan_source_maps, sort_jobs
from class_jax.jobs.run import make_outputs
from class_jax.jobs.targets import is_image_name
from class_jax.pictures.outputs import OUTPUTS, Kind
from class_jax.pictures.settings import parse_output
from tests.array_source import ArraySource
from tests.jobs.video.stand_in import RedPredictor

NAMES = ["c", "a", "deep/er/b", "dd", "e.jpg"]


def make(folder, predictor, *, names=NAMES, broken=(), overwrite=True, network="1"):
    jobs = plan_source_maps(ArraySource(names, broken=broken), folder)
    found = sort_jobs(jobs, network, overwrite=overwrite)
    return found, make_outputs(found.todo, predictor, network=network, title="maps")


def grey(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (9, [5])])
def test_every_image_has_a_map_in_any_batches(tmp_path, batch_size, sizes):
    predictor = RedPredictor(batch_size=batch_size)
    found, results = make(tmp_path, predictor)
    assert (found.kept, found.foreign) == ([], [])
    assert (results.written, results.failed) == (5, {})
    assert predictor.batches == sizes
    source = ArraySource(NAMES)
    for index, name in enumerate(NAMES):
        red = source.load(index)["image"][..., 0]
        np.testing.assert_array_equal(grey(tmp_path / f"{name}.png"), red)


def test_maps_are_rounded_and_not_truncated(tmp_path):
    for value, level in ((0.49, 0), (0.51, 1), (1.49, 1), (1.51, 2), (254.6, 255), (255, 255)):
        make(tmp_path / str(value), RedPredictor(value=value / 255), names=["a"])
        assert (grey(tmp_path / str(value) / "a.png") == level).all()


def test_only_maps_of_another_network_or_image_are_made_again(tmp_path):
    predictor = RedPredictor(batch_size=5)
    make(tmp_path, predictor)
    (tmp_path / "dd.png").unlink()
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9), np.uint8))  # somebody's
    found, again = make(tmp_path, predictor)
    assert predictor.batches == [5, 2]
    assert (again.written, len(found.kept)) == (2, 3)
    assert make(tmp_path, RedPredictor(batch_size=5), network="2")[1].written == 5
    np.testing.assert_array_equal(
        grey(tmp_path / "a.png"), ArraySource(NAMES).load(1)["image"][..., 0]
    )


def test_another_networks_maps_are_replaced_and_files_of_others_only_if_asked(tmp_path):
    make(tmp_path, RedPredictor(), names=["a", "dd"])
    somebodys = np.full((9, 9), 7, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), somebodys)
    other = RedPredictor(value=1)
    options = {"names": ["a", "dd"], "network": "2"}
    found, results = make(tmp_path, other, overwrite=False, **options)
    assert (results.written, len(found.kept)) == (1, 0)
    assert [job.target for job in found.foreign] == [tmp_path / "a.png"]
    np.testing.assert_array_equal(grey(tmp_path / "a.png"), somebodys)
    assert (grey(tmp_path / "dd.png") == 255).all()
    assert make(tmp_path, other, **options)[1].written == 1
    assert (grey(tmp_path / "a.png") == 255).all()


def test_a_share_of_the_maps_is_found_by_the_others(tmp_path):
    jobs = plan_source_maps(ArraySource(NAMES), tmp_path)
    assert make_outputs(jobs[1::2], RedPredictor(), network="1", title="maps").written == 2
    made = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert made == ["a.png", "dd.png"]
    found, results = make(tmp_path, RedPredictor())
    assert (results.written, len(found.kept)) == (3, 2)


def test_what_cannot_be_read_is_named_and_the_rest_done(tmp_path):
    predictor = RedPredictor(batch_size=3)
    _, results = make(tmp_path, predictor, broken=["c", "dd"])
    assert results.failed == {
        tmp_path / "c.png": 'image "c.jpg" is truncated.',
        tmp_path / "dd.png": 'image "dd.jpg" is truncated.',
    }
    assert results.written == 3
    assert not (tmp_path / "c.png").exists()
    assert predictor.batches == [3]  # filled up with the next images


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1])
def test_a_diverged_networks_map_is_not_written(tmp_path, value):
    _, results = make(tmp_path, RedPredictor(value=value), names=["a"])
    (why,) = results.failed.values()
    assert "a.png" in why
    assert "not finite" in why
    assert not (tmp_path / "a.png").exists()


def test_maps_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "maps").write_text("")
    _, results = make(tmp_path / "maps", RedPredictor(), names=["a", "dd"])
    assert results.written == 0
    for name, why in zip(("a", "dd"), results.failed.values(), strict=True):
        assert f"maps/{name}.png cannot be written" in why


def write(path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(path, **options)


def targets(paths, output):
    jobs, problems, _ = plan_image_maps(paths, output)
    return [job.target.relative_to(output).as_posix() for job in jobs], problems


def test_images_with_one_name_get_maps_of_their_whole_names(tmp_path):
    for name in ("a.jpg", "a.png", "b.jpg", "deep/a.jpg"):
        write(tmp_path / "in" / name)
    found, problems = targets([tmp_path / "in"], tmp_path / "out")
    assert sorted(found) == ["a.jpg.png", "a.png.png", "b.png", "deep/a.png"]
    assert problems == []


def test_a_whole_name_that_another_image_has_is_made_longer(tmp_path):
    """Downloads leave a.jpg.jpg beside a.jpg: of 3,000 files none is refused for it."""
    for name in ("a.jpg", "a.jpeg", "a.jpg.jpg", "a.jpg.png.jpg", "b.jpg"):
        write(tmp_path / "in" / name)
    found, _ = targets([tmp_path / "in"], tmp_path / "out")
    assert sorted(found) == [
        "a.jpeg.png", "a.jpg.jpg.png", "a.jpg.png", "a.jpg.png.png", "b.png"
    ]  # fmt: skip


def test_images_of_one_name_in_several_inputs_keep_what_tells_them_apart(tmp_path):
    for name in ("a/front.png", "c/front.png", "a/side.png", "in1/x/z.jpg", "in2/x/z.jpg"):
        write(tmp_path / name)
    names = ("a/front.png", "c/front.png", "a/side.png", "in1", "in2")
    inputs = [tmp_path / name for name in names]
    found, problems = targets(inputs, tmp_path / "out")
    assert sorted(found) == [
        "a/front.png", "c/front.png", "in1/x/z.png", "in2/x/z.png", "side.png"
    ]  # fmt: skip
    assert problems == []


def test_pictures_in_which_nothing_is_salient_are_named(tmp_path):
    jobs = plan_source_maps(ArraySource(["a", "b"]), tmp_path)
    made = make_outputs(jobs, RedPredictor(value=0.49), network="1", title="maps")
    assert made.empty == [tmp_path / "a.png", tmp_path / "b.png"]
    made = make_outputs(jobs, RedPredictor(value=0.51), network="1", title="maps")
    assert made.empty == []


def test_a_new_kind_of_output_is_one_entry(tmp_path, monkeypatch):
    def draw_trimap(output, scene):
        del output
        return np.select([scene.saliency > 0.9, scene.saliency < 0.1], [255, 0], 128).astype("u1")

    monkeypatch.setitem(OUTPUTS, "trimap", Kind("trimaps", (), draw_trimap, needs_image=False))
    trimap = parse_output("trimap", {})
    jobs = plan_source_maps(ArraySource(["a"]), tmp_path)
    made = make_outputs(jobs, RedPredictor(value=0.5), network="1", title="x", output=trimap)
    assert made.written == 1
    assert (grey(tmp_path / "a.png") == 128).all()
    assert trimap.text not in ("", parse_output("map", {}).text)


def test_files_and_folders_together(tmp_path):
    for name in ("x.jpg", "in/b.jpg", "in/deep/c.png"):
        write(tmp_path / name)
    found, _ = targets([tmp_path / "x.jpg", tmp_path / "in"], tmp_path / "out")
    assert sorted(found) == ["b.png", "deep/c.png", "x.png"]
    with pytest.raises(UserError, match="several images need a folder"):
        plan_image_maps([tmp_path / "x.jpg", tmp_path / "in"], tmp_path / "one.png")


# A frame, and then extensions of a length at which Pillow raises IndexError and struct.error.
GIF = b"GIF89a\4\0\4\0\0\0\0,\0\0\0\0\4\0\4\0\0\2\1\0\0"
DAMAGED = [GIF + b"!\xf9\0" + GIF[13:], GIF + b"!\xf9\1\1\0" + GIF[13:]]


@pytest.mark.parametrize("animate", [False, True])
def test_a_damaged_animation_is_named_and_the_others_are_done(tmp_path, animate):
    write(tmp_path / "in" / "good.gif")
    for index, data in enumerate(DAMAGED):
        (tmp_path / "in" / f"{index}.gif").write_bytes(data)
    jobs, *_ = plan_image_maps([tmp_path / "in"], tmp_path / "out", animate=animate)
    results = make_outputs(jobs, RedPredictor(), network="net", title="maps")
    assert results.written == 1
    assert {path.name for path in results.failed} == {"0.png", "1.png"}
    for name in "01":
        assert f"{name}.gif cannot be read" in results.failed[tmp_path / "out" / f"{name}.png"]


def test_what_is_left_out_of_a_folder_is_named_by_kind(tmp_path):
    write(tmp_path / "a.avif")
    for name in ("b.heic", "c.mp4", "Thumbs.db", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    found, problems = targets([tmp_path], tmp_path / "out")
    assert sorted(found) == ["a.png", "c.mp4"]  # a film gives a film
    assert problems == ["1 .heic left out: pip install pillow-heif (b.heic)"]
    with pytest.raises(UserError, match="pip install pillow-heif"):
        plan_image_maps([tmp_path / "b.heic"], tmp_path / "out")


def test_the_suffix_of_the_output_is_a_format_that_can_be_written(tmp_path):
    for name, is_image in (("x.avif", True), ("x.JPG", True), ("maps", False), ("v1.2", False)):
        assert is_image_name(tmp_path / name) == is_image
    for name in ("x.heic", "x.psd", "x.mp4", "x.svg"):
        with pytest.raises(UserError, match="cannot be written as"):
            is_image_name(tmp_path / name)


def test_how_images_were_read_is_counted(tmp_path):
    frames = [Image.new("RGB", (9, 8), colour) for colour in ("red", "blue")]
    (tmp_path / "in").mkdir()
    for name in "ab":
        frames[0].save(tmp_path / "in" / f"{name}.gif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x112] = 6
    write(tmp_path / "in" / "c.jpg", exif=exif)
    jobs, *_ = plan_image_maps([tmp_path / "in"], tmp_path / "out")
    results = make_outputs(jobs, RedPredictor(), network="1", title="maps")
    assert results.guesses == {FIRST_FRAME: 2}  # turning is no guess


@pytest.mark.parametrize("name", ["x.ico", "x.icns", "x.xbm", "x.msp", "x.qoi"])
def test_formats_that_would_change_a_map_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="maps cannot be written as"):
        is_image_name(tmp_path / name)

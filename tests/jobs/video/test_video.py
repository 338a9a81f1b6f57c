"""Films: times, sound, rotation and alpha of what is written; damage, interrupts, reruns."""

import sys
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from class_jax.errors import UserError
from class_jax.jobs import video as films_folder
from class_jax.jobs.marks import Job
from class_jax.jobs.plan import plan_image_maps, sort_jobs
from class_jax.jobs.run import make_outputs
from class_jax.jobs.video.videos import make_video
from class_jax.pictures.outputs import MAPS, Output
from tests.jobs.video.stand_in import RedPredictor

CUTOUT = Output("cutout")
UNEVEN = [0, 1000, 4000, 4500, 9000, 9300, 12000, 12100]  # ninths of a millisecond
CODECS = {
    ".mp4": ("libx264", "aac"),
    ".mov": ("libx264", "pcm_s16le"),
    ".mkv": ("libx264", "flac"),
    ".avi": ("mjpeg", "mp3"),
    ".mts": ("libx264", "aac"),
    ".webm": ("libvpx-vp9", "libopus"),
}


def draw(index, size):
    """A red square that moves over a dark picture with a bluish slope."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 2] = np.linspace(0, 90, width)
    pixels[8:24, 4 + index : 20 + index] = (230, 40, 30)
    return pixels


def film(path, *, frames=20, size=(64, 48), sound=True, times=None, turned=0, cover=False):
    """Write a film, with a sine tone as long as the film."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codec, audio = CODECS[path.suffix]
    with av.open(path, "w") as container:
        fine = {"qmin": "1", "qmax": "2"} if codec == "mjpeg" else {"crf": "5"}
        video = container.add_stream(codec, rate=30, options=fine)
        if codec == "mjpeg":
            video.pix_fmt = "yuvj420p"
        video.width, video.height = size
        if times:
            video.codec_context.time_base = Fraction(1, 9000)
        if turned:
            video.set_display_rotation(turned)
        tone = container.add_stream(audio, rate=48000, layout="stereo") if sound else None
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(draw(index, size), "rgb24")
            picture.pts, picture.time_base = index, Fraction(1, 30)
            if times:
                picture.pts, picture.time_base = times[index], Fraction(1, 9000)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if tone:
            samples = 0.4 * np.sin(2 * np.pi * 330 * np.arange(frames * 1600) / 48000)
            levels = np.repeat(np.rint(samples * 32767).astype(np.int16), 2)[None]
            heard = av.AudioFrame.from_ndarray(levels, format="s16", layout="stereo")
            heard.sample_rate, heard.pts, heard.time_base = 48000, 0, Fraction(1, 48000)
            container.mux(tone.encode(heard))
            container.mux(tone.encode(None))
    return path


def make(source, target, output=MAPS, *, batch_size=8):
    job, predictor = Job(target, source, "here", moves=True), RedPredictor(batch_size=batch_size)
    notes, _ = make_video(job, predictor, output, "net")
    assert [path for path in target.parent.iterdir() if path.name.startswith(".")] == []
    return notes


def read(path, *, with_alpha=False):
    """Times in seconds, and pixels, of a film's frames; by libvpx where alpha is wanted."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        decoder = av.CodecContext.create("libvpx-vp9", "r") if with_alpha else stream.codec_context
        pictures = [picture for packet in container.demux(stream)
                    for picture in decoder.decode(packet if packet.size else None)]  # fmt: skip
        times = [float(picture.pts * stream.time_base) for picture in pictures]
        kind = "rgba" if with_alpha else "rgb24"
        return times, [picture.to_ndarray(format=kind) for picture in pictures]


def packets(path):
    with av.open(path) as container:
        return [(packet.pts * packet.time_base, bytes(packet))
                for packet in container.demux(audio=0) if packet.size]  # fmt: skip


def samples(path):
    """Sound as float [N, C] from the time 0 on."""
    with av.open(path) as container:
        resampler = av.AudioResampler(format="flt", layout="stereo", rate=48000)
        parts = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        parts += resampler.resample(None)
        begin = round(parts[0].pts * parts[0].time_base * 48000)
        return begin, np.concatenate([part.to_ndarray().reshape(-1, 2) for part in parts])


def length(path):
    with av.open(path) as container:
        return container.duration / 1e6


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".webm"])
def test_a_film_gives_a_film_of_the_same_times_and_length(tmp_path, suffix):
    source = film(tmp_path / f"a{suffix}")
    assert make(source, tmp_path / "out" / "a.mp4") == []
    (expected, pictures), (times, maps) = read(source), read(tmp_path / "out" / "a.mp4")
    assert len(times) == 20
    np.testing.assert_allclose(times, expected, atol=6e-4)  # some sources round to milliseconds
    assert abs(length(tmp_path / "out" / "a.mp4") - length(source)) < 0.03
    with av.open(tmp_path / "out" / "a.mp4") as container:
        if suffix != ".avi":  # that film has a gap after its first frame
            assert container.streams.video[0].average_rate == 30
        assert container.streams.video[0].pix_fmt == "yuv420p"
    for picture, saliency in zip(pictures, maps, strict=True):
        error = np.abs(saliency.astype(int) - picture[..., :1])
        assert error.mean() < 2  # of 255, by the codec
        assert np.ptp(saliency, axis=2).max() <= 2  # grey


def test_frames_are_each_predicted_once_in_batches(tmp_path):
    predictor = RedPredictor(batch_size=8)
    job = Job(tmp_path / "out.mp4", film(tmp_path / "a.mp4"), "", moves=True)
    make_video(job, predictor, Output(), "net")
    assert predictor.batches == [8, 8, 4]


@pytest.mark.parametrize(("suffix", "tolerance"), [(".mp4", 1e-6), (".webm", 6e-4)])
def test_uneven_times_are_kept(tmp_path, suffix, tolerance):
    source = film(tmp_path / "a.mp4", frames=8, times=UNEVEN)
    target = tmp_path / f"b{suffix}"
    make(source, target)
    np.testing.assert_allclose(read(target)[0], np.array(UNEVEN) / 9000, atol=tolerance)


def test_sound_that_the_container_takes_is_copied(tmp_path):
    for name, target in (("a.mp4", "b.mp4"), ("a.avi", "c.mp4"), ("a.webm", "d.webm")):
        source = film(tmp_path / name)
        make(source, tmp_path / target)
        ours, theirs = packets(tmp_path / target), packets(source)
        assert [data for _, data in ours] == [data for _, data in theirs]
        times = [[float(time) for time, _ in found] for found in (ours, theirs)]
        np.testing.assert_allclose(times[0], times[1], atol=1.1e-3)


@pytest.mark.parametrize(("name", "target"), [("a.mov", "b.mp4"), ("a.mkv", "b.mp4"),
                                              ("a.mp4", "b.webm")])  # fmt: skip
def test_other_sound_is_encoded_and_stays_in_time(tmp_path, name, target):
    source = film(tmp_path / name)
    make(source, tmp_path / target)
    (begin, expected), (start, heard) = samples(source), samples(tmp_path / target)
    middle = slice(6000, 24000)
    moved = np.roll(heard, start - begin, axis=0)[middle]
    assert np.corrcoef(moved[:, 0], expected[middle, 0])[0, 1] > 0.99  # a shift by 0.2 ms fails
    assert abs(len(heard) - len(expected)) < 3000


def test_a_broadcast_begins_at_once_and_its_sound_stays_in_time(tmp_path):
    source = film(tmp_path / "a.mts")
    make(source, tmp_path / "b.mp4")
    times, (begin, _) = read(source)[0], samples(source)
    ours, (start, _) = read(tmp_path / "b.mp4")[0], samples(tmp_path / "b.mp4")
    assert min(ours[0], start / 48000) == 0 < min(times[0], begin / 48000)
    np.testing.assert_allclose(np.diff(ours), np.diff(times), atol=1e-5)
    assert abs((ours[0] - start / 48000) - (times[0] - begin / 48000)) < 1e-3


def test_the_cover_of_a_piece_of_music_is_no_film(tmp_path):
    with av.open(tmp_path / "a.mp4", "w") as container:
        sound = container.add_stream("aac", rate=48000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.int16), "s16", "mono")
        frame.sample_rate = 48000
        container.mux(cover.encode(av.VideoFrame.from_ndarray(draw(0, (64, 48)), "rgb24")))
        container.mux(sound.encode(frame))
        container.mux([*cover.encode(None), *sound.encode(None)])
    with av.open(tmp_path / "a.mp4") as container:
        assert len(container.streams.video) == 1
    with pytest.raises(UserError, match="holds no video"):
        make(tmp_path / "a.mp4", tmp_path / "b.mp4")


def test_a_film_without_sound_stays_without(tmp_path):
    make(film(tmp_path / "a.mp4", sound=False), tmp_path / "b.mp4")
    with av.open(tmp_path / "b.mp4") as container:
        assert [stream.type for stream in container.streams] == ["video"]


@pytest.mark.parametrize("turned", [90, 180, -90])
def test_a_turned_film_is_upright(tmp_path, turned):
    make(film(tmp_path / "a.mp4", turned=turned), tmp_path / "b.mp4")
    _, maps = read(tmp_path / "b.mp4")
    expected = np.rot90(draw(0, (64, 48))[..., 0], turned // 90)
    assert maps[0].shape[:2] == expected.shape
    assert np.abs(maps[0][..., 0].astype(int) - expected).mean() < 3
    with av.open(tmp_path / "b.mp4") as container:
        assert next(container.decode(video=0)).rotation == 0


def test_a_transparent_cut_out_is_a_webm_with_alpha(tmp_path):
    make(film(tmp_path / "a.mp4"), tmp_path / "b.webm", CUTOUT)
    _, pictures = read(tmp_path / "b.webm", with_alpha=True)
    assert len(pictures) == 20
    for index, picture in enumerate(pictures):
        inside = (slice(12, 20), slice(8 + index, 16 + index))
        assert picture[..., 3][inside].min() > 240
        assert picture[40:, :, 3].max() < 15
        np.testing.assert_allclose(picture[inside][..., :3].mean((0, 1)), (230, 40, 30), atol=12)


def test_a_cut_out_lies_on_its_background_and_an_overlay_on_the_film(tmp_path):
    source = film(tmp_path / "a.mp4")
    make(source, tmp_path / "b.mp4", Output("cutout", (20, 200, 60)))
    make(source, tmp_path / "c.mp4", Output("overlay"))
    red = np.array((230, 40, 30))
    for name, outside, inside in (
        ("b.mp4", (20, 200, 60), red),
        ("c.mp4", (0, 0, 18), (0.25 + 0.75 * 230 / 255) * red),
    ):
        picture = read(tmp_path / name)[1][3]
        np.testing.assert_allclose(picture[40:, 40:].mean((0, 1)), outside, atol=6)
        np.testing.assert_allclose(picture[12:20, 12:18].mean((0, 1)), inside, atol=9)


def test_a_threshold_makes_maps_hard(tmp_path):
    make(film(tmp_path / "a.mp4"), tmp_path / "b.mp4", Output(threshold=0.5))
    levels = read(tmp_path / "b.mp4")[1][0]
    assert levels[12:20, 8:16].min() > 250
    assert levels[40:].max() < 5


def test_odd_sizes(tmp_path):
    source = film(tmp_path / "a.mkv", size=(64, 48))
    with av.open(source) as old, av.open(tmp_path / "odd.mkv", "w") as new:
        stream = new.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 63, 47, "bgr0"
        for picture in old.decode(video=0):
            pixels = np.ascontiguousarray(picture.to_ndarray(format="rgb24")[:47, :63])
            new.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        new.mux(stream.encode(None))
    assert "odd size" in next(iter(make(tmp_path / "odd.mkv", tmp_path / "b.mp4")))
    assert make(tmp_path / "odd.mkv", tmp_path / "b.webm") == []
    assert read(tmp_path / "b.mp4")[1][0].shape == (48, 64, 3)
    assert read(tmp_path / "b.webm")[1][0].shape == (47, 63, 3)


def test_colours_of_hd_films_are_kept(tmp_path):
    """A film of BT.709 says so again, and its red is the same red."""
    pixels = draw(0, (64, 48))
    with av.open(tmp_path / "a.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "5"})
        stream.width, stream.height = 64, 48
        looks = stream.codec_context
        looks.colorspace = looks.color_primaries = looks.color_trc = looks.color_range = 1
        picture = av.VideoFrame.from_ndarray(pixels, "rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace=1, dst_color_range=1)
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    make(tmp_path / "a.mp4", tmp_path / "b.mp4", Output("cutout", (20, 200, 60)))
    with av.open(tmp_path / "b.mp4") as container:
        picture = next(container.decode(video=0))
        assert (picture.colorspace, picture.color_primaries, picture.color_trc) == (1, 1, 1)
        found = picture.to_ndarray(format="rgb24")
    np.testing.assert_allclose(found[40:, 40:].mean((0, 1)), (20, 200, 60), atol=5)
    np.testing.assert_allclose(found[12:20, 8:16].mean((0, 1)), (230, 40, 30), atol=8)


@pytest.mark.parametrize("aspect", [Fraction(3, 2), Fraction(2, 3), Fraction(9999)])
@pytest.mark.parametrize("turned", [0, 90])
def test_the_proportions_of_pixels_are_kept_if_they_can_be(tmp_path, turned, aspect):
    with av.open(tmp_path / "a.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height = 64, 48
        stream.codec_context.sample_aspect_ratio = aspect
        if turned:
            stream.set_display_rotation(turned)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(0, (64, 48)), "rgb24")))
        container.mux(stream.encode(None))
    for name in ("b.mp4", "b.webm"):
        make(tmp_path / "a.mp4", tmp_path / name)
        with av.open(tmp_path / name) as container:
            stream = container.streams.video[0]
            shown = stream.width * (stream.sample_aspect_ratio or 1) / stream.height
        wide = 64 * float(aspect if aspect < 10 else 1)
        expected = 48 / wide if turned else wide / 48
        assert abs(shown / expected - 1) < 0.02


def test_numbered_pictures_hold_the_frames(tmp_path):
    source = film(tmp_path / "a.mp4")
    make_video(
        Job(tmp_path / "out" / "%03d.png", source, "", moves=True), RedPredictor(), Output(), "net"
    )
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"{number:03d}.png" for number in range(1, 21)]
    for picture, name in zip(read(source)[1], names, strict=True):
        levels = cv2.imread(str(tmp_path / "out" / name), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(levels, picture[..., 0])


class Interrupted(RedPredictor):
    def maps(self, batch):
        if self.batches:
            raise KeyboardInterrupt
        return super().maps(batch)


def test_an_interrupted_film_leaves_nothing_and_an_older_one_as_it_is(tmp_path):
    source = film(tmp_path / "a.mp4")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.mp4").write_bytes(b"older")
    for name in ("b.mp4", "c.webm"):
        with pytest.raises(KeyboardInterrupt):
            make_video(
                Job(tmp_path / "out" / name, source, "", moves=True), Interrupted(), Output(), "net"
            )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.mp4"]
    assert (tmp_path / "out" / "b.mp4").read_bytes() == b"older"


def damage(path, kind):
    data = bytearray(path.read_bytes())
    if kind == "cut":
        data = data[: len(data) // 2]
    elif kind == "scrambled":
        rng = np.random.default_rng(0)
        for place in rng.integers(len(data) // 4, len(data) * 3 // 4, 400):
            data[place] = rng.integers(256)
    elif kind == "empty":
        data = b""
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize("kind", ["cut", "scrambled", "empty"])
def test_a_damaged_film_is_named_and_the_others_are_done(tmp_path, suffix, kind):
    bad = film(tmp_path / "in" / f"bad{suffix}", sound=kind == "cut")
    film(tmp_path / "in" / "good.mp4")
    damage(bad, kind)
    jobs, problems, _ = plan_image_maps([tmp_path / "in"], tmp_path / "out")
    results = make_outputs(jobs, RedPredictor(), network="net", title="maps")
    assert (results.written, problems) == (1, [])
    assert str(bad) in results.failed[tmp_path / "out" / "bad.mp4"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.mp4"]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_damaged_first_frame_is_no_beginning_amid_a_group(tmp_path, suffix):
    bad = film(tmp_path / f"bad{suffix}", sound=False, frames=4)
    with av.open(bad) as container:
        first = bytes(next(container.demux(video=0)))
    data = bytearray(bad.read_bytes())
    begin = data.index(first[-150:-120])  # before it H.264 has a text
    data[begin : begin + 40] = bytes(value ^ 0x5A for value in data[begin : begin + 40])
    bad.write_bytes(data)
    with pytest.raises(UserError, match=r"bad\.\w+ is damaged"):
        make(bad, tmp_path / "x.mp4")


def test_frames_that_change_their_size_are_stretched_and_that_is_said(tmp_path):
    parts = []
    for width in (64, 96):
        with av.open(tmp_path / "part.h264", "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
            stream.width, stream.height, stream.pix_fmt = width, 48, "yuv420p"
            for index in range(3):
                picture = av.VideoFrame.from_ndarray(draw(index, (width, 48)), "rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        parts.append((tmp_path / "part.h264").read_bytes())
    (tmp_path / "a.h264").write_bytes(b"".join(parts))
    notes = make(tmp_path / "a.h264", tmp_path / "x.mp4")
    assert "frames of several sizes: stretched to the first one's" in notes
    assert {picture.shape for picture in read(tmp_path / "x.mp4")[1]} == {(48, 64, 3)}
    assert len(read(tmp_path / "x.mp4")[1]) == 6


@pytest.mark.parametrize(
    "script",
    [
        "ffconcat version 1.0\nfile good.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\ngood.mp4\n#EXT-X-ENDLIST\n",
        '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    ],
)
def test_a_playlist_or_script_plays_no_film_beside_it(tmp_path, script):
    film(tmp_path / "good.mp4")
    (tmp_path / "bad.mp4").write_text(script)
    with pytest.raises(UserError, match="name other files"):
        make(tmp_path / "bad.mp4", tmp_path / "x.mp4")
    assert not (tmp_path / "x.mp4").exists()


def test_sound_alone_is_no_film(tmp_path):
    with av.open(tmp_path / "a.mp4", "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.int16), "s16", "mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(UserError, match="holds no video"):
        make(tmp_path / "a.mp4", tmp_path / "b.mp4")


def plan(folder, output=MAPS):
    jobs, *_ = plan_image_maps([folder], folder.parent / "out", made=output)
    return jobs, sort_jobs(jobs, f"net{output.text}", overwrite=False)


def test_finished_films_are_kept_and_those_of_others_left_alone(tmp_path):
    film(tmp_path / "in" / "a.mov")
    film(tmp_path / "in" / "b.mp4")
    film(tmp_path / "out" / "b.mp4", frames=3)  # somebody's
    before = (tmp_path / "out" / "b.mp4").read_bytes()
    _, found = plan(tmp_path / "in")
    assert [job.target.name for job in found.todo] == ["a.mp4"]
    assert [job.target.name for job in found.foreign] == ["b.mp4"]
    assert make_outputs(found.todo, RedPredictor(), network="net", title="maps").written == 1
    _, found = plan(tmp_path / "in")
    assert [job.target.name for job in found.kept] == ["a.mp4"]
    assert (tmp_path / "out" / "b.mp4").read_bytes() == before
    film(tmp_path / "in" / "a.mov", frames=5)
    assert [job.target.name for job in plan(tmp_path / "in")[1].todo] == ["a.mp4"]
    jobs, found = plan(tmp_path / "in", CUTOUT)
    assert sorted(job.target.name for job in jobs) == ["a.webm", "b.webm"]
    make_outputs(found.todo, RedPredictor(), network=f"net{CUTOUT.text}", title="m", output=CUTOUT)
    assert len(plan(tmp_path / "in", CUTOUT)[1].kept) == 2


def test_films_of_one_name_and_outputs_in_the_input(tmp_path):
    for name in ("a.mov", "a.mp4", "deep/c.avi"):
        film(tmp_path / "in" / name, frames=3)
    output = tmp_path / "in" / "maps"
    for _ in range(2):
        jobs, *_ = plan_image_maps([tmp_path / "in"], output)
        names = sorted(job.target.relative_to(output).as_posix() for job in jobs)
        assert names == ["a.mov.mp4", "a.mp4.mp4", "deep/c.mp4"]
        make_outputs(jobs, RedPredictor(), network="net", title="maps")


@pytest.mark.parametrize(("target", "output", "words"), [
    ("x.mkv", Output(), "name a .mp4, .webm or .mov"),
    ("x.png", Output(), "name a .mp4, .webm or .mov"),
    ("%03d.foo", Output(), "numbered images need"),
    ("%03d.mp4", Output(), "cannot be written as .mp4"),
    ("x.mp4", Output(crop=True), "cannot be cropped"),
    ("folder", Output("attention"), "no attention"),
    ("a.mp4", Output(), "would replace"),
])  # fmt: skip
def test_what_cannot_be_made_of_films_is_refused(tmp_path, target, output, words):
    film(tmp_path / "a.mp4", frames=2)
    with pytest.raises(UserError, match=words):
        plan_image_maps([tmp_path / "a.mp4"], tmp_path / target, made=output)


def test_without_pyav_a_film_names_the_command_and_photographs_are_done(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    for name in ("reader", "writer", "audio", "pixels"):
        monkeypatch.delitem(sys.modules, f"class_jax.jobs.video.{name}", raising=False)
        monkeypatch.delattr(films_folder, name, raising=False)
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "b.png").write_bytes(b"x")
    with pytest.raises(UserError, match="pip install av"):
        plan_image_maps([tmp_path / "a.mp4"], tmp_path / "out")
    jobs, problems, _ = plan_image_maps([tmp_path], tmp_path / "out")
    assert [job.target.name for job in jobs] == ["b.png"]
    assert problems == ["1 .mp4 left out: pip install av (a.mp4)"]

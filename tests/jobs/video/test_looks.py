"""Films as they are meant to be seen: mirrored, transparent, HDR; titles, languages, chapters."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from class_jax.jobs.marks import Job
from class_jax.jobs.video.videos import make_video
from class_jax.pictures.outputs import MAPS, Output
from tests.jobs.video.stand_in import Looking, RedPredictor

CUTOUT = Output("cutout")
PQ, HLG = 16, 18


def draw():
    """A picture without symmetry, in which the right half is red."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, 32:] = (230, 40, 30)
    pixels[:20, :12] = (0, 160, 0)
    return pixels


def film(path, frames, *, codec="libx264", pix_fmt="yuv420p", options=None, rate=25, prepare=None,
         **looks):  # fmt: skip
    """Write a film; `prepare` gets the container and the stream before the first frame."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for name, value in looks.items():
            setattr(stream.codec_context, name, value)
        if prepare:
            prepare(container, stream)
        for pixels in frames:
            kind = "rgba" if pixels.shape[2] == 4 else "rgb24"
            picture = av.VideoFrame.from_ndarray(pixels, kind)
            matrix = looks.get("colorspace")
            container.mux(stream.encode(picture.reformat(format=pix_fmt, dst_colorspace=matrix)))
        container.mux(stream.encode(None))
        for tone in container.streams.audio:
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
            sound.sample_rate, sound.pts, sound.time_base = 48000, 0, Fraction(1, 48000)
            container.mux([*tone.encode(sound), *tone.encode(None)])
    return path


def make(source, target, output=MAPS, predictor=None):
    job = Job(target, source, "here", moves=True)
    return make_video(job, predictor or RedPredictor(), output, "net")[0]


def first_frame(path, kind="rgb24"):
    with av.open(path) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if kind == "rgba" and path.suffix == ".webm":
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        for packet in container.demux(stream):
            for picture in decoder.decode(packet if packet.size else None):
                return picture.to_ndarray(format=kind)
    raise AssertionError(f"{path} holds no frame")


# As ffmpeg shows them: by the four numbers of the display matrix.
SHOWN = {
    (0, 1, -1, 0): lambda x: np.rot90(x, -1),
    (-1, 0, 0, -1): lambda x: np.rot90(x, 2),
    (0, -1, 1, 0): lambda x: np.rot90(x, 1),
    (-1, 0, 0, 1): lambda x: x[:, ::-1],
    (1, 0, 0, -1): lambda x: x[::-1],
    (0, 1, 1, 0): lambda x: x.swapaxes(0, 1),
    (0, -1, -1, 0): lambda x: np.rot90(x, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize("matrix", SHOWN)
@pytest.mark.parametrize("side", [64, 48])  # also square, where the size tells nothing
def test_mirrored_and_turned_films_are_upright_and_keep_their_proportions(tmp_path, matrix, side):
    pixels = draw()[:, :side]
    a, b, c, d = (value << 16 for value in matrix)

    def prepare(_, stream):
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])

    film(tmp_path / "a.mp4", [pixels], prepare=prepare, sample_aspect_ratio=Fraction(3, 2))
    make(tmp_path / "a.mp4", tmp_path / "b.mp4", Output("overlay"))
    with av.open(tmp_path / "b.mp4") as container:
        picture = next(container.decode(video=0))
        assert picture.rotation == 0
        assert container.streams.video[0].sample_aspect_ratio in (None, 1)
    pixels = cv2.resize(pixels, (side * 3 // 2, 48))
    bright = (0.25 + 0.75 * pixels[..., :1] / 255) * pixels
    shown = SHOWN[matrix](bright)
    found = picture.to_ndarray(format="rgb24")
    assert found.shape == shown.shape
    assert np.abs(found - shown).mean() < 4


@pytest.mark.parametrize(("name", "codec", "pix_fmt", "options"), [
    ("a.mov", "prores_ks", "yuva444p10le", {"profile": "4444"}),
    ("a.mov", "png", "rgba", {}),
    ("a.mkv", "ffv1", "bgra", {}),
    ("a.webm", "libvpx-vp9", "yuva420p", {"crf": "10", "b": "0"}),
    ("a.webm", "libvpx", "yuva420p", {"b": "2000000", "auto-alt-ref": "0"}),
])  # fmt: skip
def test_what_a_film_leaves_transparent_stays_so_and_is_white_for_the_network(
    tmp_path, name, codec, pix_fmt, options
):
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:, 48:] = 0
    source = film(tmp_path / name, [np.dstack([draw(), alpha])] * 3,
                  codec=codec, pix_fmt=pix_fmt, options=options)  # fmt: skip
    network = Looking()
    notes = make(source, tmp_path / "out" / "%d.png", CUTOUT, network)
    assert [note for note in notes if "written with 8" in note] == list(notes)
    assert bool(notes) == ("10le" in pix_fmt)
    assert len(network.seen) == 3
    assert network.seen[0][:, 50:].min() > 250
    np.testing.assert_allclose(network.seen[0][:, 36:44].mean((0, 1)), (230, 40, 30), atol=12)
    made = np.asarray(Image.open(tmp_path / "out" / "1.png"))
    assert made[4:44, 36:44, 3].min() > 240
    assert made[:, 50:].max() <= 3  # nothing of what was there
    assert (made[..., :3][made[..., 3] == 0] == 0).all()
    make(source, tmp_path / "b.mp4", Output("cutout", (20, 200, 60)))
    on_green = first_frame(tmp_path / "b.mp4")
    np.testing.assert_allclose(on_green[8:40, 54:].mean((0, 1)), (20, 200, 60), atol=8)
    np.testing.assert_allclose(on_green[8:40, 36:44].mean((0, 1)), (230, 40, 30), atol=14)


def test_frames_of_a_transparent_webm_keep_their_times(tmp_path):
    rgba = np.dstack([draw(), np.full((48, 64), 255, np.uint8)])
    source = film(tmp_path / "a.webm", [rgba] * 5, codec="libvpx-vp9", pix_fmt="yuva420p")
    make(source, tmp_path / "b.mp4")
    with av.open(tmp_path / "b.mp4") as container:
        assert [picture.time for picture in container.decode(video=0)] == pytest.approx(
            [0, 0.04, 0.08, 0.12, 0.16]
        )


def test_nothing_of_what_was_behind_is_left_in_a_transparent_film(tmp_path):
    """What is written under alpha 0 is black, and not the film, but for the codec's edges."""
    pixels = np.random.default_rng(0).integers(90, 220, (96, 128, 3), dtype=np.uint8)
    pixels[..., 0] = 0  # not salient
    pixels[20:50, 20:50] = (230, 40, 30)
    source = film(tmp_path / "a.mkv", [pixels], codec="ffv1", pix_fmt="bgr0")
    make(source, tmp_path / "b.webm", CUTOUT)
    found = first_frame(tmp_path / "b.webm", "rgba")
    outside = np.ones((96, 128), bool)
    outside[:72, :72] = False
    assert found[outside][:, :3].max() <= 8
    assert found[outside][:, 3].max() <= 8


def light(level, transfer):
    """The light of a grey, 1 for white paper of 203 cd/m²: ITU-R BT.2100, HLG shown at 1000."""
    if transfer == PQ:
        root = level ** (32 / 2523)
        ratio = max(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)
        return 10_000 / 203 * ratio ** (8192 / 1305)
    high = (np.exp((level - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return 1000 / 203 * (level**2 / 3 if level <= 0.5 else high) ** 1.2


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_an_hdr_film_is_written_as_bt709_and_said(tmp_path, transfer):
    """Greys up to white paper are the light of BT.1886; paper is white, and so is what is above."""
    looks = {"color_primaries": 9, "color_trc": transfer, "colorspace": 9}
    levels = np.arange(0, 256, 15)
    pixels = np.broadcast_to(np.repeat(levels, 8)[None, :, None], (64, 144, 3)).astype(np.uint8)
    source = film(tmp_path / "a.mp4", [pixels] * 2, pix_fmt="yuv420p10le", options={"crf": "1"},
                  **looks)  # fmt: skip
    network = Looking()
    notes = make(source, tmp_path / "b.mp4", Output("cutout", (20, 200, 60)), network)
    assert any("HDR" in note for note in notes)
    expected = [255 * min(light(level / 255, transfer), 1) ** (1 / 2.4) for level in levels]
    seen = network.seen[0][32, 4::8].astype(int)
    assert np.ptp(seen, axis=1).max() <= 2  # grey stays grey
    np.testing.assert_allclose(seen[:, 0], expected, atol=5)
    with av.open(tmp_path / "b.mp4") as container:
        picture = next(container.decode(video=0))
        assert picture.format.name == "yuv420p"
        assert (picture.colorspace, picture.color_primaries, picture.color_trc) == (1, 1, 1)


@pytest.mark.parametrize(("name", "target"), [("a.mkv", "b.mp4"), ("a.mp4", "b.webm"),
                                              ("a.mkv", "b.webm")])  # fmt: skip
def test_titles_languages_and_chapters_are_copied(tmp_path, name, target):
    chapters = [
        {"id": index, "start": 40 * index, "end": 40 * index + 40, "time_base": Fraction(1, 1000),
         "metadata": {"title": title}}
        for index, title in enumerate(("Beginning", "End"))
    ]  # fmt: skip

    def prepare(container, _):
        container.metadata.update({"title": "Geese", "artist": "A. Nilsson", "comment": "mine"})
        container.set_chapters(chapters)
        for language in ("deu", "fra"):
            tone = container.add_stream("aac", rate=48000, layout="mono")
            tone.metadata["language"] = language

    source = film(tmp_path / name, [draw()] * 3, prepare=prepare)
    assert make(source, tmp_path / target) == []
    with av.open(tmp_path / target) as container:
        notes = {key.lower(): text for key, text in container.metadata.items()}
        assert (notes["title"], notes["artist"]) == ("Geese", "A. Nilsson")
        assert notes["comment"] != "mine"  # holds how the film was made
        assert [sound.metadata["language"] for sound in container.streams.audio] == ["deu", "fra"]
        found = [
            (chapter["metadata"]["title"], chapter["end"] * chapter["time_base"])
            for chapter in container.chapters()
        ]
    assert found == [("Beginning", Fraction(1, 25)), ("End", Fraction(2, 25))]


def test_a_transparent_cut_out_for_editors_is_prores_4444(tmp_path):
    def prepare(container, _):
        container.add_stream("aac", rate=48000, layout="mono")

    source = film(tmp_path / "a.mp4", [draw()] * 3, prepare=prepare)
    assert make(source, tmp_path / "b.mov", CUTOUT) == []
    with av.open(tmp_path / "b.mov") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.profile) == ("prores", "4444")
        assert container.streams.audio[0].codec_context.name == "aac"
        pictures = [picture.to_ndarray(format="rgba") for picture in container.decode(stream)]
    assert len(pictures) == 3
    assert pictures[0][4:44, 40:, 3].min() > 240
    np.testing.assert_allclose(pictures[0][4:44, 40:, :3].mean((0, 1)), (230, 40, 30), atol=12)
    assert pictures[0][24:, :20].max() <= 3  # alpha, and nothing of what was behind

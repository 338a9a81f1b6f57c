"""Films as they are meant to be seen: mirrored, transparent, HDR; titles, languages, chapters."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from class_jax.jobs.video.films import FilmJob, make_film
from class_jax.jobs.video.hdr import HLG, PQ, tone_map
from class_jax.pictures.outputs import MAPS, Output
from tests.jobs.video.stand_in import Looking, RedPredictor

CUTOUT = Output("cutout", text="cutout")


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
    job = FilmJob(target, source, "here")
    return make_film(job, predictor or RedPredictor(), output, "net")[0]


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
        is_turned = matrix[0] == 0
        assert container.streams.video[0].sample_aspect_ratio == Fraction(3, 2) ** (
            1 - 2 * is_turned
        )
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


@pytest.mark.parametrize(("transfer", "white"), [(PQ, 0.5807), (HLG, 0.75)])
def test_hdr_is_mapped_so_that_white_paper_is_bright_and_highlights_are_not_cut(transfer, white):
    """Paper of 203 cd/m² is at 58 % of PQ and 75 % of HLG (BT.2408)."""

    def grey(share):
        return tone_map(np.full((1, 1, 3), round(share * 65535), np.uint16), transfer)[0, 0]

    ramp = np.array([grey(share) for share in np.linspace(0, 1, 41)]).astype(int)
    assert np.ptp(ramp, axis=1).max() <= 1  # grey stays grey
    assert (np.diff(ramp[:, 0]) >= 0).all()
    assert ramp[0, 0] == 0
    assert 235 <= grey(white)[0] <= 248 < grey(white + 0.12)[0]
    assert ramp[-1, 0] == 255


def test_hdr_below_the_shoulder_is_the_light_of_bt1886(tmp_path):
    """By hand: 50 cd/m² is PQ 0.4403; (50/203)^(1/2.4) of 255 is 142."""
    levels = np.full((1, 1, 3), round(0.4403 * 65535), np.uint16)
    assert abs(int(tone_map(levels, PQ)[0, 0, 0]) - 142) <= 1


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_an_hdr_film_is_written_as_bt709_and_said(tmp_path, transfer):
    looks = {"color_primaries": 9, "color_trc": transfer, "colorspace": 9}
    pixels = np.full((64, 64, 3), round(0.55 * 255), np.uint8)
    source = film(tmp_path / "a.mp4", [pixels] * 2, pix_fmt="yuv420p10le", **looks)
    network = Looking()
    notes = make(source, tmp_path / "b.mp4", Output("cutout", (20, 200, 60)), network)
    assert any("HDR" in note for note in notes)
    expected = tone_map(np.full((1, 1, 3), round(0.55 * 65535), np.uint16), transfer)[0, 0]
    np.testing.assert_allclose(network.seen[0].mean((0, 1)), expected, atol=4)
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
    assert make(source, tmp_path / target) == {}
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
    assert make(source, tmp_path / "b.mov", CUTOUT) == {}
    with av.open(tmp_path / "b.mov") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.profile) == ("prores", "4444")
        assert container.streams.audio[0].codec_context.name == "aac"
        pictures = [picture.to_ndarray(format="rgba") for picture in container.decode(stream)]
    assert len(pictures) == 3
    assert pictures[0][4:44, 40:, 3].min() > 240
    np.testing.assert_allclose(pictures[0][4:44, 40:, :3].mean((0, 1)), (230, 40, 30), atol=12)
    assert pictures[0][24:, :20].max() <= 3  # alpha, and nothing of what was behind

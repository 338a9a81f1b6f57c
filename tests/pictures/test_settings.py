"""Settings of outputs: the same checks for the command line, Python and the API."""

import numpy as np
import pytest
from PIL import Image

from class_jax import Predictor
from class_jax.errors import UserError
from class_jax.pictures.outputs import MAPS, OUTPUTS, Output
from class_jax.pictures.settings import parse_output
from class_jax.serving.api import parse_output as parse_address
from tests.jobs.video.stand_in import RedPredictor

IMAGE = np.full((20, 30, 3), 200, np.uint8)


@pytest.mark.parametrize("level", [50, 0, float("nan"), -0.1, "high", True, "", [0.5]])
def test_a_threshold_that_is_no_level_is_refused_everywhere(level):
    sentence = "expected a level above 0, up to 1"
    with pytest.raises(UserError, match=f"--threshold=.*{sentence}"):
        parse_output("cutout", {"threshold": level}, prefix="--")
    with pytest.raises(UserError, match=f"threshold=.*{sentence}"):
        RedPredictor().cutout(IMAGE, threshold=level)
    with pytest.raises(UserError, match=f"threshold=.*{sentence}"):
        parse_address("cutout", {"threshold": str(level)}.items())


@pytest.mark.parametrize("level", ["0.5", 0.5, np.float32(0.5)])
def test_levels_are_numbers_or_text(level):
    assert parse_output("map", {"threshold": level}).threshold == 0.5


@pytest.mark.parametrize("colour", [
    "#ff000080", "#f008", (255, 0, 0, 128), (255, 0), (256, 0, 0), (-1, 0, 0), (0.5, 0, 0),
    "rgba(255, 0, 0, 0.5)", "rgb(9999999999, 0, 0)", "redd", 7, b"red",
    np.zeros((4, 4), np.uint8), {"r": 1},
])  # fmt: skip
def test_what_is_no_opaque_colour_or_picture_is_refused_everywhere(colour):
    with pytest.raises(UserError, match="background"):
        RedPredictor().cutout(IMAGE, background=colour)
    if isinstance(colour, str):
        with pytest.raises(UserError, match="--background="):
            parse_output("cutout", {"background": colour}, prefix="--")
        with pytest.raises(UserError, match="background="):
            parse_address("cutout", {"background": colour}.items())


def test_colours_arrays_pictures_and_paths_are_backgrounds(tmp_path):
    behind = np.full((5, 5, 3), (10, 20, 30), np.uint8)
    Image.fromarray(behind).save(tmp_path / "behind.png")
    nothing = RedPredictor(value=0)
    for background in ("#0a141e", (10, 20, 30), [10, 20, 30], behind, Image.fromarray(behind),
                       tmp_path / "behind.png", str(tmp_path / "behind.png")):  # fmt: skip
        made = nothing.cutout(IMAGE, background=background)
        assert (made == (10, 20, 30)).all()
    with pytest.raises(UserError, match="is not a background"):
        parse_address("cutout", [("background", str(tmp_path / "behind.png"))])  # a stranger's


def test_settings_of_other_kinds_are_refused():
    with pytest.raises(UserError, match=r"^--point is for --format attention, not for map\.$"):
        parse_output("map", {"point": "3,4", "crop": False}, prefix="--")
    assert parse_output("attention", {"point": (3, 4)}).point == (3, 4)
    for wrong in ("3", "3,-4", (1, 2, 3), 5):
        with pytest.raises(UserError, match="expected X,Y in pixels"):
            parse_output("attention", {"point": wrong})


def test_outputs_differ_in_their_text_if_settings_do(tmp_path):
    behind = [np.full((5, 5, 3), level, np.uint8) for level in (1, 1, 2)]
    texts = [parse_output("cutout", {"background": pixels}).text for pixels in behind]
    assert texts[0] == texts[1] != texts[2]
    assert parse_output("map", {}) == MAPS
    assert parse_output("map", {"threshold": 0.2}).text != parse_output("map", {}).text


def test_every_setting_changes_the_text():
    changes = {"threshold": 0.2, "crop": True, "background": "white", "point": (3, 4)}
    assert {*changes, "smooth"} == {*Output._fields} - {"kind"}
    for kind, row in OUTPUTS.items():
        settings = [{}, *({name: changes[name]} for name in row.settings)]
        settings += [{"smooth": 0.5}] if row.moves else []
        texts = [parse_output(kind, given).text for given in settings]
        assert len(set(texts)) == len(texts)


def test_buffers_and_generators_are_images(tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    expected = RedPredictor().predict(IMAGE)
    for source in (bytearray(content), memoryview(content)):
        np.testing.assert_array_equal(RedPredictor().predict(source), expected)
        assert RedPredictor().cutout(source).shape == (20, 30, 4)
    maps = RedPredictor().predict(source for source in [IMAGE, content])
    assert [saliency.shape for saliency in maps] == [(20, 30)] * 2
    assert len(RedPredictor().cutout(iter([IMAGE, IMAGE]))) == 2
    with (tmp_path / "a.png").open("rb") as file:  # read twice, for the map and the colours
        assert RedPredictor().cutout(file).shape == (20, 30, 4)
    with pytest.raises(TypeError):
        Predictor.predict(RedPredictor(), {"a": 1})

"""What the parts of the page do, without a browser."""

import io
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from class_jax.serving.service import Service
from tests.jobs.video.stand_in import RedPredictor

gr = pytest.importorskip("gradio")
page_module = pytest.importorskip("class_jax.serving.page")


class Stand(RedPredictor):
    """Gives maps of the size that is asked for."""

    device = "nothing"

    def maps(self, batch):
        for picture, saliency in zip(batch, super().maps(batch), strict=True):
            yield cv2.resize(saliency, (picture.width, picture.height))


@pytest.fixture
def page(tmp_path):
    service = Service(Stand(), has_attention=False)
    yield page_module.Page(service, tmp_path)
    service.close()


def picture(path, size=(40, 60)):
    """A file whose left half is red."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[:, : size[1] // 2, 0] = 255
    Image.fromarray(pixels).save(path)
    return path


def test_large_pictures_are_shown_small_and_downloaded_large(page, tmp_path):
    source = {"path": str(picture(tmp_path / "large.png", (1500, 2400)))}
    cutout, (before, after), overlay, saliency, points, *waiting = page.show(source, 0.5)
    shapes = {image.shape for image in (cutout, before, after, overlay, points)}
    assert shapes == {(640, 1024, 3)}
    assert set(np.unique(saliency)) == {0, 255}
    assert not any(button["interactive"] for button in waiting)
    buttons = page.save(source, 0)
    names = [button["value"].rpartition("/")[2] for button in buttons]
    assert names == ["large_cutout.png", "large_map.png"]
    assert Image.open(buttons[0]["value"]).size == (2400, 1500)


def test_what_is_not_salient_shows_the_board(page, tmp_path):
    cutout, *_ = page.show({"path": str(picture(tmp_path / "a.png"))}, 0)
    assert (cutout[:, :20] == [255, 0, 0]).all()
    assert set(np.unique(cutout[:, 40:])) == {205, 255}


def test_a_cleared_picture_clears_the_page(page):
    assert page.show(None, 0)[:5] == (None,) * 5
    assert page.save(None, 0)[0]["value"] is None


def test_a_bad_file_is_named_without_its_folder(page, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(gr.Error) as error:
        page.show({"path": str(tmp_path / "bad.png")}, 0)
    assert error.value.message == "bad.png is not an image that can be read."


def test_a_zip_holds_what_could_be_made_and_names_the_rest(page, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    names = ("a.png", "b.png")
    files = [str(picture(tmp_path / name)) for name in names] + [str(tmp_path / "bad.png")]
    result, report = page.make_zip(files, "Maps", lambda *_, **__: None)
    assert report.startswith("2 of 3 maps made.\n\nbad.png is not an image")
    with zipfile.ZipFile(result) as archive:
        assert archive.namelist() == ["a.png", "b.png"]
        levels = np.asarray(Image.open(io.BytesIO(archive.read("a.png"))))
    assert (levels[:, :30] == 255).all()
    assert (levels[:, 30:] == 0).all()


def test_files_of_one_name_are_numbered_in_a_zip(page, tmp_path):
    (tmp_path / "other").mkdir()
    paths = [picture(tmp_path / "a.png"), picture(tmp_path / "other" / "a.png")]
    result, _ = page.make_zip([str(path) for path in paths], "Cut-outs", lambda *_, **__: None)
    with zipfile.ZipFile(result) as archive:
        assert archive.namelist() == ["001_a.png", "002_a.png"]


def test_too_many_or_no_files_are_refused(page):
    for files in (None, ["a.png"] * 201):
        with pytest.raises(gr.Error):
            page.make_zip(files, "Maps", lambda *_, **__: None)

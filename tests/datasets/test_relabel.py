"""Self-training: photographs are labelled where a network's views agree, left out elsewhere."""

import numpy as np
import pytest
from PIL import Image

from datasets.photo.relabel import label_folder, label_picture


class Stub:
    """Stands in for a network: a function of an image gives its map."""

    def __init__(self, function):
        self.function = function

    def predict(self, images):
        return [self.function(image).astype(np.float32) for image in images]


def bright(image):
    return image.mean(axis=-1) > 128


def photograph(top=50, bottom=110, left=60, right=130):
    """A bright box on a dark ground, not in the middle."""
    image = np.full((160, 200, 3), 20, np.uint8)
    image[top:bottom, left:right] = 230
    return image


def test_views_that_agree_give_the_mask():
    image = photograph()
    mask = label_picture(Stub(bright), image)
    assert (mask.dtype, mask.shape) == (np.uint8, (160, 200))
    far = np.ones(mask.shape, bool)  # from edges, which may be soft
    far[44:116, 54:136] = False
    assert (mask[56:104, 66:124] == 255).all()
    assert (mask[far] == 0).all()


def left_half(image):
    return np.broadcast_to(np.arange(image.shape[1]) < image.shape[1] / 2, image.shape[:2])


DOUBTS = {
    "the mirror image gives another mask": (left_half, photograph()),
    "the middle alone gives another mask": (
        lambda image: bright(image) & (image.shape[0] == 160),
        photograph(),
    ),
    "most levels are unsure": (lambda image: np.where(bright(image), 0.7, 0.3), photograph()),
    "nothing is found": (lambda image: bright(image) * 0.0, photograph()),
    "the object is tiny": (bright, photograph(70, 80, 90, 100)),
    "the object is all": (bright, photograph(0, 160, 0, 190)),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_a_photograph_is_left_out_if(case):
    function, image = DOUBTS[case]
    assert label_picture(Stub(function), image) is None


def test_a_folder_gets_images_and_masks_of_what_is_kept(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(photograph()).save(images / "kept.png")
    Image.fromarray(photograph(70, 80, 90, 100)).save(images / "tiny.png")
    assert label_folder(Stub(bright), images, tmp_path / "out") == (1, 2)
    found = sorted(path.relative_to(tmp_path / "out") for path in tmp_path.glob("out/*/*"))
    assert [path.as_posix() for path in found] == ["images/kept.png", "masks/kept.png"]
    assert np.asarray(Image.open(tmp_path / "out/masks/kept.png"))[80, 95] == 255

"""Masks of one object each are joined to the mask of their image."""

import numpy as np
import pytest
from PIL import Image

from class_jax.data.layouts import find_layout
from class_jax.data.pairs import check_pairs, match_pairs
from class_jax.data.sources import JOINED, PairSource
from class_jax.errors import UserError

SHAPE = 24, 32
BOX, DISC = np.zeros(SHAPE, bool), np.hypot(*(np.indices(SHAPE) - 12)) < 9
BOX[3:9, 2:10] = True


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SHAPE, 3), 90, np.uint8)).save(path)


@pytest.mark.parametrize("name", ["{}_{}", "{}/{}", "{}-obj_{}", "{}_mask{}", "{}/instance_{}"])
def test_masks_of_one_object_each_are_joined(tmp_path, name):
    masks = {"a": [DISC, BOX], "b_1": [BOX], "c": [DISC] * 3}
    for stem, objects in masks.items():
        image(tmp_path / "images" / f"{stem}.jpg")
        for index, mask in enumerate(objects):
            path = tmp_path / "masks" / f"{name.format(stem, index)}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)
    found = match_pairs(find_layout(tmp_path, leaf="x"))
    assert (found.names, found.problems) == (("a", "b_1", "c"), ())
    found = check_pairs(found, PairSource(found.pairs), name="mine")
    assert f"note: 2 of 3: {JOINED}" in found.remarks
    source = PairSource(found.pairs)
    for index, objects in enumerate(masks.values()):
        np.testing.assert_array_equal(source.load(index)["mask"], 255 * np.any(objects, axis=0))
    before = source.fingerprint(0)
    Image.fromarray(DISC[::-1]).save(found.pairs[0].masks[1], compress_level=0)
    assert source.fingerprint(0) != before


def test_masks_of_one_image_and_of_two_sizes_are_refused(tmp_path):
    image(tmp_path / "images" / "a.jpg")
    (tmp_path / "masks").mkdir()
    for index in range(2):
        Image.fromarray(np.zeros((24, 32 + index), bool)).save(
            tmp_path / "masks" / f"a_{index}.png"
        )
    found = match_pairs(find_layout(tmp_path, leaf="x"))
    with pytest.raises(UserError, match="are of one image and differ in size"):
        PairSource(found.pairs).load(0)


def test_numbers_in_names_of_pairs_group_nothing(tmp_path):
    for index in range(1, 4):
        image(tmp_path / "images" / f"frame_{index}.jpg")
        image(tmp_path / "masks" / f"frame_{index}_mask.png")
    image(tmp_path / "images" / "frame.jpg")
    image(tmp_path / "masks" / "frame_mask.png")
    found = match_pairs(find_layout(tmp_path, leaf="x"))
    assert [(pair.image.stem, pair.masks[0].stem) for pair in found.pairs] == [
        (name, f"{name}_mask") for name in ("frame", "frame_1", "frame_2", "frame_3")
    ]

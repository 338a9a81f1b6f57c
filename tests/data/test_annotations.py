"""Polygons of labelme and COCO become masks, compared with a point-in-polygon test in float64."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from class_jax.data.annotations import (
    DRAWN,
    NO_POLYGONS,
    fill_polygon,
    read_coco,
    read_labelme,
)
from class_jax.data.layouts import find_layout
from class_jax.data.pairs import check_pairs, match_pairs
from class_jax.data.sources import JOINED, PairSource
from class_jax.errors import UserError

HEIGHT, WIDTH = 24, 32
STAR = [(16.2, 1.3), (20.1, 22.4), (3.7, 8.2), (29.4, 9.9), (8.8, 23.1)]  # crosses itself
RUNS = {"counts": [5, 1], "size": [2, 3]}
BOX = [(2, 3), (10, 3), (10, 9), (2, 9)]


def inside(polygon, height=HEIGHT, width=WIDTH):
    """Whether each pixel's centre lies in a polygon, by a ray to the right of each."""
    answer = np.zeros((height, width), bool)
    for row, column in np.ndindex(height, width):
        x, y = column + 0.5, row + 0.5
        for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
            if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
                answer[row, column] ^= True
    return answer


def filled(polygon, height=HEIGHT, width=WIDTH):
    mask = np.zeros((height, width), bool)
    fill_polygon(mask, np.array(polygon, np.float64))
    return mask


corner = st.tuples(st.floats(-10, WIDTH + 10), st.floats(-10, HEIGHT + 10))


@settings(max_examples=60, deadline=None)
@given(st.lists(corner, min_size=3, max_size=8))
def test_a_polygon_holds_the_pixels_whose_centres_lie_in_it(polygon):
    differing = filled(polygon) ^ inside(polygon)
    assert differing.sum() <= 1  # a centre on an edge may fall either way


def test_a_box_of_whole_numbers_covers_as_many_pixels():
    assert filled(BOX).sum() == 8 * 6
    np.testing.assert_array_equal(filled(STAR), inside(STAR))
    far = [(1e9, -1e9), (-1e9, 1e9), (1e9, 1e9)]
    np.testing.assert_array_equal(filled(far), inside(far))


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(path)


def labelme(path, *shapes, **content):
    path.parent.mkdir(parents=True, exist_ok=True)
    shapes = [
        {"label": label, "points": points, "shape_type": kind} for label, kind, points in shapes
    ]
    content = {"shapes": shapes, "imageHeight": HEIGHT, "imageWidth": WIDTH} | content
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "folders", [("", ""), ("images", "labels"), ("images", "annotations"), ("data", "data")]
)
def test_files_of_labelme_beside_images_or_in_a_folder(tmp_path, folders):
    for name, polygon in (("a", STAR), ("b", BOX)):
        image(tmp_path / folders[0] / f"{name}.jpg")
        labelme(tmp_path / folders[1] / f"{name}.json", ("cat", "polygon", polygon))
    found = match_pairs(find_layout(tmp_path, leaf="x"))
    found = check_pairs(found, PairSource(found.pairs), name="mine")
    assert (found.problems, found.names) == ((), ("a", "b"))
    assert f"note: 2 of 2: {DRAWN}" in found.remarks
    source = PairSource(found.pairs)
    np.testing.assert_array_equal(source.load(0)["mask"], 255 * inside(STAR))
    np.testing.assert_array_equal(source.load(1)["mask"], 255 * inside(BOX))


def test_shapes_of_labelme_that_are_no_polygons_are_left_out_and_that_is_said(tmp_path):
    shapes = [
        {"label": "a", "points": BOX, "shape_type": "polygon"},
        {"label": "b", "points": [[20, 12], [25, 12]], "shape_type": "circle"},
        {"label": "c", "points": [[1, 1], [30, 20]]},
        {"label": "__ignore__", "points": [[0, 0], [32, 0], [32, 24]]},
    ]
    reading = read_labelme(labelme(tmp_path / "x.json", shapes=shapes)).draw()
    np.testing.assert_array_equal(reading.levels, 255 * inside(BOX))
    assert reading.guesses == (DRAWN, NO_POLYGONS)


@pytest.mark.parametrize(
    ("salient", "expected"),
    [((), inside(STAR) | inside(BOX)), (("any",), inside(STAR) | inside(BOX)),
     (("dog",), inside(BOX)), (("cat", "dog"), inside(STAR) | inside(BOX)),
     (("cow",), 0 * inside(BOX))],
)  # fmt: skip
def test_salient_classes_by_name(tmp_path, salient, expected):
    image(tmp_path / "a.jpg")
    labelme(tmp_path / "a.json", ("cat", "polygon", STAR), ("dog", "polygon", BOX))
    found = match_pairs(find_layout(tmp_path, leaf="x"), salient=salient)
    source = PairSource(found.pairs, salient=salient)
    np.testing.assert_array_equal(source.load(0)["mask"], 255 * expected)


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "is not JSON"), ("[]", "not an annotation file of labelme"), ("{}", "'shapes'")],
)
def test_a_broken_file_of_labelme_is_named_and_the_others_are_read(tmp_path, content, words):
    for name in "ab":
        image(tmp_path / f"{name}.jpg")
        labelme(tmp_path / f"{name}.json", ("cat", "polygon", BOX))
    (tmp_path / "b.json").write_text(content)
    found = match_pairs(find_layout(tmp_path, leaf="x"))
    found = check_pairs(found, PairSource(found.pairs), name="mine")
    assert [pair.name for pair in found.pairs] == ["a"]
    (problem,) = found.problems
    assert words in problem
    assert str(tmp_path / "b.json") in problem


def coco(path, names, annotations):
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {"id": index, "file_name": name, "height": HEIGHT, "width": WIDTH}
        for index, name in enumerate(names)
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog"}]
    annotations = [
        {"image_id": index, "category_id": category, "segmentation": segmentation}
        for index, category, segmentation in annotations
    ]
    content = {"images": images, "categories": categories, "annotations": annotations}
    path.write_text(json.dumps(content))
    return path


def flat(polygon):
    return [number for point in polygon for number in point]


@pytest.mark.parametrize("images", ["", "train"])
@pytest.mark.parametrize(
    ("salient", "expected"),
    [((), inside(STAR) | inside(BOX)), ((7,), inside(BOX)), (("dog",), inside(BOX))],
)
def test_a_file_of_coco_with_polygons(tmp_path, images, salient, expected):
    names = ["a.jpg", "sub/b.jpg", "elsewhere/c.jpg"]
    for name in ("a.jpg", "sub/b.jpg", "c.jpg", "not_listed.jpg"):
        image(tmp_path / images / name)
    shapes = [(0, 1, [flat(STAR)]), (0, 7, [flat(BOX)]), (2, 7, [flat(BOX)]), (2, 7, RUNS)]
    coco(tmp_path / "annotations" / "train.json", names, shapes)
    layout = find_layout(tmp_path, leaf="x", images=images, masks="annotations/train.json")
    found = match_pairs(layout, salient=salient)
    assert (found.names, found.problems) == (("a", "c", "sub/b"), ())
    assert "note: 1 images are not listed in train.json: left out" in found.left_out
    source = PairSource(found.pairs, salient=salient)
    assert source.read(1, None)[1].guesses == (DRAWN, NO_POLYGONS)
    np.testing.assert_array_equal(source.load(0)["mask"], 255 * expected)
    np.testing.assert_array_equal(source.load(2)["mask"], np.zeros((HEIGHT, WIDTH)))


def test_an_image_that_a_file_of_coco_lists_twice_has_the_outlines_of_both(tmp_path):
    shapes = [(0, 1, [flat(STAR)]), (1, 7, [flat(BOX)])]
    drawings = read_coco(coco(tmp_path / "x.json", ["a.jpg", "a.jpg"], shapes))
    truth = inside(STAR) | inside(BOX)
    np.testing.assert_array_equal(drawings["a.jpg"].draw().levels, 255 * truth)


def test_a_class_that_a_file_of_coco_does_not_have_is_named_with_those_that_it_has(tmp_path):
    file = coco(tmp_path / "x.json", ["a.jpg"], [(0, 1, [flat(STAR)])])
    with pytest.raises(UserError, match="there is no class cow, but cat, dog"):
        read_coco(file, ("cat", "cow"))


def test_files_that_are_not_of_coco_are_refused(tmp_path):
    for content, words in (
        ("[1]", "not an annotation file of COCO"),
        ("{}", "COCO"),
        ("x", "JSON"),
    ):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(UserError, match=words):
            read_coco(tmp_path / "x.json")
    file = coco(tmp_path / "x.json", ["a.jpg"], [(0, 1, [])])
    with pytest.raises(UserError, match="holds annotations but no polygons"):
        read_coco(file)
    (tmp_path / "x.json").write_text(
        '{"images": [{"id": 0, "file_name": "a", "height": 999999, "width": 999999}], '
        '"annotations": []}'
    )
    with pytest.raises(UserError, match="there is no image of 999999x999999"):
        read_coco(tmp_path / "x.json")["a"].draw()


def test_an_image_that_is_listed_and_not_there_is_named(tmp_path):
    image(tmp_path / "a.jpg")
    coco(tmp_path / "x.json", ["a.jpg", "b.jpg"], [(0, 1, [flat(BOX)])])
    (problem,) = match_pairs(find_layout(tmp_path, leaf="x", masks="x.json")).problems
    assert "lists b.jpg, which is not in" in problem


def test_a_file_of_coco_is_hinted_at(tmp_path):
    image(tmp_path / "train" / "a.jpg")
    coco(tmp_path / "annotations" / "train.json", ["a.jpg"], [])
    with pytest.raises(UserError, match=r"config\.data\.masks=FOLDER, or a file of COCO"):
        find_layout(tmp_path, leaf="x")


@pytest.mark.parametrize("name", ["{}_{}", "{}/{}", "{}-obj_{}", "{}_mask{}", "{}/instance_{}"])
def test_masks_of_one_object_each_are_joined(tmp_path, name):
    masks = {"a": [inside(STAR), inside(BOX)], "b_1": [inside(BOX)], "c": [inside(STAR)] * 3}
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
    Image.fromarray(inside(STAR)[::-1]).save(found.pairs[0].mask[1], compress_level=0)
    assert source.fingerprint(0) != before


def test_masks_of_one_image_and_of_two_sizes_are_refused(tmp_path):
    image(tmp_path / "images" / "a.jpg")
    (tmp_path / "masks").mkdir()
    for index in range(2):
        Image.fromarray(np.zeros((HEIGHT, WIDTH + index), bool)).save(
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
    assert [(pair.image.stem, pair.mask.stem) for pair in found.pairs] == [
        (name, f"{name}_mask") for name in ("frame", "frame_1", "frame_2", "frame_3")
    ]


def test_names_of_classes_are_for_annotation_files(tmp_path):
    image(tmp_path / "images" / "a.jpg")
    image(tmp_path / "masks" / "a.png")
    found = match_pairs(find_layout(tmp_path, leaf="x"))
    with pytest.raises(UserError, match="cat is a name, and masks hold class numbers"):
        PairSource(found.pairs, salient=("cat",)).load(0)

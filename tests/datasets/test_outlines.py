"""Outlines of the published sources are drawn as a point-in-polygon test in float64 says."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.photo.outlines import fill_polygon, load_polygons

HEIGHT, WIDTH = 24, 32
STAR = [(16.2, 1.3), (20.1, 22.4), (3.7, 8.2), (29.4, 9.9), (8.8, 23.1)]  # crosses itself
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


def test_polygons_of_coco_are_read_by_the_names_of_images_and_lines_are_left_out():
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
        "annotations": [
            {"image_id": 7, "segmentation": [np.ravel(BOX).tolist(), [1, 2, 3, 4]]},
            {"image_id": 7, "segmentation": [np.ravel(STAR).tolist()]},
        ],
    }
    found = load_polygons(content)
    assert found["b.jpg"] == []
    for polygon, expected in zip(found["a.jpg"], (BOX, STAR), strict=True):
        np.testing.assert_array_equal(polygon, expected)

"""Where a montage puts its images."""

import numpy as np
import pytest

from class_jax.data.montage import BACKGROUND, GAP, draw_montage

COLOUR = (10, 200, 30)


def row(height, width):
    image = np.full((height, width, 3), COLOUR, np.uint8)
    mask, saliency = (np.full((height, width), level, np.uint8) for level in (255, 90))
    return image, mask, saliency


def box_of(sheet, colour):
    """Bounding box (top, bottom, left, right) of a colour, which must fill it."""
    rows, columns = np.nonzero((sheet == colour).all(axis=-1))
    box = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    assert len(rows) == (box[1] - box[0]) * (box[3] - box[2])
    return box


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((40, 80), (20, 40)),
        ((80, 40), (40, 20)),
        ((10, 20), (20, 40)),
        ((7, 7), (40, 40)),
        ((1, 500), (1, 40)),
    ],
)
def test_images_keep_their_shape_in_the_middle_of_their_cells(size, fitted):
    cell = 40
    sheet = draw_montage([row(*size)], cell=cell)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (cell + 2 * GAP, 3 * cell + 4 * GAP, 3)
    height, width = fitted
    for column, colour in enumerate((COLOUR, (255,) * 3, (90,) * 3)):
        top, left = GAP + (cell - height) // 2, GAP + column * (cell + GAP) + (cell - width) // 2
        assert box_of(sheet, colour) == (top, top + height, left, left + width)
    assert (sheet == BACKGROUND).all(axis=-1).sum() == sheet[..., 0].size - 3 * height * width


def test_rows_stand_below_one_another():
    cell = 24
    rows = [row(24, 12), row(30, 60), row(5, 5)]
    sheet = draw_montage(rows, cell=cell)
    assert len(sheet) == GAP + 3 * (cell + GAP)
    for index, single in enumerate(rows):
        top = index * (cell + GAP)
        expected = draw_montage([single], cell=cell)
        np.testing.assert_array_equal(sheet[top : top + len(expected)], expected)


def test_thin_structures_survive_shrinking():
    image, mask, saliency = row(400, 400)
    mask[:] = 0
    mask[:, 201] = 255
    sheet = draw_montage([(image, mask, saliency)], cell=40)
    cell = sheet[GAP:-GAP, 2 * GAP + 40 : 2 * GAP + 80, 0]
    # A tenth of one column's ten source columns is white.
    assert cell.max(axis=1).tolist() == [26] * 40
    assert (cell > 0).sum() == 40


def test_no_rows():
    with pytest.raises(ValueError, match="at least one row"):
        draw_montage([])

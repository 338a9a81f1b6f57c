"""Where a contact sheet puts its pictures and captions."""

import numpy as np
import pytest

from class_jax.data.sheet import GAP, GREY, LETTERS, Panel, draw_sheet

COLOUR = (10, 200, 30)


def row(height, width):
    image = np.full((height, width, 3), COLOUR, np.uint8)
    mask, saliency = (np.full((height, width), level, np.uint8) for level in (255, 90))
    return [Panel(image), Panel(mask), Panel(saliency)]


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
    sheet = draw_sheet([row(*size)], cell=cell)
    height, width = fitted
    assert sheet.dtype == np.uint8
    assert sheet.shape == (height + 2 * GAP, 3 * cell + 4 * GAP, 3)
    for column, colour in enumerate((COLOUR, (255,) * 3, (90,) * 3)):
        left = GAP + column * (cell + GAP) + (cell - width) // 2
        assert box_of(sheet, colour) == (GAP, GAP + height, left, left + width)
    assert (sheet == GREY).all(axis=-1).sum() == sheet[..., 0].size - 3 * height * width


def test_a_low_picture_lies_in_the_middle_of_its_row():
    tall, low = np.full((40, 20), 255, np.uint8), np.full((10, 40), 90, np.uint8)
    sheet = draw_sheet([[Panel(tall), Panel(low), Panel()]], cell=40)
    assert sheet.shape == (40 + 2 * GAP, 3 * 40 + 4 * GAP, 3)
    assert box_of(sheet, (90,) * 3) == (GAP + 15, GAP + 25, 2 * GAP + 40, 2 * GAP + 80)


def test_rows_stand_below_one_another():
    rows = [row(24, 12), row(30, 60), row(5, 5)]
    sheet = draw_sheet(rows, cell=24)
    assert len(sheet) == GAP + (24 + GAP) + (12 + GAP) + (24 + GAP)
    top = 0
    for single in rows:
        expected = draw_sheet([single], cell=24)
        np.testing.assert_array_equal(sheet[top : top + len(expected)], expected)
        top += len(expected) - GAP


def ink(sheet):
    """The columns in which something black is drawn."""
    return np.flatnonzero((sheet < 60).all(axis=(2)).any(axis=0))


def test_captions_stand_above_their_pictures_and_lines_of_text_across_the_sheet():
    white = np.full((20, 20), 255, np.uint8)
    sheet = draw_sheet([[Panel(white), Panel(white, "III")]], cell=60)
    line = LETTERS * 3 // 2
    assert len(sheet) == GAP + line + 60 + GAP
    assert 60 + 2 * GAP <= ink(sheet[:line]).min() < ink(sheet[:line]).max() < 100
    assert len(ink(sheet[line:])) == 0
    across = draw_sheet(["I" * 20, [Panel(white), Panel(white)]], cell=60, paper=255)
    assert ink(across).min() < 10
    assert ink(across).max() > 80


def test_a_caption_that_is_too_long_loses_its_beginning():
    panels = [Panel(np.full((20, 20), 90, np.uint8), caption) for caption in ("W" * 99 + "i", "")]
    sheet = draw_sheet([panels], cell=60)
    assert ink(sheet).max() <= 60 + GAP
    other = draw_sheet([[panels[0]._replace(caption="W" * 98 + "i"), panels[1]]], cell=60)
    np.testing.assert_array_equal(sheet, other)


def test_thin_structures_survive_shrinking():
    mask = np.zeros((400, 400), np.uint8)
    mask[:, 201] = 255
    sheet = draw_sheet([[Panel(mask)]], cell=40)
    cell = sheet[GAP:-GAP, GAP:-GAP, 0]
    # A tenth of one column's ten source columns is white.
    assert cell.max(axis=1).tolist() == [26] * 40
    assert (cell > 0).sum() == 40

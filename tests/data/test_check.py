"""The check of a data set: numbers against NumPy, and warnings where masks look wrong."""

import numpy as np
import pytest

from class_jax.data.check import Facts, describe, facts_of
from class_jax.data.masks import ALPHA, SCALED, Reading


def test_the_facts_of_a_mask():
    levels = np.zeros((10, 20), np.uint8)
    levels[0] = 255
    levels[5, 5] = 128  # not above 128
    salient, border, guesses, *_ = facts_of(Reading(levels, (ALPHA,)))
    assert salient == pytest.approx(20 / 200)
    assert border == pytest.approx((20 + 2) / 60)  # corners count for both sides
    assert guesses == (ALPHA,)


def warnings_of(found):
    lines = describe("x", found, unit="masks").lines
    return [line for line in lines if line.startswith("warning: ")]


def masks(*shares, border=0.0, guesses=()):
    return [Facts(share, border, guesses) for share in shares]


def test_the_summary():
    images = [((20, 30), ()), ((40, 50), ("turned",)), ((20, 30), ())]
    found = [
        mask._replace(size=size, guesses=guesses)
        for mask, (size, guesses) in zip(masks(0.0, 0.25, 1.0), images, strict=True)
    ]
    lines = describe("a set", found, unit="pairs").lines
    assert lines == [
        "a set: 3 pairs, 30x20 to 50x40; salient in the median mask: 25.0%; 1 empty, 1 full",
        "note: 1 of 3: turned",
    ]


def test_guesses_are_counted_once_a_set():
    found = masks(0.2, 0.3, guesses=(ALPHA,)) + masks(0.1, guesses=(SCALED,))
    lines = describe("x", found, unit="masks").lines
    assert lines[1:] == [f"note: 2 of 3: {ALPHA}", f"note: 1 of 3: {SCALED}"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (masks(0.0, 0.0, 0.5), "2 of 3 masks have no salient pixel"),
        (masks(1.0, 1.0, 0.5, border=1.0), "2 of 3 masks are all salient"),
        (
            masks(0.8, 0.7, 0.9, border=0.9),
            "3 of 3 masks are salient along most of their border: are they inverted?",
        ),
    ],
)
def test_suspicious_masks_are_warned_of(found, words):
    assert any(words in warning for warning in warnings_of(found))


def test_ordinary_masks_are_not_warned_of():
    assert warnings_of(masks(0.0, 0.3, 0.2, 1.0, border=0.4)) == []


def test_warnings_come_first_and_are_never_cut_off():
    found = [Facts(0.9, 0.9, (f"guess {index}",)) for index in range(20)]
    lines = describe("x", found, unit="masks").lines
    assert "are they inverted?" in lines[1]
    assert len(lines) == 11

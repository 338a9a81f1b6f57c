"""Names that belong together are found together, whatever was added to them; others are not."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from class_jax.data.matching import match_names


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "b"], ["a_mask", "b_mask"]),
        (["a", "b"], ["a-mask", "b-mask"]),
        (["a", "b"], ["a_gt", "b_gt"]),
        (["a", "b"], ["a.jpg", "b.jpg"]),
        (["a", "b"], ["a_sal_fuse", "b_sal_fuse"]),
        (["a", "b"], ["a_OursNet", "b_OursNet"]),
        (["a", "b"], ["pred_a", "pred_b"]),
        (["a", "b"], ["pred_a_v2", "pred_b_v2"]),
        (["a", "b"], ["A", "B"]),
        (["\u00e4", "b"], ["a\u0308", "b"]),  # composed and decomposed
        (["x/a", "y/b"], ["x/a_mask", "y/b_mask"]),
        (["x/a", "y/b"], ["x/pred_a", "y/pred_b"]),
        (["a_1", "b_1"], ["a_1_mask", "b_1_mask"]),
        (["a"], ["a_mask"]),  # a known ending, of a single name too
    ],
)
def test_what_was_added_to_all_names_is_ignored(wanted, found):
    assert match_names(wanted, found) == dict(zip(wanted, found, strict=True))


def test_equal_names_come_first():
    assert match_names(["a", "a_mask"], ["a_mask", "a"]) == {"a": "a", "a_mask": "a_mask"}


def test_an_ending_that_one_name_alone_has_is_not_guessed():
    assert match_names(["a"], ["a_2"]) == {}
    assert match_names(["a", "b"], ["a_2", "b_3"]) == {}


def test_a_name_that_two_would_match_has_no_partner():
    assert match_names(["a", "A"], ["a_x", "A_x"]) == {"a": "a_x", "A": "A_x"}
    assert match_names(["ab"], ["AB", "Ab"]) == {}


NAMES = st.sets(st.text(string.ascii_lowercase + string.digits, min_size=1), min_size=2, max_size=8)


@given(NAMES, st.sampled_from(["", "_mask", "-x", ".png", "_a_b"]), st.sampled_from(["", "p_"]))
def test_every_name_finds_its_own(names, ending, beginning):
    wanted = sorted(names)
    found = [f"{beginning}{name}{ending}" for name in wanted]
    assert match_names(wanted, found) == dict(zip(wanted, found, strict=True))


@given(NAMES, NAMES)
def test_no_found_name_is_given_twice(wanted, found):
    matches = match_names(sorted(wanted), sorted(found))
    assert len(set(matches.values())) == len(matches)
    assert matches.keys() <= wanted

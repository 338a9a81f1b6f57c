"""Layouts, pairing, and what is said of files that do not fit."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from class_jax.data.folders import LAYOUTS, find_layout
from class_jax.data.pairs import check_pairs, match_pairs, usable_pairs
from class_jax.data.sources import PairSource, hold_out
from class_jax.errors import UserError


def write(path, size=(20, 30), value=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Three good pairs, one of them in a sub-folder."""
    for name in ("a", "b", "deep/c"):
        write(tmp_path / "images" / f"{name}.JPG")
        write(tmp_path / "masks" / f"{name}.png")
    return tmp_path


def findings(folder, **options):
    return match_pairs(folder / "images", folder / "masks", **options)


@pytest.mark.parametrize(("images", "masks"), LAYOUTS)
@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_layouts_are_found_whatever_their_case(tmp_path, images, masks, change):
    expected = tmp_path / change(images), tmp_path / change(masks)
    for path in expected:
        path.mkdir(parents=True)
    (tmp_path / "other").mkdir()
    assert find_layout(tmp_path, leaf="x") == expected


def test_a_layout_one_level_down_is_found(tmp_path):
    (tmp_path / "DUTS-TE" / "DUTS-TE-Image").mkdir(parents=True)
    (tmp_path / "DUTS-TE" / "DUTS-TE-Mask").mkdir()
    assert find_layout(tmp_path, leaf="x")[0] == tmp_path / "DUTS-TE" / "DUTS-TE-Image"


def test_mistaken_roots(tmp_path, folder):
    with pytest.raises(UserError, match=r"config\.data\.root = .*nowhere: there is no such folder"):
        find_layout(tmp_path / "nowhere", leaf="config.data.root")
    with pytest.raises(UserError, match="is a file"):
        find_layout(folder / "images" / "a.JPG", leaf="x")
    with pytest.raises(UserError, match=r"folders found: deep\); accepted are .*images \+ masks"):
        find_layout(folder / "images", leaf="x")
    (folder / "gts").mkdir()
    with pytest.raises(UserError, match="holds several sets"):
        find_layout(folder, leaf="x")


def test_pairs_by_stem_in_sub_folders(folder):
    for junk in ("._a.jpg", ".hidden.jpg", "Thumbs.db", "__MACOSX/a.jpg", "notes.txt"):
        (folder / "images" / junk).parent.mkdir(exist_ok=True)
        (folder / "images" / junk).write_text("junk")
    found = check_pairs(findings(folder))
    assert [pair.name for pair in found.pairs] == ["a", "b", "deep/c"]
    assert found.problems == ()
    source = pickle.loads(pickle.dumps(usable_pairs(found, folder, skip_broken=False)))
    assert source[2]["name"] == "deep/c"
    assert source[2]["image"].shape == (20, 30, 3)
    assert source[2]["mask"].shape == (20, 30)


def test_every_problem_is_found_and_named(folder, capsys):
    write(folder / "images" / "lonely.jpg")
    write(folder / "masks" / "orphan.png")
    write(folder / "images" / "twice.jpg")
    write(folder / "images" / "twice.png")
    write(folder / "masks" / "twice.png")
    write(folder / "masks" / "b.png", size=(30, 20))
    (folder / "images" / "a.JPG").write_text("no picture")
    found = check_pairs(findings(folder))
    assert [pair.name for pair in found.pairs] == ["deep/c", "twice"]
    with pytest.raises(UserError) as error:
        usable_pairs(found, folder, skip_broken=False)
    for sentence in (
        "5 files are broken or unpaired",
        "lonely.jpg has no mask",
        "orphan.png has no image",
        "have the same name twice",
        "is 20x30 but its image",
        "a.JPG is not an image",
        "--skip_broken",
    ):
        assert sentence in str(error.value)
    assert len(usable_pairs(found, folder, skip_broken=True)) == 2
    assert "5 broken or unpaired files left out" in capsys.readouterr().err


def test_long_lists_are_cut(folder):
    for index in range(14):
        write(folder / "images" / f"x{index:02d}.jpg")
    with pytest.raises(UserError, match=r"x09.*… and 4 more") as error:
        usable_pairs(findings(folder), folder, skip_broken=False)
    assert "x10" not in str(error.value)


def test_ignored_masks_make_room_for_the_right_ones(folder):
    right = write(folder / "masks" / "a.jpg", value=0)
    found = findings(folder, ignored_masks=frozenset(["a.png"]))
    assert found.pairs[0].mask == right
    assert found.problems == ()


def test_nothing_usable_is_an_error_even_when_skipping(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(UserError, match="holds no image with a mask"):
        usable_pairs(findings(tmp_path), tmp_path, skip_broken=True)


@given(st.sets(st.text(min_size=1), min_size=2, max_size=40), st.text(min_size=1))
def test_held_out_parts_are_a_partition_that_new_names_do_not_disturb(names, new):
    names = sorted(names)
    kept, held_out = hold_out(names)
    assert kept
    assert held_out
    assert sorted(kept + held_out) == list(range(len(names)))
    if len(held_out) > 1 and new not in names:  # at one, it may be the exception for small sets
        grown = [*names, new]
        assert {grown[index] for index in hold_out(grown)[1]} - {new} == {
            names[index] for index in held_out
        }


def test_about_a_tenth_is_held_out():
    names = [f"image_{index}" for index in range(5000)]
    assert 0.08 < len(hold_out(names)[1]) / 5000 < 0.12
    with pytest.raises(UserError, match="too few"):
        hold_out(["only"])


def test_subset_keeps_the_order_given(folder):
    source = PairSource(findings(folder).pairs)
    assert source.subset([2, 0]).names == ("deep/c", "a")

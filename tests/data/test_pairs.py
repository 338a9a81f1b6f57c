"""Images and masks are paired by name; whatever has no partner or is broken is named."""

import pickle

import numpy as np
import pytest
from PIL import Image

from class_jax.data.layouts import Layout, find_layout
from class_jax.data.pairs import check_pairs, check_usable, match_pairs
from class_jax.data.sources import PairSource
from class_jax.errors import BrokenFilesError, UserError


def write(path, *, size=(30, 20), value=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.zeros(size[::-1], np.uint8)
    levels[4:12, 5:20] = value
    Image.fromarray(levels).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Three good pairs, one of them in a sub-folder."""
    for name in ("a", "b", "deep/c"):
        write(tmp_path / "images" / f"{name}.JPG")
        write(tmp_path / "masks" / f"{name}.png")
    return tmp_path


def match(folder, **options):
    return match_pairs(Layout(folder / "images", folder / "masks"), **options)


def check(folder, **options):
    found = match(folder)
    return check_pairs(found, PairSource(found.pairs, **options), name="mine")


def test_pairs_by_stem_in_sub_folders(folder):
    for junk in ("._a.jpg", ".hidden.jpg", "Thumbs.db", "__MACOSX/a.jpg", "notes.txt"):
        (folder / "images" / junk).parent.mkdir(exist_ok=True)
        (folder / "images" / junk).write_text("junk")
    found = check(folder)
    assert [pair.name for pair in found.pairs] == ["a", "b", "deep/c"]
    assert found.problems == ()
    example = pickle.loads(pickle.dumps(PairSource(found.pairs))).load(2)
    assert (example["name"], example["image"].shape) == ("deep/c", (20, 30, 3))


@pytest.mark.parametrize(
    "rename",
    [
        lambda path: path.with_name(f"{path.stem}_mask.png"),
        lambda path: path.with_name(f"{path.stem}-mask.png"),
        lambda path: path.with_name(f"{path.stem}.jpg.png"),
        lambda path: path.with_name(f"gt_{path.stem}.png"),
        lambda path: path.with_name(path.name.upper()),
    ],
)
def test_what_all_masks_names_have_in_addition_is_ignored(folder, rename):
    for path in list((folder / "masks").rglob("*.png")):
        path.rename(rename(path))
    found = check(folder)
    assert [pair.name for pair in found.pairs] == ["a", "b", "deep/c"]
    assert found.problems == ()


@pytest.mark.parametrize("mask", ["{}.png", "{}_mask.png", "{}-mask.png", "{}_gt.png"])
def test_images_and_masks_side_by_side(tmp_path, mask):
    for name in "abc":
        write(tmp_path / f"{name}.jpg", value=90)
        write(tmp_path / mask.format(name))
    found = match_pairs(find_layout(tmp_path, leaf="x"))
    assert [(pair.image.name, pair.masks[0].name) for pair in found.pairs] == [
        (f"{name}.jpg", mask.format(name)) for name in "abc"
    ]
    assert found.problems == ()


def test_links_to_folders_are_followed_and_loops_end(folder, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    write(store / "i" / "d.jpg")
    write(store / "m" / "d.png")
    (folder / "images" / "more").symlink_to(store / "i")
    (folder / "masks" / "more").symlink_to(store / "m")
    (folder / "images" / "loop").symlink_to(folder / "images")
    found = match(folder)
    assert [pair.name for pair in found.pairs] == ["a", "b", "deep/c", "more/d"]
    assert found.problems == ()


def test_every_problem_is_found_and_named(folder):
    write(folder / "images" / "lonely.jpg")
    write(folder / "masks" / "orphan.png")
    write(folder / "images" / "twice.jpg")
    write(folder / "images" / "twice.png")
    write(folder / "masks" / "twice.png")
    write(folder / "masks" / "b.png", size=(30, 22))
    (folder / "images" / "a.JPG").write_text("no picture")
    found = check(folder)
    assert [pair.name for pair in found.pairs] == ["deep/c"]
    with pytest.raises(BrokenFilesError) as error:
        check_usable(found, folder, skip_broken=False)
    assert error.value.skippable
    lines = str(error.value).splitlines()
    assert "5 files are broken or have no partner:" in lines[0]
    assert len(lines) == 6
    for sentence in (
        "lonely.jpg has no mask",
        "orphan.png has no image",
        "have the same name twice",
        "b.png is 30x22",
        "a.JPG is not an image",
    ):
        assert sentence in str(error.value)
    assert ".." not in str(error.value).replace("...", "")
    remarks = check_usable(found, folder, skip_broken=True)
    assert "5 files are left out:" in remarks[-1]


def test_long_lists_are_cut_after_ten(folder):
    for index in range(14):
        write(folder / "images" / f"x{index:02d}.jpg")
    with pytest.raises(UserError) as error:
        check_usable(match(folder), folder, skip_broken=False)
    lines = str(error.value).splitlines()
    assert len(lines) == 12
    assert lines[-1] == "  and 4 more"


def test_what_is_left_out_is_counted_by_kind_with_the_cure(folder):
    for name in ("1.heic", "2.HEIC", "3.cr2", "film.mp4", "notes.txt", "labels.xml"):
        (folder / "images" / name).write_bytes(b"x")
    assert set(match(folder).left_out) == {
        "note: 2 .heic left out: pip install pillow-heif (1.heic, 2.HEIC)",
        "note: 1 .cr2 left out: a raw photograph: export it as JPEG (3.cr2)",
        "note: 1 .mp4 left out: a video (film.mp4)",
    }


def test_what_is_left_out_is_told_with_what_is_missing_because_of_it(folder):
    (folder / "images" / "a.JPG").rename(folder / "images" / "a.heic")
    found = check(folder)
    heic = "note: 1 .heic left out: pip install pillow-heif (a.heic)"
    with pytest.raises(BrokenFilesError) as error:
        check_usable(found, folder, skip_broken=False)
    assert "a.png has no image" in str(error.value)
    assert str(error.value).endswith(f"\n{heic}")
    assert check_usable(found, folder, skip_broken=True)[1] == heic


def test_ignored_masks_make_room_for_the_right_ones(folder):
    right = write(folder / "masks" / "a.jpg", value=255)
    found = match(folder, ignored_masks=frozenset(["a.png"]))
    assert found.pairs[0].masks == (right,)
    assert found.problems == ()


def test_nothing_usable_is_an_error_even_when_skipping(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(BrokenFilesError, match="holds no image with a mask") as error:
        check_usable(match(tmp_path), tmp_path, skip_broken=True)
    assert not error.value.skippable


def test_the_check_is_a_line_that_a_person_can_read(folder):
    (line,) = check(folder).remarks
    share = 8 * 15 / 600
    assert line == f"mine: 3 pairs, 30x20; salient in the median mask: {share:.1%}; 0 empty, 0 full"


def test_of_two_masks_of_one_name_neither_is_used(folder):
    write(folder / "masks" / "b.bmp")
    found = match(folder)
    assert "b" not in [pair.name for pair in found.pairs]
    assert any("have the same name b" in problem for problem in found.problems)
    assert len(found.problems) == 1


def test_which_of_two_files_in_one_folder_is_taken_as_the_mask_is_said(tmp_path):
    write(tmp_path / "a.jpg")
    write(tmp_path / "a.png")
    found = match_pairs(find_layout(tmp_path, leaf="x"))
    assert found.remarks == (
        "note: 1 pairs are guessed from their names: the mask of a.jpg is a.png",
    )


def test_pairs_of_different_names_are_said(folder):
    for path in (folder / "masks").rglob("*.png"):
        path.rename(path.with_name(f"cat_{path.name}"))
    (remark,) = match(folder).remarks
    assert "3 pairs are guessed from their names: the mask of a.JPG is cat_a.png" in remark


@pytest.mark.parametrize(("others", "highest"), [(255, 1), (1, 255)])
def test_a_mask_of_0_and_1_is_read_as_the_others_of_its_set_say(folder, others, highest):
    for name in ("a", "b"):
        write(folder / "masks" / f"{name}.png", value=others)
    write(folder / "masks" / "deep" / "c.png", value=1)
    found = check(folder)
    assert found.problems == ()
    source = PairSource(found.pairs)
    assert source.load(2)["mask"].max() == highest
    said = "note: 1 of 3: two values below 255 among masks that reach it: taken as they are"
    assert any(line.startswith(said) for line in found.remarks) == (highest == 1)

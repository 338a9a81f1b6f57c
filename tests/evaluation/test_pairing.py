"""Which map belongs to which mask."""

import cv2
import numpy as np
import pytest

from class_jax.errors import UserError
from class_jax.evaluation.pairing import find_highest, find_maps, keep_common, keep_levels
from class_jax.evaluation.sets import find_masks


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


ALL = {"a": "a.png", "b_1": "b_1.jpg"}


@pytest.fixture
def masks(tmp_path):
    return find_masks([touch(tmp_path / "toys" / "masks", "a.png", "b_1.png", "sub/c.png")])


@pytest.mark.parametrize(
    ("names", "pairs", "surplus"),
    [
        (["a.png", "b_1.jpg", "sub/c.bmp"], ALL | {"sub/c": "sub/c.bmp"}, []),
        (["a_sal_fuse.png", "b_1_sal_fuse.png"], {n: f"{n}_sal_fuse.png" for n in ALL}, []),
        # A suffix that nobody has heard of, as all maps have it.
        (["a-Net.v2.png", "b_1-Net.v2.png"], {"a": "a-Net.v2.png", "b_1": "b_1-Net.v2.png"}, []),
        # Known ones need not be on all.
        (["a_sal_fuse.png", "other.png"], {"a": "a_sal_fuse.png"}, ["other.png"]),
        # The mask's own name comes first.
        (["a.png", "a_sal_fuse.png"], {"a": "a.png"}, ["a_sal_fuse.png"]),
        (["a.png", "b.png"], {"a": "a.png"}, ["b.png"]),
        (["pred_a.png", "pred_b_1.png"], {"a": "pred_a.png", "b_1": "pred_b_1.png"}, []),
        # One leftover's ending says nothing, nor does a mask's own.
        (["b_1.png", "a_2.png"], {"b_1": "b_1.png"}, ["a_2.png"]),
        (["a_x_sal.png", "b_1_sal.png"], {"b_1": "b_1_sal.png"}, ["a_x_sal.png"]),
        (["a.png", "._a.png", "__MACOSX/b_1.png", "notes.txt"], {"a": "a.png"}, []),
    ],
    ids=["equal", "sal_fuse", "any suffix", "some", "both", "part of a name", "prefix",
         "one leftover", "no more than the suffix", "junk"],
)  # fmt: skip
def test_pairs(tmp_path, masks, names, pairs, surplus):
    folder = touch(tmp_path / "Net", *names)
    (maps,) = find_maps([folder], masks)
    assert {task.name: str(task.map.relative_to(folder)) for task in maps.tasks} == pairs
    assert maps.missing == [name for name in ("a", "b_1", "sub/c") if name not in pairs]
    left_out = [note for note in maps.notes if "as they have no mask" in note]
    assert left_out == [
        f"Net on toys: 1 map left out ({name}), as they have no mask" for name in surplus
    ]
    assert maps.method == "Net"
    assert [task.name for task in maps.tasks] == sorted(pairs)


@pytest.mark.parametrize(
    ("given", "masks", "name", "has_images"),
    [
        ("ECSSD/ground_truth_mask", "ECSSD/ground_truth_mask", "ECSSD", True),
        ("ECSSD", "ECSSD/ground_truth_mask", "ECSSD", True),
        ("DUTS-TE", "DUTS-TE/DUTS-TE-Mask", "DUTS-TE", True),
        ("plain", "plain", "plain", False),
        ("salObj/datasets/masks/pascal", "salObj/datasets/masks/pascal", "PASCAL-S", False),
        ("salObj", "salObj/datasets/masks/pascal", "PASCAL-S", True),
        ("nested", "nested/deep", "nested", False),
    ],
)
def test_masks_and_the_name_of_their_set(tmp_path, given, masks, name, has_images):
    touch(tmp_path / masks, "a.png")
    touch(tmp_path / "ECSSD" / "images", "a.jpg")
    touch(tmp_path / "DUTS-TE" / "DUTS-TE-Image", "a.jpg")
    if given == "salObj":
        touch(tmp_path / "salObj" / "datasets" / "imgs" / "pascal", "a.jpg")
    (found,) = find_masks([tmp_path / given])
    assert found.set_name == name
    assert list(found.files.values()) == [tmp_path / masks / "a.png"]
    assert [path.name for path in found.images.values()] == (["a.jpg"] if has_images else [])


def test_images_are_found_beside_the_masks_of_a_part_and_beside_other_sets(tmp_path):
    for name in ("images/test", "images/train", "masks/test", "masks/train"):
        touch(tmp_path / "own" / name, f"{name[-4:]}.png")
    touch(tmp_path / "other" / "images", "test.png")
    touch(tmp_path / "other" / "masks", "test.png")
    (found,) = find_masks([tmp_path / "own" / "masks" / "test"])
    assert found.images == {"test": tmp_path / "own" / "images" / "test" / "test.png"}


def test_what_is_scored_is_read_from_the_files(tmp_path):
    picture = np.full((3, 4), 200, np.uint8)
    picture[0] = 255
    for name in ("gt/a.png", "gt/b.png", "im/a.jpg", "gt/c.png", "im/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), picture)
    (tmp_path / "im/c.jpg").write_text("no image")
    masks = find_masks([tmp_path / "gt"])
    maps = touch(tmp_path / "Net", "a.png", "b.png", "c.png")
    (map_set,) = find_maps([maps], masks, highest=100)
    assert (map_set.set_name, map_set.method) == (tmp_path.name, "Net")
    assert [task.map.name for task in map_set.tasks] == ["a.png", "b.png", "c.png"]
    for task in map_set.tasks:
        assert task.highest == 100
        assert task.read()[0].tolist() == picture.tolist()
    with_image, without, broken = map_set.tasks
    assert with_image.read()[1].shape == (3, 4, 3)
    assert with_image.read(with_image=False)[1] is without.read()[1] is broken.read()[1] is None


def test_masks_of_0_and_1_are_scaled_or_kept(tmp_path, masks):
    cv2.imwrite(str(tmp_path / "toys" / "masks" / "a.png"), np.eye(3, dtype=np.uint8))
    (maps,) = find_maps([touch(tmp_path / "Net", "a.png")], masks)
    assert maps.tasks[0].read()[0].max() == 255
    assert keep_levels(maps).tasks[0].read()[0].max() == 1


def test_folders_of_one_name_are_told_apart(tmp_path, masks):
    folders = [touch(tmp_path / part / "maps", "a.png") for part in ("x", "y")]
    other = touch(tmp_path / "Net", "a.png")
    (tmp_path / "OurNet").symlink_to(touch(tmp_path / "blob", "a.png"))
    found = find_maps([*folders, other, tmp_path / "OurNet"], masks)
    assert [maps.method for maps in found] == ["x/maps", "y/maps", "Net", "OurNet"]


@pytest.mark.parametrize(
    ("folder", "names", "message"),
    [
        ("empty", [], "holds no maps"),
        ("text", ["notes.txt"], "holds no maps"),
        ("strange", ["x.png"], r"none of the maps \(x\) has the name of a mask \(a, b_1, sub/c\)"),
        ("double", ["a.png", "a.jpg"], "have the same name a"),
    ],
)
def test_maps_that_cannot_be_paired(tmp_path, masks, folder, names, message):
    (tmp_path / folder).mkdir()
    with pytest.raises(UserError, match=message):
        find_maps([touch(tmp_path / folder, *names)], masks)


def test_folders_that_are_none(tmp_path, masks):
    file = touch(tmp_path, "file.png") / "file.png"
    with pytest.raises(UserError, match=r"file.png is not a folder of maps"):
        find_maps([file], masks)
    with pytest.raises(UserError, match=r"absent is not a folder of maps"):
        find_maps([tmp_path / "absent"], masks)
    with pytest.raises(UserError, match="is given twice"):
        find_maps([touch(tmp_path / "x", "a.png"), tmp_path / "toys" / ".." / "x"], masks)
    with pytest.raises(UserError, match=r"file.png is not a folder of masks"):
        find_masks([file])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no masks"):
        find_masks([tmp_path / "empty"])


def test_several_sets_with_a_folder_for_each_in_those_of_the_methods(tmp_path):
    sets = find_masks(
        [touch(tmp_path / name / "gt", "a.png", "b.png") for name in ("DUTS-TE", "ECSSD")]
    )
    assert [masks.set_name for masks in sets] == ["DUTS-TE", "ECSSD"]
    for folder in ("dutste", "ECSSD"):
        touch(tmp_path / "Net" / folder, "a.png", "b.png")
    found = find_maps([tmp_path / "Net"], sets)
    assert [maps.tasks[0].map.parent.name for maps in found] == ["dutste", "ECSSD"]
    # One set of a method that has several.
    (maps,) = find_maps([tmp_path / "Net"], sets[1:])
    assert maps.tasks[0].map == tmp_path / "Net" / "ECSSD" / "a.png"
    assert maps.notes == []
    touch(tmp_path / "Other", "a.png")
    with pytest.raises(UserError, match=r"Other: expected one folder DUTS-TE .* \(found: none\)"):
        find_maps([tmp_path / "Other"], sets)


def test_sets_of_one_name_are_told_apart(tmp_path):
    sets = find_masks([touch(tmp_path / part / "set" / "masks", "a.png") for part in "xy"])
    assert [masks.set_name for masks in sets] == ["x/set", "y/set"]


def test_methods_are_compared_on_the_images_that_all_have(tmp_path, masks):
    folders = [
        touch(tmp_path / "A", "a.png", "b_1.png"),
        touch(tmp_path / "B", "b_1.png", "sub/c.png"),
    ]
    for maps in keep_common(find_maps(folders, masks)):
        assert [task.name for task in maps.tasks] == ["b_1"]
    with pytest.raises(UserError, match="no image that all methods have"):
        keep_common(find_maps([*folders, touch(tmp_path / "C", "a.png")], masks))


@pytest.mark.parametrize(
    ("highest", "fault"), [((255, 255), 255), ((255, 65535), 65535), ((3, 9), 9), ((0, 0), 0)]
)
def test_the_highest_value_of_a_methods_16_bit_maps_is_found(tmp_path, masks, highest, fault):
    (tmp_path / "Net").mkdir()
    for name, value in zip(("a", "b_1"), highest, strict=True):
        levels = np.zeros((4, 4), np.uint16)
        levels[0] = value
        cv2.imwrite(str(tmp_path / "Net" / f"{name}.png"), levels)
    (maps,) = find_maps([tmp_path / "Net"], masks)
    assert find_highest(maps) == fault


def test_maps_of_8_bits_are_no_fault(tmp_path, masks):
    (tmp_path / "Net").mkdir()
    cv2.imwrite(str(tmp_path / "Net" / "a.png"), np.full((4, 4), 9, np.uint8))
    assert find_highest(find_maps([tmp_path / "Net"], masks)[0]) is None


def test_maps_of_a_set_lie_in_the_folder_that_has_its_whole_name(tmp_path):
    sets = find_masks(
        [touch(tmp_path / name / "test" / "gt", "a.png") for name in ("DUTS", "ECSSD")]
    )
    assert [masks.set_name for masks in sets] == ["DUTS/test", "ECSSD/test"]
    for folder in ("DUTS/test", "ECSSD-test"):
        touch(tmp_path / "A" / folder, "a.png")
    found = find_maps([tmp_path / "A"], sets)
    assert [str(maps.tasks[0].map.relative_to(tmp_path)) for maps in found] == [
        "A/DUTS/test/a.png",
        "A/ECSSD-test/a.png",
    ]
    touch(tmp_path / "B" / "test", "a.png")  # of which of the two?
    with pytest.raises(UserError, match=r"B: expected one folder DUTS/test .* \(found: test\)"):
        find_maps([tmp_path / "B"], sets)
    for folder in ("duts-test", "DUTS_TEST", "ECSSD"):
        touch(tmp_path / "C" / folder, "a.png")
    with pytest.raises(UserError, match=r"DUTS/test .* \(found: DUTS_TEST, duts-test\)"):
        find_maps([tmp_path / "C"], sets)

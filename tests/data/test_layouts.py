"""Folders of images and masks are found under the names that people give them."""

import pytest

from class_jax.data.layouts import find_layout, find_layouts, kind_of, split_flat
from class_jax.errors import UserError

LAYOUTS = [
    ("images", "masks"), ("images", "mask"), ("image", "masks"), ("images", "gt"),
    ("image", "gt"), ("Img", "GT"), ("img", "mask"), ("images", "labels"),
    ("JPEGImages", "SegmentationClass"), ("RGB", "GT"), ("imgs", "masks"), ("inputs", "targets"),
    ("im_aug", "gt_aug"), ("Train-Image", "Train-Mask"), ("Image-train", "Mask-train"),
    ("images", "ground_truth_mask"), ("Images", "Ground Truth"), ("images", "GroundTruth"),
    ("DUTS-TR-Image", "DUTS-TR-Mask"), ("DUTS-TE-Image", "DUTS-TE-Mask"), ("imgs", "gts"),
    ("DUT-OMRON-image", "pixelwiseGT-new-PNG"), ("datasets/imgs/pascal", "datasets/masks/pascal"),
    ("train_images", "train_masks"), ("im", "gt"), ("image", "alpha"), ("photos", "mattes"),
    ("inputs", "annotations"), ("src", "mask"), ("img", "gt_masks"), ("image", "segmentations"),
    ("img_dir", "ann_dir"), ("images_dir", "masks"), ("my_photos", "masks"),
    ("dut-omron-image", "pixelwisegt-new-png"),
]  # fmt: skip


def make(root, *folders):
    for folder in folders:
        (root / folder).mkdir(parents=True)
    return root


@pytest.mark.parametrize(("images", "masks"), LAYOUTS)
@pytest.mark.parametrize("inside", [".", "DIS-TR"])
def test_usual_names_are_found_in_a_folder_or_its_only_one(tmp_path, images, masks, inside):
    root = make(tmp_path, f"{inside}/{images}", f"{inside}/{masks}", "notes")
    layout = find_layout(root, leaf="config.data.root")
    assert layout == (root / inside / images, root / inside / masks)
    assert not layout.is_flat


def test_links_to_folders_serve(tmp_path):
    make(tmp_path, "real/one", "real/two")
    (tmp_path / "images").symlink_to("real/one")
    (tmp_path / "masks").symlink_to("real/two")
    assert find_layout(tmp_path, leaf="x") == (tmp_path / "images", tmp_path / "masks")


@pytest.mark.parametrize(
    "folders",
    [
        ("train/images", "train/masks", "val/images", "val/masks"),
        ("images", "gt", "masks"),
        ("train-image", "train-mask", "test-image", "test-mask"),
        ("images/train", "images/val", "images/test", "masks/train", "masks/val", "masks/test"),
        ("img_dir/train", "img_dir/val", "ann_dir/train", "ann_dir/val"),
        ("data/images/training", "data/images/testing", "data/gt/training", "data/gt/testing"),
        ("images/Train", "images/valid", "labels/Train", "labels/valid"),
        ("images/train2017", "images/validation", "masks/train2017", "masks/validation"),
        ("imgs/train_imgs", "imgs/val_imgs", "masks/train_masks", "masks/val_masks"),
    ],
)
def test_several_sets_are_all_named_with_the_leaves_that_choose(tmp_path, folders):
    with pytest.raises(UserError) as error:
        find_layout(make(tmp_path, *folders), leaf="config.data.root")
    for folder in folders:
        assert folder in str(error.value)
    assert "config.data.images=" in str(error.value)
    assert "config.data.masks=" in str(error.value)


@pytest.mark.parametrize(
    ("folders", "train", "val"),
    [
        (("images/test", "images/train", "images/val"), "images/train", "images/val"),
        (("train/images", "val/images", "test/images"), "train/images", "val"),
    ],
)
def test_of_several_parts_train_is_proposed_and_val_to_validate_on(tmp_path, folders, train, val):
    masks = [folder.replace("images", "masks") for folder in folders]
    with pytest.raises(UserError) as error:
        find_layout(make(tmp_path, *folders, *masks), leaf="config.data.root")
    assert (
        f"config.data.images={train} and config.data.masks={train.replace('images', 'masks')}, for "
        f"example, and config.data.val_root={tmp_path / val} to validate on."
    ) in str(error.value)
    layout = find_layout(tmp_path / val, leaf="x")
    assert layout.images.name in ("val", "images")
    assert str(layout.masks) == str(layout.images).replace("images", "masks")


@pytest.mark.parametrize("names", [("train", "bus"), ("trains", "tests"), ("valley", "devices")])
def test_folders_of_classes_are_no_parts_of_a_set(tmp_path, names):
    folders = [f"{kind}/{name}" for kind in ("images", "masks") for name in names]
    layout = find_layout(make(tmp_path, *folders), leaf="x")
    assert layout == (tmp_path / "images", tmp_path / "masks")


def test_parts_may_be_taken_together(tmp_path):
    make(tmp_path, "images/train", "images/val", "masks/train", "masks/val")
    assert find_layouts(tmp_path) == [(tmp_path / "images", tmp_path / "masks")]


def test_a_folder_of_images_is_found_with_the_masks_beside_it(tmp_path):
    make(tmp_path, "images", "gt")
    assert find_layout(tmp_path / "images", leaf="x") == (tmp_path / "images", tmp_path / "gt")


def test_several_masks_of_one_image_are_several_sets(tmp_path):
    make(tmp_path, "images", "gt", "masks")
    (tmp_path / "images" / "a.jpg").write_text("")
    with pytest.raises(UserError, match="holds several sets"):
        find_layout(tmp_path, leaf="x")


def test_of_a_folder_of_images_with_several_of_masks_beside_it_all_are_named(tmp_path):
    make(tmp_path, "images", "gt", "masks")
    with pytest.raises(UserError, match=r"config\.data\.images=\. and config\.data\.masks=\.\./gt"):
        find_layout(tmp_path / "images", leaf="x")
    layout = find_layout(tmp_path / "images", leaf="x", images=".", masks="../gt")
    assert layout.masks.resolve() == tmp_path.resolve() / "gt"


def test_the_user_names_the_two_folders(tmp_path):
    make(tmp_path, "train/images", "train/masks", "val/images", "val/masks", "x")
    layout = find_layout(tmp_path, leaf="x", images="train/images", masks="train/masks")
    assert layout == (tmp_path / "train/images", tmp_path / "train/masks")
    with pytest.raises(UserError, match="belong together"):
        find_layout(tmp_path, leaf="x", images="train/images")
    with pytest.raises(UserError, match=r"config\.data\.masks: there is no folder .*nowhere"):
        find_layout(tmp_path, leaf="x", images="train/images", masks="nowhere")


@pytest.mark.parametrize("mask", ["a.png", "a_mask.png", "a-mask.png", "a_gt.png"])
def test_images_and_masks_in_one_folder(tmp_path, mask):
    for name in ("a.jpg", mask):
        (tmp_path / name).write_text("")
    layout = find_layout(tmp_path, leaf="x")
    assert layout.is_flat
    images, masks = split_flat([tmp_path / "a.jpg", tmp_path / mask])
    assert (images, masks) == ([tmp_path / "a.jpg"], [tmp_path / mask])


def test_images_alone_are_no_set(tmp_path):
    for name in ("a.jpg", "b.png"):
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match="no folder of images beside a folder of masks"):
        find_layout(tmp_path, leaf="x")


def test_what_is_there_instead_is_named(tmp_path):
    with pytest.raises(UserError, match=r"x = .*nowhere does not exist"):
        find_layout(tmp_path / "nowhere", leaf="x")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        find_layout(tmp_path / "file", leaf="x")
    make(tmp_path, "cats", "dogs")
    with pytest.raises(UserError, match=r"folders: cats, dogs"):
        find_layout(tmp_path, leaf="x")


@pytest.mark.parametrize("name", ["edges", "depth", "results", "scribbles", "trimaps"])
def test_other_folders_are_neither(name):
    assert kind_of(name) == (None, ())

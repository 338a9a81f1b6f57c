"""Official layouts, fabricated small, prepared for real; faults handled and said."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import datasets
from class_jax.errors import UserError

STEMS = ("a", "b", "n01532829_13482")


@pytest.fixture(autouse=True)
def small_sets(monkeypatch):
    """The sets have three pairs each here, and nothing may be downloaded."""
    for builder, _ in datasets.SETS.values():
        for config in builder.BUILDER_CONFIGS:
            monkeypatch.setattr(config, "pairs", 3)

    def refuse(archive, folder):
        raise UserError(f"download of {archive.url} to {folder}")

    monkeypatch.setattr("datasets.base.download", refuse)


def write(path, value, size=(20, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(path)


def fabricate(root, part="TR"):
    """A set's folders as its archive unpacks."""
    for stem in STEMS:
        write(root / f"DUTS-{part}" / f"DUTS-{part}-Image" / f"{stem}.jpg", 90)
        write(root / f"DUTS-{part}" / f"DUTS-{part}-Mask" / f"{stem}.png", 255)
    return root


def archive(tmp_path, part="TR", extra=()):
    """An official archive with the junk that such have."""
    source = fabricate(tmp_path / "unpacked", part)
    path = tmp_path / "root" / "downloads" / "manual" / f"DUTS-{part}.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as file:
        for picture in sorted(source.rglob("*.*g")):
            file.write(picture, picture.relative_to(source))
        file.writestr(f"__MACOSX/DUTS-{part}/DUTS-{part}-Image/._a.jpg", "junk")
        file.writestr(f"DUTS-{part}/DUTS-{part}-Image/.DS_Store", "junk")
        for name in extra:
            file.writestr(name, "outside")
    return path


def masks(root, part="TR"):
    return root / f"DUTS-{part}" / f"DUTS-{part}-Mask"


def test_an_archive_in_the_manual_folder_is_unpacked_verified_and_read(tmp_path):
    archive(tmp_path)
    root = tmp_path / "root"
    source = datasets.open_set("duts_tr", str(root), skip_broken=False)
    assert source.names == STEMS
    assert source.load(0)["image"].shape == (20, 30, 3)
    assert source.load(0)["mask"].min() == 255
    again = datasets.open_set("duts_tr", str(root), skip_broken=False)
    assert again.pairs == source.pairs
    (check, *warnings) = datasets.check_of("duts_tr", str(root))
    assert check.startswith("DUTS tr: 3 pairs, 30x20; salient in the median mask: 100.0%;")
    assert "3 of 3 masks are all salient" in warnings[0]


@pytest.mark.parametrize(("others", "level"), [(255, 1), (1, 255)])
def test_a_mask_that_reaches_1_is_scaled_as_the_others_of_its_set(tmp_path, others, level):
    root = fabricate(tmp_path / "root")
    for stem in STEMS:
        write(masks(root) / f"{stem}.png", 1 if stem == "a" else others)
    for _ in ("prepared", "read again"):
        source = datasets.open_set("duts_tr", str(root), skip_broken=False)
        assert source.load(0)["mask"].max() == level
        assert source.load(1)["mask"].max() == 255


def test_folders_unpacked_by_hand_serve_and_may_be_moved(tmp_path):
    root = fabricate(tmp_path / "root", "TE")
    assert len(datasets.open_set("duts_te", str(root), skip_broken=False).names) == 3
    moved = root.rename(tmp_path / "moved")
    source = datasets.open_set("duts_te", str(moved), skip_broken=False)
    assert source.pairs[0].image.is_relative_to(moved)
    assert source.load(2)["name"] == STEMS[2]


def test_files_that_vanished_after_preparing_are_looked_for_anew(tmp_path):
    root = fabricate(tmp_path / "root", "TE")
    datasets.open_set("duts_te", str(root), skip_broken=False)
    (root / "DUTS-TE").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="download of http"):
        datasets.open_set("duts_te", str(root), skip_broken=False)


def test_known_faults_of_old_copies(tmp_path, capsys):
    root = fabricate(tmp_path / "root")
    write(masks(root) / f"{STEMS[2]}.png", 0)  # the wrong one of two
    write(masks(root) / f"{STEMS[2]}.jpg", 255)
    source = datasets.open_set("duts_tr", str(root), skip_broken=False)
    assert source.pairs[2].masks[0].suffix == ".jpg"
    assert f"known faults of this release ignored: {STEMS[2]}.png" in capsys.readouterr().err
    fabricate(root, "TE")
    write(masks(root, "TE") / "sun_bcogaqperiljqupq.jpg", 255)
    assert len(datasets.open_set("duts_te", str(root), skip_broken=False).names) == 3


def test_what_is_missing_or_broken_is_named_and_nothing_looks_prepared(tmp_path):
    root = fabricate(tmp_path / "root")
    (masks(root) / "a.png").unlink()
    (masks(root) / "b.png").write_text("no picture")
    with pytest.raises(UserError) as error:
        datasets.open_set("duts_tr", str(root), skip_broken=False)
    for sentence in ("2 pairs were found", "3 were expected", "a.jpg has no mask", "b.png"):
        assert sentence in str(error.value)
    assert len(datasets.open_set("duts_tr", str(root), skip_broken=True).names) == 1
    # What was stored with broken pairs left out is no answer to those who want all.
    with pytest.raises(UserError, match="3 were expected"):
        datasets.open_set("duts_tr", str(root), skip_broken=False)


def test_a_prepared_set_is_read_without_writing(tmp_path):
    root = fabricate(tmp_path / "root")
    datasets.open_set("duts_tr", str(root), skip_broken=False)
    (root / ".duts_tr.lock").unlink(missing_ok=True)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert len(datasets.open_set("duts_tr", str(root), skip_broken=False).names) == 3
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_archives_that_leave_their_folder_or_are_cut_off(tmp_path):
    path = archive(tmp_path, extra=("../outside.txt",))
    root = str(tmp_path / "root")
    with pytest.raises(UserError, match="would leave its folder"):
        datasets.open_set("duts_tr", root, skip_broken=False)
    assert not list(tmp_path.rglob("outside.txt"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="is not a complete zip archive"):
        datasets.open_set("duts_tr", root, skip_broken=False)
    extracted = tmp_path / "root" / "downloads" / "extracted"
    assert list(extracted.iterdir()) == []


# As spelt in the archives: images, their suffix, masks; what is in which archive.
OFFICIAL = {
    "ecssd": ("images", "jpg", "ground_truth_mask", ["images.zip", "ground_truth_mask.zip"]),
    "pascal_s": ("datasets/imgs/pascal", "jpg", "datasets/masks/pascal", ["salObj.zip"]),
    "dut_omron": (
        "DUT-OMRON-image",
        "jpg",
        "pixelwiseGT-new-PNG",
        ["DUT-OMRON-image.zip", "DUT-OMRON-gt-pixelwise.zip.zip"],
    ),
    "hku_is": ("imgs", "png", "gt", []),
}


def official(folder, name):
    """The files of a set, three pairs, as they unpack; gives the folders of images and masks."""
    images, suffix, masks, _ = OFFICIAL[name]
    for stem in STEMS:
        write(folder / images / f"{stem}.{suffix}", 90)
        write(folder / masks / f"{stem}.png", 255)
    return images, masks


@pytest.mark.parametrize("name", [name for name in OFFICIAL if OFFICIAL[name][3]])
def test_official_archives_of_the_test_sets(tmp_path, name):
    images, masks = official(tmp_path / "unpacked", name)
    manual = tmp_path / "root" / "downloads" / "manual"
    manual.mkdir(parents=True)
    archives = OFFICIAL[name][3]
    for index, file in enumerate(archives):
        parts = (images, masks) if len(archives) == 1 else ((images, masks)[index],)
        with zipfile.ZipFile(manual / file, "w") as content:
            for part in parts:
                for picture in sorted((tmp_path / "unpacked" / part).iterdir()):
                    content.write(picture, f"{part}/{picture.name}")
                    content.writestr(f"__MACOSX/{part}/._{picture.name}", "junk")
            content.writestr(f"{parts[0]}/Thumbs.db", "junk")
            content.writestr("algmaps/other/a.png", "another set's")
    source = datasets.open_set(name, str(tmp_path / "root"), skip_broken=False)
    assert source.names == STEMS
    assert source.load(0)["mask"].min() == 255
    assert not list(tmp_path.rglob("root/**/algmaps"))


@pytest.mark.parametrize("name", OFFICIAL)
@pytest.mark.parametrize("place", ["", "TITLE", "downloads/manual", "downloads/manual/TITLE"])
def test_sets_unpacked_by_hand(tmp_path, name, place):
    title = datasets.SETS[name][0].BUILDER_CONFIGS[0].title
    official(tmp_path / place.replace("TITLE", title), name)
    assert datasets.open_set(name, str(tmp_path), skip_broken=False).names == STEMS


def test_a_set_that_only_a_person_can_fetch(tmp_path):
    with pytest.raises(UserError) as error:
        datasets.open_set("hku_is", str(tmp_path), skip_broken=False)
    for words in ("HKU-IS.rar", "deep_saliency.html", "imgs and gt", f"{tmp_path}/HKU-IS"):
        assert words in str(error.value)


def test_counts_are_those_that_were_published():
    code = "import datasets; print([datasets.pairs_of(name) for name in datasets.SETS])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[10553, 5019, 1000, 850, 4447, 5168]"


def test_what_is_surplus_is_named_too(tmp_path):
    official(tmp_path / "ECSSD", "ecssd")
    write(tmp_path / "ECSSD" / "images" / "fourth.jpg", 90)
    write(tmp_path / "ECSSD" / "ground_truth_mask" / "fourth.png", 255)
    with pytest.raises(UserError, match="4 pairs were found, 3 were expected"):
        datasets.open_set("ecssd", str(tmp_path), skip_broken=False)


def test_unknown_names_are_answered_with_the_known(tmp_path):
    with pytest.raises(
        UserError, match=r'"duts" is not a data set; known are duts_tr, duts_te, ecssd'
    ):
        datasets.open_set("duts", str(tmp_path), skip_broken=False)


def test_tensorflow_and_jax_are_not_needed(tmp_path):
    root = fabricate(tmp_path / "root", "TE")
    code = (
        "import sys, datasets; from datasets.duts import Duts\n"
        "for config in Duts.BUILDER_CONFIGS: config.pairs = 3\n"
        f"assert len(datasets.open_set('duts_te', {str(root)!r}, skip_broken=False).names) == 3\n"
        "assert not {'tensorflow', 'jax'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)

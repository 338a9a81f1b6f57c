"""Which images train, which are held out, and what evaluation does with broken ones."""

import zlib

import numpy as np
import pytest
from PIL import Image

import datasets
from class_jax.config import load_recipe
from class_jax.errors import UserError
from datasets.inputs import (
    OPENERS,
    EvaluationSource,
    Opener,
    TrainingSources,
    evaluation_source,
    folder_source,
    training_sources,
)
from datasets.synthetic import SyntheticSource
from tests.program import ROOT, pairs


@pytest.fixture
def config(tmp_path):
    config = load_recipe(str(ROOT / "configs" / "folder.py"))
    config.data.root = str(pairs(tmp_path / "mine", count=6))
    return config


def break_one(tmp_path, position):
    """Break the image whose name's hash is in some place of the ascending order."""
    names = sorted((f"{index:02d}" for index in range(6)), key=lambda x: zlib.crc32(x.encode()))
    (tmp_path / "mine" / "images" / f"{names[position]}.jpg").write_text("no picture")
    return names


def test_training_and_evaluation_hold_out_the_same_images(config, tmp_path):
    names = break_one(tmp_path, 3)
    sources = training_sources(config, skip_broken=True)
    held_out = evaluation_source(config, "held_out").source
    assert list(sources.held_out.names) == list(held_out.names)
    assert names[0] in held_out.names
    assert set(sources.train.names) | set(held_out.names) == set(names) - {names[3]}


def test_held_out_images_that_are_all_broken(config, tmp_path):
    break_one(tmp_path, 0)
    with pytest.raises(UserError, match="too few pairs can be used to hold one out"):
        training_sources(config, skip_broken=True)


def test_a_named_set_with_faults_is_evaluated_and_said(config, monkeypatch):
    def open_set(name, root, *, skip_broken):
        assert skip_broken
        return SyntheticSource(5000, seed=0)

    monkeypatch.setattr(datasets, "open_set", open_set)
    source, (problem,), _ = evaluation_source(config, "duts_te")
    assert len(source.names) == 5000
    assert "duts_te: 19 of its 5019 pairs are missing or broken" in problem


def test_another_kind_of_data_is_an_entry_of_the_table(config, monkeypatch):
    drawn = SyntheticSource(3, seed=0)
    opener = Opener(
        lambda config, skip_broken: TrainingSources(drawn, None, (str(skip_broken),)),
        lambda config: EvaluationSource(drawn),
    )
    monkeypatch.setitem(OPENERS, "drawn", opener)
    config.data.train = "drawn"
    sources = training_sources(config, skip_broken=True)
    assert (sources.train, sources.remarks) == (drawn, ("True",))
    assert evaluation_source(config, "held_out").source is drawn


def test_a_named_set_holds_nothing_out(config):
    config.data.train = "duts_tr"
    with pytest.raises(UserError, match="duts_tr holds nothing out: name a data set"):
        evaluation_source(config, "held_out")


def test_validation_on_the_training_images_is_refused(config):
    config.data.val_root = config.data.root
    with pytest.raises(UserError, match=r"images are in config\.data\.root.*held out"):
        training_sources(config, skip_broken=False)


def test_copies_of_training_images_under_other_names_are_said(config, tmp_path):
    for index in (1, 4):
        for kind, suffix in (("images", "jpg"), ("masks", "png")):
            (tmp_path / "val" / kind).mkdir(parents=True, exist_ok=True)
            file = tmp_path / "mine" / kind / f"{index:02d}.{suffix}"
            (tmp_path / "val" / kind / f"other{index}.{suffix}").write_bytes(file.read_bytes())
    config.data.val_root = str(tmp_path / "val")
    remarks = training_sources(config, skip_broken=False).remarks
    (warning,) = (line for line in remarks if "trained on, too" in line)
    assert warning == (
        f"warning: 2 images of {tmp_path / 'val'} are trained on, too: other1.jpg, other4.jpg"
    )


def test_parts_of_a_set_are_trained_and_validated_on_apart(config, tmp_path):
    root = tmp_path / "mine"
    for kind in ("images", "masks"):
        (root / kind).rename(root / "loose")
        (root / kind / "val").mkdir(parents=True)
        (root / "loose").rename(root / kind / "train")
        for file in sorted((root / kind / "train").iterdir())[:2]:
            file.rename(root / kind / "val" / file.name)
    with pytest.raises(UserError, match="holds several sets"):
        training_sources(config, skip_broken=False)
    config.data.images, config.data.masks = "images/train", "masks/train"
    config.data.val_root = str(root / "images" / "val")
    sources = training_sources(config, skip_broken=False)
    assert list(sources.held_out.names) == ["00", "01"]
    assert list(sources.train.names) == ["02", "03", "04", "05"]
    config.data.images, config.data.masks = "images", "masks"
    with pytest.raises(UserError, match=r"2 of its images are in config\.data\.root"):
        training_sources(config, skip_broken=False)
    config.data.val_root = ""
    remarks = training_sources(config, skip_broken=False).remarks
    assert f"note: {root / 'images'} holds train, val: all are used" in remarks


def test_folders_that_the_configuration_names_and_an_input_lacks_are_said(config, tmp_path):
    config.data.images, config.data.masks = "pictures", "truth"
    other = pairs(tmp_path / "other", count=2)
    found = folder_source(config, str(other), name="other", leaf="--input")
    assert "has no pictures, as config.data says: others are used" in found.remarks[0]


def test_each_part_of_a_mix_is_read_by_the_values_of_its_own_masks(config, tmp_path):
    config.data.train, config.data.root, config.data.mix = "mix", str(tmp_path), ("ones", "soft")
    masks = {}
    for part in config.data.mix:
        for path in sorted((pairs(tmp_path / part, count=3) / "masks").iterdir()):
            # One mask of "soft" is nearly empty, beside others of 0 and 255.
            ones = np.asarray(Image.open(path)) // 255
            factor = 1 if part == "ones" or path.stem == "00" else 255
            Image.fromarray(ones * np.uint8(factor)).save(path)
            masks[f"{part}/{path.stem}"] = ones * (255 if part == "ones" else factor)
    source = training_sources(config, skip_broken=False).train
    assert list(source.names) == list(masks)
    for index, name in enumerate(masks):
        np.testing.assert_array_equal(source.load(index)["mask"], masks[name])

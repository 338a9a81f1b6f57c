"""Mode prepare does what it can, names the rest, and says which kind of fault it was."""

import numpy as np
import pytest
from PIL import Image

import datasets
from tests.program import ROOT, pairs


def write(path, text=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if text:
        path.write_text(text)
    else:
        Image.fromarray(np.zeros((20, 30), np.uint8)).save(path)


@pytest.fixture
def prepare(run, tmp_path, monkeypatch):
    """Prepare a DUTS-TR of one pair, and the test sets given."""
    for builder, _ in datasets.SETS.values():
        for config in builder.BUILDER_CONFIGS:
            monkeypatch.setattr(config, "pairs", 1)
    write(tmp_path / "DUTS-TR" / "DUTS-TR-Image" / "a.jpg")
    write(tmp_path / "DUTS-TR" / "DUTS-TR-Mask" / "a.png")
    return lambda sets: run(
        "--mode", "prepare", "--config", ROOT / "configs" / "r50.py",
        f"--config.data.root={tmp_path}", f"--config.eval.sets={sets}",
    )  # fmt: skip


def test_everything_there(prepare, tmp_path):
    write(tmp_path / "HKU-IS" / "imgs" / "b.png")
    write(tmp_path / "HKU-IS" / "gt" / "b.png")
    status, out, err = prepare("hku_is")
    assert status == 0, err
    assert "duts_tr: 1 examples to train on are ready" in out
    assert "hku_is: 1 examples are ready" in out


def test_a_set_that_is_not_there_is_named_and_the_others_are_ready(prepare):
    status, out, err = prepare("hku_is")
    assert status == 1
    assert "duts_tr: 1 examples" in out
    assert "HKU-IS.rar" in err


def test_a_set_with_broken_files_is_the_users_to_fix(prepare, tmp_path):
    write(tmp_path / "HKU-IS" / "imgs" / "b.png", "no picture")
    write(tmp_path / "HKU-IS" / "gt" / "b.png")
    status, out, err = prepare("hku_is")
    assert status == 2
    assert "duts_tr: 1 examples" in out
    assert "b.png is not an image" in err


def test_a_folder_is_summed_up_and_drawn_with_outlines(run, tmp_path):
    pairs(tmp_path / "mine", count=12)
    status, out, err = run(
        "--mode", "prepare", "--config", ROOT / "configs" / "folder.py", "--workdir", "w",
        f"--config.data.root={tmp_path / 'mine'}",
    )  # fmt: skip
    assert status == 0, err
    assert "mine: 12 pairs, 64x48; salient in the median mask:" in out
    sheet = np.asarray(Image.open(tmp_path / "w" / "check.png"))
    assert sheet.ndim == 3
    assert (sheet == (255, 255, 0)).all(axis=-1).sum() > 100  # outlines


def test_recipes_are_found_from_any_directory(run, tmp_path):
    pairs(tmp_path / "mine", count=4)
    command = ("--mode", "prepare", "--config", "configs/folder.py")
    assert run(*command, f"--config.data.root={tmp_path / 'mine'}")[0] == 0

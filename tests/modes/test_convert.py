"""Mode convert: the authors' checkpoint becomes a workdir that the other modes use."""

import json

import numpy as np
import pytest
import safetensors.numpy

from class_jax import Predictor
from tests.program import ROOT, pairs, use_one_device
from tests.weights.test_load import parity

RELEASED = ROOT / "configs" / "r50_released.py"
SEED = 3  # the golden outputs are those of seed 0; names and places must hold for any


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "drawn.safetensors"
    safetensors.numpy.save_file(parity.state_dict("released_class_keys.json", seed=SEED), path)
    return path


@pytest.fixture
def convert(run):
    return lambda *arguments: run("--mode", "convert", "--workdir", "w", *arguments)


def test_a_converted_workdir_predicts_evaluates_and_trains(
    run, convert, source, tmp_path, monkeypatch
):
    status, _, err = convert("--config", RELEASED, "--source", source)
    assert status == 0, err
    assert "24,771,514 parameters" in err
    assert json.loads((tmp_path / "w" / "config.json").read_text())["model"]["form"] == "released"
    before = (tmp_path / "w" / "config.json").read_text()
    status, _, err = convert("--config", RELEASED, "--source", source)
    assert status == 2
    assert "already holds a run" in err
    assert (tmp_path / "w" / "config.json").read_text() == before

    use_one_device(monkeypatch)
    predictor = Predictor.load("w")
    drawn = parity.draw("fusion3.conv2.weight", (64, 64, 3, 3), SEED).transpose(2, 3, 1, 0)
    kernel = predictor.engine.variables.params["stages"][1]["fusion"]["refine2"]["kernel"]
    np.testing.assert_array_equal(kernel, drawn)

    folder = pairs(tmp_path / "mine", count=2)
    status, out, err = run(
        "--mode", "eval", "--workdir", "w", "--input", folder, "--config.eval.image_size=64"
    )
    assert status == 0, err
    assert "checkpoint: step 0 of " in err
    assert "(latest, as nothing was validated)" in err
    assert "mine" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "needs --source"),
        (["--source", "SOURCE"], "Add --config configs/r50_released.py"),
        (
            ["--config", RELEASED, "--source", "SOURCE", "--config.model.form=paper"],
            "which has other values:\n  model.form is",
        ),
        (["--config", RELEASED, "--source", "none.pth"], "there is no such file of weights"),
        (["--config", RELEASED, "--source", "broken.safetensors"], "fusion3.conv2.weight is miss"),
    ],
)
def test_mistakes_leave_nothing_behind(convert, source, tmp_path, arguments, sentence):
    weights = safetensors.numpy.load_file(source)
    del weights["fusion3.conv2.weight"]
    safetensors.numpy.save_file(weights, tmp_path / "broken.safetensors")
    status, _, err = convert(*(source if word == "SOURCE" else word for word in arguments))
    assert status == 2
    assert sentence in err
    assert not (tmp_path / "w").exists()


def test_what_cannot_be_stored_whole_is_taken_away(convert, source, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("class_jax.runs.workdir.Workdir.save_config", full)
    status, _, err = convert("--config", RELEASED, "--source", source)
    assert status == 2
    assert "the disk is full" in err
    assert not (tmp_path / "w" / "checkpoints").exists()

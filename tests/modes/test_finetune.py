"""Mode train from a trained network: its weights are taken over, and nothing else is."""

import json
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

from class_jax.config import load_config, load_recipe
from class_jax.models.network import Variables, build_network
from class_jax.networks import places
from class_jax.networks.places import find, read_settings
from class_jax.runs.checkpoints import read_checkpoints
from class_jax.runs.workdir import Workdir
from class_jax.sharding import replicated_sharding
from class_jax.weights.saved import save_exported
from tests.program import ROOT, pairs
from tests.small_run import mesh_of
from tests.weights.test_load import parity

FINETUNE = ROOT / "configs" / "finetune.py"
SHORT = ("--config.train.total_steps=2", "--config.eval.after_training=false")


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    return pairs(tmp_path_factory.mktemp("data") / "mine")


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """The trained network as an exported folder."""
    folder = tmp_path_factory.mktemp("exported")
    shutil.copy(trained / "config.json", folder)
    save_exported(folder / "model.safetensors", values(trained))
    return folder


@pytest.fixture
def tune(run, mine):
    def call(*arguments, source):
        data = (f"--config.train.start_from={source}", f"--config.data.root={mine}")
        return run("--config", FINETUNE, *data, "--workdir", "tuned", *SHORT, *arguments)

    return call


def values(workdir, step=None) -> Variables:
    """The values in the checkpoint of a step, by default the best."""
    network = build_network(Workdir(workdir).load_config().model, dtype="float32")
    sharding = replicated_sharding(mesh_of(1))

    def read(checkpoints):
        found = checkpoints.find("best")[0] if step is None else step
        return checkpoints.restore_variables(found, network.shapes, sharding)

    return read_checkpoints(Workdir(workdir).checkpoints, read)


def assert_equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def config_of(workdir):
    return json.loads((workdir / "config.json").read_text())


def test_a_run_starts_with_the_values_of_the_best_checkpoint_and_its_own_optimiser(
    tune, trained, tmp_path
):
    status, _, err = tune(source=trained)
    assert status == 0, err
    scores = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    best = max((row for row in scores if "val_maxF" in row), key=lambda row: row["val_maxF"])
    assert f"weights: step {best['step']} of {trained} (best, val_maxF" in err
    assert "starting at step 0 of 2" in err
    assert_equal(values(tmp_path / "tuned", 0), values(trained))
    source, tuned = config_of(trained), config_of(tmp_path / "tuned")
    assert tuned["model"] == source["model"]
    assert tuned["data"]["image_sizes"] == source["data"]["image_sizes"] == [64]
    assert tuned["eval"]["image_size"] == source["eval"]["image_size"] == 64


def test_an_exported_folder_starts_a_run_too(tune, exported, trained, tmp_path):
    status, _, err = tune("--config.data.image_sizes=32", source=exported)
    assert status == 0, err
    assert f"weights: {exported}\n" in err
    assert_equal(values(tmp_path / "tuned", 0), values(trained))
    assert config_of(tmp_path / "tuned")["data"]["image_sizes"] == [32]


def test_it_starts_from_the_network_in_the_package_where_none_is_named(
    run, mine, exported, trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(places, "PACKAGED", exported)
    data = f"--config.data.root={mine}"
    status, _, err = run("--config", FINETUNE, data, "--workdir", "tuned", *SHORT)
    assert status == 0, err
    assert "weights: photo, the network that comes with class_jax\n" in err
    assert_equal(values(tmp_path / "tuned", 0), values(trained))
    assert config_of(tmp_path / "tuned")["train"]["start_from"] == "photo"


def test_the_same_command_resumes_when_the_source_is_gone(tune, trained, tmp_path):
    source = shutil.copytree(trained, tmp_path / "source")
    assert tune(source=source)[0] == 0
    shutil.rmtree(source)
    status, _, err = tune("--config.train.total_steps=3", source=source)
    assert status == 0, err
    assert "weights: checkpoint of step 2" in err
    assert "starting at step 2 of 3" in err
    status, _, err = tune(source=trained)
    assert status == 2
    assert f"train.start_from is '{source}' there and '{trained}' here" in err


def test_another_recipe_starts_from_its_own_network(run, recipe, trained, tmp_path):
    command = ("--config", recipe, "--workdir", tmp_path / "w", *SHORT)
    start = f"--config.train.start_from={trained}"
    other = ("--config.model.width=8", "--config.model.fusion_module=false")
    status, _, err = run(*command, start, *other)
    assert status == 2
    assert f"{trained} is another network than the configuration describes:\n" in err
    assert "model.width is 4 there and 8 here" in err
    assert "model.fusion_module is True there and False here" in err
    assert not (tmp_path / "w").exists()
    status, _, err = run(*command, start)
    assert status == 0, err
    assert_equal(values(tmp_path / "w", 0), values(trained))


def test_an_override_of_the_source_s_network_is_another_network(tune, trained, tmp_path):
    status, _, err = tune("--config.model.features=16", source=trained)
    assert status == 2
    assert "model.features is 8 there and 16 here" in err
    assert not (tmp_path / "tuned").exists()
    assert tune("--config.model.dtype=bfloat16", source=trained)[0] == 0


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("net.onnx", "net.onnx: an .onnx file only predicts"),
        ("none", "none holds no trained network yet"),
        ("none.safetensors", "none.safetensors: there is no such file of weights"),
        ("hf://owner", "hf://owner: expected hf://owner/name"),
        ("", "config.train.start_from is not set"),
    ],
)
def test_what_is_no_network_is_said_before_the_data_are_read(tune, tmp_path, source, sentence):
    status, _, err = tune("--config.data.root=nowhere", source=source)
    assert (status, err.count("\n")) == (2, 1)
    assert sentence in err
    assert not (tmp_path / "tuned").exists()


def test_a_damaged_source_is_named(tune, trained, exported, tmp_path):
    source = shutil.copytree(trained, tmp_path / "source")
    for file in source.glob("checkpoints/*/variables/**/d/*"):
        file.write_bytes(b"damage")
    status, _, err = tune(source=source)
    assert status == 2
    assert f"{source}: the checkpoint of step" in err
    assert "is damaged" in err

    weights = safetensors.numpy.load_file(exported / "model.safetensors")
    name = sorted(weights)[0]
    broken = shutil.copytree(exported, tmp_path / "broken") / "model.safetensors"
    safetensors.numpy.save_file(weights | {name: weights[name] * np.nan}, broken)
    status, _, err = tune(source=broken.parent)
    assert status == 2
    assert f"{name} holds values that are not finite" in err


def test_the_authors_checkpoint_brings_the_released_network(tmp_path):
    file = tmp_path / "drawn.safetensors"
    safetensors.numpy.save_file(parity.state_dict("released_class_keys.json", seed=3), file)
    start = f"--config.train.start_from={file}"
    config = load_config(str(FINETUNE), Workdir(tmp_path), [start], settings_of=read_settings)
    released = load_recipe("configs/r50_released.py")
    assert config.model.to_dict() == released.model.to_dict()
    assert config.eval.image_size == 352
    found = find(str(file))
    variables = found.values(build_network(config.model, dtype="float32"))
    drawn = parity.draw("fusion3.conv2.weight", (64, 64, 3, 3), 3).transpose(2, 3, 1, 0)
    kernel = variables.params["stages"][1]["fusion"]["refine2"]["kernel"]
    np.testing.assert_array_equal(kernel, drawn)
    assert found.description == str(file)


def test_preparing_needs_no_network_to_start_from(run, mine):
    data = f"--config.data.root={mine}"
    status, _, err = run("--mode", "prepare", "--config", FINETUNE, data, "--workdir", "w")
    assert status == 0, err


def test_evaluating_by_the_recipe_finds_the_run_s_network(run, tune, mine, trained):
    assert tune(source=trained)[0] == 0
    data = f"--config.data.root={mine}"
    status, out, err = run("--mode", "eval", "--config", FINETUNE, data, "--workdir", "tuned")
    assert status == 0, err
    assert "held_out" in out


def test_a_workdir_whose_configuration_is_no_configuration_is_said(tune, trained, tmp_path):
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "config.json").write_text('{"train": {"start_from": ""}}')
    status, _, err = tune(source=trained)
    assert status == 2
    assert "holds a run of another configuration" in err
    assert "model.backbone is 'absent' there" in err

"""One way to find a network, wherever it lies; the one in the package where none is named."""

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from class_jax import Predictor
from class_jax.errors import UserError
from class_jax.models.network import build_network
from class_jax.networks import places
from class_jax.networks.places import find
from class_jax.runs.workdir import Workdir
from class_jax.weights.saved import save_exported
from tests.program import pairs, use_one_device


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """The trained network as an exported folder of half the bytes."""
    folder = tmp_path_factory.mktemp("exported")
    shutil.copy(trained / "config.json", folder)
    network = build_network(Workdir(trained).load_config().model, dtype="float32")
    save_exported(folder / "model.safetensors", find(trained).values(network))
    halve(folder / "model.safetensors")
    return folder


def halve(path):
    values = safetensors.numpy.load_file(path)
    halved = {name: value.astype(np.float16) for name, value in values.items()}
    safetensors.numpy.save_file(halved, path, metadata={"format": "class_jax"})


@pytest.fixture
def packaged(exported, monkeypatch):
    """Have this folder be the network in the package."""
    monkeypatch.setattr(places, "PACKAGED", exported)
    use_one_device(monkeypatch)


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_values_of_half_the_bytes_are_computed_with_as_float32(exported, trained, picture):
    settings = find(exported).settings
    values = find(exported).values(build_network(settings.model, dtype="float32"))
    whole = find(trained).values(build_network(settings.model, dtype="float32"))
    kernel, exact = (found.params["heads"][0]["kernel"] for found in (values, whole))
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, exact.astype(np.float16).astype(np.float32))


def test_photo_names_the_network_in_the_package(packaged, exported, picture):
    expected = Predictor.load(exported).predict(picture)
    for predictor in (Predictor(), Predictor.load(), Predictor.load("photo")):
        np.testing.assert_array_equal(predictor.predict(picture), expected)
    assert find("photo").description == "photo, the network that comes with class_jax"
    with pytest.raises(UserError, match="photo holds one network, and no checkpoint 3"):
        find("photo", "3")


@pytest.mark.parametrize("arguments", [
    ["--mode", "predict", "--input", "a.png", "--output", "out"],
    ["--mode", "eval", "--input", "pairs", "--output", "out"],
    ["--mode", "export", "--output", "out"],
])  # fmt: skip
def test_without_a_run_the_network_in_the_package_is_used_and_said(
    run, packaged, picture, tmp_path, arguments
):
    pairs(tmp_path / "pairs", count=2)
    status, _, err = run(*arguments)
    assert status == 0, err
    assert err.count("checkpoint: photo, the network that comes with class_jax\n") == 1
    assert err.count("photo") == 1
    assert (tmp_path / "out").exists()


def test_a_run_or_a_named_workdir_comes_first(run, packaged, trained, picture, tmp_path):
    status, _, err = run("--mode", "predict", "--input", "a.png", "--workdir", "none")
    assert status == 2
    assert "comes with class_jax" not in err
    status, _, err = run("--mode", "eval")  # of the configured sets, which a run is trained for
    assert status == 2
    assert "comes with class_jax" not in err
    shutil.copytree(trained, tmp_path / "runs")
    status, _, err = run("--mode", "predict", "--input", "a.png", "--output", "out")
    assert status == 0, err
    assert f"of {tmp_path / 'runs'} (best" in err
    status, _, err = run("--mode", "predict", "--input", "a.png", "--model", "photo")
    assert status == 0, err
    assert "checkpoint: photo, the network that comes with class_jax" in err


def test_a_run_starts_from_the_network_in_the_package(run, packaged, recipe, tmp_path):
    status, _, err = run("--config", recipe, "--config.train.start_from=photo", "--workdir", "w",
                         "--config.train.total_steps=1",
                         "--config.eval.after_training=false")  # fmt: skip
    assert status == 0, err
    assert "weights: photo, the network that comes with class_jax" in err


def test_a_package_without_its_network_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "PACKAGED", tmp_path)
    with pytest.raises(UserError, match="holds no network of photographs"):
        find("photo")


def test_a_folder_that_lost_its_configuration_is_said(exported, tmp_path, picture):
    folder = shutil.copytree(exported, tmp_path / "copy")
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match="holds a network, and no config"):
        Predictor.load(folder)


def test_settings_are_part_of_the_fingerprint(exported):
    found = find(exported)
    other = found.settings.copy_and_resolve_references()
    other.eval.image_size = 32
    assert found.with_settings(other).fingerprint != found.fingerprint
    assert found.with_settings(found.settings).fingerprint == found.fingerprint
    assert json.loads((exported / "config.json").read_text())["eval"]["image_size"] == 64

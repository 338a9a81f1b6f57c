"""The network as the package ships it: one file of weights, computed by both engines."""

import json
import shutil

import jax
import numpy as np
import onnx
import pytest
import safetensors.numpy
from ml_collections import ConfigDict
from PIL import Image

from class_jax.errors import UserError
from class_jax.export.formats import Export
from class_jax.models.network import build_network
from class_jax.networks import places
from class_jax.networks.jax_engine import JaxEngine
from class_jax.networks.onnx_engine import OnnxEngine
from class_jax.networks.places import find
from class_jax.weights.saved import save_exported
from configs import photo
from datasets.photo.packaged import package, sharpen, write_packaged
from tests.export.test_exporting import perturbed, run_script
from tests.program import ROOT, use_one_device
from tests.small_run import mesh_of

SIDE = 64
JAX = ("jax", "jaxlib", "flax", "orbax", "optax")


@pytest.fixture(scope="module")
def settings():
    """Those of the package's network, with a block a stage and for small images."""
    config = photo.get_config()
    config.model.stage_sizes = (1, 1, 1, 1, 1, 1, 1)
    config.eval.image_size, config.eval.batch_size = SIDE, 3
    return config


@pytest.fixture(scope="module")
def network(settings):
    return build_network(settings.model, dtype="float32")


@pytest.fixture(scope="module")
def drawn(network):
    variables = perturbed(network)
    for head in variables.params["heads"].values():
        head["kernel"] *= 0.02  # steep maps differ by rounding alone
    return variables


@pytest.fixture(scope="module")
def source(settings, drawn, tmp_path_factory):
    """An exported folder."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "config.json").write_text(json.dumps(settings.to_dict()))
    save_exported(folder / "model.safetensors", drawn)
    return folder


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    """The folder in the package that is made of it."""
    target = tmp_path_factory.mktemp("package") / "photo"
    target.mkdir()
    (target / "README.md").write_text("written by hand")
    assert "maps of 6 images differ by" in package(str(source), target)
    return target


@pytest.fixture
def images():
    return np.random.default_rng(3).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)


def test_the_folder_holds_each_large_kernel_once_and_as_float16(folder, drawn):
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "model.onnx", "model.safetensors"
    ]  # fmt: skip
    assert (folder / "README.md").read_text() == "written by hand"
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    assert {value.dtype.name for value in weights.values() if value.ndim == 4} == {"float16"}
    assert {value.dtype.name for value in weights.values() if value.ndim != 4} == {"float32"}
    kernel = np.asarray(drawn.params["encoder"]["conv1"]["kernel"])
    np.testing.assert_array_equal(weights["params/encoder/conv1/kernel"], kernel.astype(np.float16))
    graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
    inside = [np.prod(constant.dims) for constant in graph.initializer
              if not constant.external_data]  # fmt: skip
    held = sum(map(int, inside))
    assert held < 0.05 * sum(value.size for value in weights.values())
    parts = [constant for constant in graph.initializer
             if constant.external_data and tuple(constant.dims)[:3] == (1, 1, 48)]  # fmt: skip
    assert parts  # of kernels over the inputs of a fusion, which are stored whole


def test_a_factor_multiplies_the_logits_that_maps_are_made_of(network, drawn, images):
    plain, twice = (np.asarray(network.apply(v, images)) for v in (drawn, sharpen(drawn, 2)))
    np.testing.assert_allclose(twice[0], 2 * plain[0], rtol=1e-5)
    np.testing.assert_array_equal(twice[1:], plain[1:])


def test_both_engines_compute_the_rounded_network(folder, network, drawn, images):
    rounded = jax.tree.map(
        lambda leaf: leaf.astype(np.float16).astype(np.float32) if leaf.ndim == 4 else leaf, drawn
    )
    engine = JaxEngine(network, rounded, image_size=SIDE, batch_size=3, mesh=mesh_of(1))
    expected = 1 / (1 + np.exp(-engine.logits(images).astype(np.float64)))
    assert expected.std() > 0.01
    maps = OnnxEngine(folder / "model.onnx", has_data_beside=True).maps(images)
    np.testing.assert_allclose(maps, expected, atol=1e-4)


def test_onnx_runtime_computes_it_and_jax_where_that_is_missing(folder, images, monkeypatch):
    monkeypatch.setattr(places, "PACKAGED", folder)
    use_one_device(monkeypatch)
    by_onnx = find("photo").engine()
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    by_jax = find("photo").engine()
    assert [type(engine) for engine in (by_onnx, by_jax)] == [OnnxEngine, JaxEngine]
    np.testing.assert_allclose(by_onnx.logits(images), by_jax.logits(images), atol=1e-3)


def test_a_cut_out_is_made_where_jax_cannot_be_imported(folder, tmp_path):
    Image.effect_noise((90, 60), 80).convert("RGB").save(tmp_path / "a.png")
    code = f"""
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from class_jax.command import cli
from class_jax.networks import places
places.PACKAGED = Path(sys.argv[1])
status = cli.main(["predict", "--input", "a.png", "--format", "cutout",
                   "--output", "cut.png"])
from class_jax import Predictor
print(status, *Predictor().predict("a.png").shape, "jax" in sys.modules)
"""
    printed = run_script(code, folder, blocked=JAX, folder=tmp_path)
    assert printed.split() == ["0", "60", "90", "False"]
    assert Image.open(tmp_path / "cut.png").mode == "RGBA"


def test_it_is_found_through_links_of_installers(folder, images, tmp_path):
    linked = tmp_path / "photo"
    linked.mkdir()
    for path in folder.iterdir():
        (linked / path.name).symlink_to(path)
    direct, by_link = (
        OnnxEngine(place / "model.onnx", has_data_beside=True) for place in (folder, linked)
    )
    np.testing.assert_array_equal(direct.maps(images), by_link.maps(images))


def test_values_beyond_float16_are_refused_and_nothing_is_kept(source, network, drawn, tmp_path):
    copy = shutil.copytree(source, tmp_path / "copy")
    steep = jax.tree.map(np.array, drawn)
    steep.params["encoder"]["conv1"]["kernel"][0, 0, 0, 0] = 1e6
    save_exported(copy / "model.safetensors", steep)
    target = tmp_path / "photo"
    with pytest.raises(UserError, match="conv1/kernel holds values that are not finite"):
        package(str(copy), target)
    assert not list(target.iterdir())


def test_a_network_that_is_too_large_is_refused(settings, tmp_path):
    wide = settings.model.copy_and_resolve_references()
    wide.features = 256
    network = build_network(wide, dtype="float32")
    export = Export(network, network.initialize(0), SIDE, ConfigDict(), "")
    with pytest.raises(UserError, match="and 8,000,000 at most are shipped"):
        write_packaged(export, tmp_path)

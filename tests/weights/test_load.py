"""Parity with PyTorch for weights drawn by name, and strictness in both directions.

tests/golden/parity holds what PyTorch (float32, CPU, evaluation mode) gives for the weights that
`weights.py` there draws from each parameter's PyTorch name with seed 0.
"""

import importlib.util
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.flax
import safetensors.numpy
from flax import nnx

from class_jax.config import load_recipe
from class_jax.errors import UserError
from class_jax.models.layers import RGB_MEAN, RGB_STD
from class_jax.models.network import Variables, build_network
from class_jax.weights.files import read_weights
from class_jax.weights.load import load_encoder, load_released

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "parity"
spec = importlib.util.spec_from_file_location("parity_weights", GOLDEN / "weights.py")
parity = importlib.util.module_from_spec(spec)
spec.loader.exec_module(parity)


def network_of(recipe):
    config = load_recipe(str(ROOT / "configs" / f"{recipe}.py"))
    return build_network(config.model, dtype="float32")


@pytest.fixture(scope="module")
def released():
    return network_of("r50_released")


@pytest.fixture(scope="module")
def released_weights():
    return parity.state_dict("released_class_keys.json")


def saved(folder, weights, name="weights.safetensors"):
    safetensors.numpy.save_file(weights, folder / name)
    return str(folder / name)


def levels(network, variables, images):
    """Levels 2–5 of the encoder alone."""
    module = nnx.merge(network.graphdef, *variables, copy=True)
    module.eval()
    return jax.jit(module.encoder)(images)


def expected(name):
    return np.load(GOLDEN / f"{name}_expected.npz")


def image():
    return jnp.asarray(expected("released_class")["image_nhwc"])


@pytest.mark.device
def test_resnet50_stages_equal_pytorch(tmp_path):
    network = network_of("r50")
    source = saved(tmp_path, parity.state_dict("resnet50_keys.json"))
    variables = load_encoder(source, network, network.initialize(0))
    golden = expected("resnet50")
    for level, features in enumerate(levels(network, variables, image()), start=1):
        ours = np.moveaxis(np.asarray(features), -1, 1)[:, :8]
        np.testing.assert_allclose(ours, golden[f"layer{level}_nchw"], atol=1e-3)


@pytest.mark.device
def test_vgg16_groups_equal_pytorch(tmp_path):
    network = network_of("vgg16")
    source = saved(tmp_path, parity.state_dict("vgg16_keys.json"))
    variables = load_encoder(source, network, network.initialize(0))
    golden = expected("vgg16")
    for name, features in zip((7, 14, 21, 28), levels(network, variables, image()), strict=True):
        ours = np.moveaxis(np.asarray(features), -1, 1)[:, :8]
        np.testing.assert_allclose(ours, golden[f"relu_of_features_{name}_nchw"], atol=1e-3)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables.params["encoder"]))
    assert count == 14_714_688


@pytest.mark.device
def test_all_four_outputs_of_the_released_network_equal_pytorch(
    tmp_path, released, released_weights
):
    variables = load_released(saved(tmp_path, released_weights), released)
    variables = jax.tree.map(jnp.asarray, variables)
    pixels = image() * jnp.array(RGB_STD) + jnp.array(RGB_MEAN)  # golden images are normalised
    logits = jax.jit(released.apply)(variables, pixels)
    golden = expected("released_class")
    for ours, number in zip(logits, (1, 3, 4, 5), strict=True):
        np.testing.assert_allclose(ours, golden[f"supervision{number}_nchw"][:, 0], atol=1e-3)
    assert released.count_parameters() == 24_771_514


def broken(weights, how):
    """The weights with one fault, and what the error must say."""
    weights = dict(weights)
    name = "fusion3.conv2.weight"
    if how == "missing":
        del weights[name]
        return weights, f"{name} is missing"
    if how == "surplus":
        weights["fusion3.conv9.weight"] = weights[name]
        return weights, "fusion3.conv9.weight is surplus"
    if how == "reshaped":
        weights[name] = weights[name][:, :, :1]
        return weights, rf"{name} has shape \[64, 64, 1, 3\]"
    weights[name] = weights[name] * np.float32("nan")
    return weights, f"{name} holds values that are not finite"


@pytest.mark.parametrize("how", ["missing", "surplus", "reshaped", "nan"])
def test_every_difference_is_named(tmp_path, released, released_weights, how):
    weights, sentence = broken(released_weights, how)
    with pytest.raises(UserError, match=sentence):
        load_released(saved(tmp_path, weights), released)


def test_all_differences_come_in_one_error(tmp_path, released, released_weights):
    weights = dict(released_weights)
    for name in ("CAM2.gamma", "PAM4.gamma"):
        del weights[name]
    weights["extra"] = np.zeros(3, np.float32)
    with pytest.raises(UserError) as error:
        load_released(saved(tmp_path, weights), released)
    for name in ("CAM2.gamma is missing", "PAM4.gamma is missing", "extra is surplus"):
        assert name in str(error.value)


def test_the_unused_bridge_is_checked_too_and_every_fault_is_listed(
    tmp_path, released, released_weights
):
    weights = dict(released_weights)
    del weights["squeeze1.0.weight"]
    weights["squeeze1.0.bias"] = np.full(64, np.inf, np.float32)
    weights |= {f"junk{index}.num_batches_tracked": np.zeros((), np.int64) for index in range(30)}
    with pytest.raises(UserError) as error:
        load_released(saved(tmp_path, weights), released)
    assert "squeeze1.0.weight is missing" in str(error.value)
    assert "squeeze1.0.bias holds values that are not finite" in str(error.value)
    for index in range(30):
        assert f"junk{index}.num_batches_tracked is surplus" in str(error.value)


def test_negative_variances_are_refused(tmp_path, released, released_weights):
    weights = dict(released_weights)
    weights["res_bn1.running_var"] = -weights["res_bn1.running_var"]
    with pytest.raises(UserError, match=r"res_bn1\.running_var holds negative variances"):
        load_released(saved(tmp_path, weights, "UPPER.SAFETENSORS"), released)


def test_a_name_twice_is_refused(tmp_path):
    twice = {"a": np.zeros(1, np.float32), "module.a": np.ones(1, np.float32)}
    with pytest.raises(UserError, match="holds a name twice"):
        read_weights(saved(tmp_path, twice))


@pytest.mark.parametrize("kind", ["int8", "bool", "complex64"])
def test_what_is_no_float_is_refused(tmp_path, kind):
    with pytest.raises(UserError, match=rf"a holds values of type {kind}|is not a whole"):
        read_weights(saved(tmp_path, {"a": np.ones(3, kind)}))


def test_odd_tensors_of_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "odd.pth"
    torch.save({"a": torch.nn.Parameter(torch.ones(2))}, path)
    np.testing.assert_array_equal(read_weights(str(path))["a"], np.ones(2))
    odd = {
        "sparse": torch.eye(2).to_sparse(),
        "complex": torch.ones(2, dtype=torch.complex64),
        "int": torch.ones(2, dtype=torch.int32),
        "meta": torch.ones(2, device="meta"),
    }
    for name, tensor in odd.items():
        torch.save({name: tensor}, path)
        with pytest.raises(UserError, match=rf"{name} (is not a plain|holds values of)"):
            read_weights(str(path))
    torch.save({3: torch.ones(2)}, path)
    with pytest.raises(UserError, match="expected names with tensors"):
        read_weights(str(path))


def test_damaged_files_of_pytorch_end_in_a_sentence(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "damaged.pth"
    torch.save({"a": torch.ones(40)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        content = bytearray(whole[: rng.integers(1, len(whole))])
        content[rng.integers(len(content))] ^= 0xFF
        path.write_bytes(content)
        try:
            read_weights(str(path))
        except UserError:
            refused += 1
    assert refused > 40


def test_classifier_heads_prefixes_and_half_precision_are_taken(tmp_path):
    network = network_of("vgg16")
    weights = parity.state_dict("vgg16_keys.json")
    half = {f"module.{name}": value.astype(np.float16) for name, value in weights.items()}
    half["module.classifier.6.weight"] = np.zeros((3, 3), np.float16)
    half["module.pre_logits.fc1.weight"] = np.zeros((3, 3), np.float16)
    fresh = network.initialize(0)
    variables = load_encoder(saved(tmp_path, half), network, fresh)
    kernel = variables.params["encoder"]["groups"][4][2]["kernel"]
    assert kernel.dtype == np.float32
    np.testing.assert_allclose(
        kernel, weights["features.28.weight"].transpose(2, 3, 1, 0), rtol=1e-3, atol=1e-6
    )
    # Everything beside the encoder keeps its initial value.
    jax.tree.map(np.testing.assert_array_equal, variables.params["stages"], fresh.params["stages"])


def test_bfloat16_files_are_read(tmp_path):
    values = np.linspace(-2, 2, 7, dtype=np.float32)
    safetensors.flax.save_file({"x": jnp.asarray(values, jnp.bfloat16)}, tmp_path / "x.safetensors")
    read = read_weights(str(tmp_path / "x.safetensors"))["x"]
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, values, rtol=1e-2)


def test_pytorch_files_of_every_format(tmp_path):
    torch = pytest.importorskip("torch")
    values = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
    tensors = {f"module.{name}": torch.from_numpy(value) for name, value in values.items()}
    torch.save(tensors, tmp_path / "zip.pth")
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "nested.pth")
    for name in ("zip", "old", "nested"):
        read = read_weights(str(tmp_path / f"{name}.pth"))
        np.testing.assert_array_equal(read["a.weight"], values["a.weight"])


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    pytest.importorskip("torch")

    class Attack:
        def __reduce__(self):
            return Path.touch, (tmp_path / "attacked",)

    path = tmp_path / "attack.pth"
    path.write_bytes(pickle.dumps({"a": Attack()}))
    with pytest.raises(UserError, match="refused, as loading them could run code"):
        read_weights(str(path))
    assert not (tmp_path / "attacked").exists()


def test_the_oldest_format_of_pytorch_is_told_where_newer_files_are(tmp_path):
    pytest.importorskip("torch")
    with tarfile.open(tmp_path / "resnet50-19c8e357.pth", "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            (tmp_path / name).write_bytes(pickle.dumps({}, protocol=2))
            archive.add(tmp_path / name, name)
    with pytest.raises(UserError, match=r"tar format .* hf://timm/resnet50"):
        read_weights(str(tmp_path / "resnet50-19c8e357.pth"))


def test_files_that_are_not_there_or_not_whole(tmp_path):
    with pytest.raises(UserError, match="no such file of weights"):
        read_weights(str(tmp_path / "none.safetensors"))
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(UserError, match="is not a whole safetensors file"):
        read_weights(str(tmp_path / "cut.safetensors"))
    with pytest.raises(UserError, match="expected hf://owner/name/file"):
        read_weights("hf://owner")


def test_no_network_says_what_to_fetch_and_how_to_do_without(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as error:
        read_weights("hf://timm/resnet50.tv_in1k/model.safetensors")
    for words in (
        "no connection to the hub",
        "https://huggingface.co/timm/resnet50.tv_in1k/resolve/main/model.safetensors",
        "config.model.pretrained=None",
    ):
        assert words in str(error.value)


def test_a_default_that_was_exchanged_is_refused(tmp_path, monkeypatch):
    other = saved(tmp_path, {"x": np.zeros(3, np.float32)})
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_: other)
    with pytest.raises(UserError, match=r"its SHA-256 is [0-9a-f]{64}, expected 5d061a3c"):
        read_weights("hf://timm/resnet50.tv_in1k/model.safetensors")
    assert read_weights("hf://someone/else/x.safetensors").keys() == {"x"}


@pytest.mark.parametrize(("height", "width"), [(96, 160), (352, 352)])
def test_released_network_takes_any_size_and_treats_images_alike(
    tmp_path, released, released_weights, height, width
):
    variables = jax.tree.map(
        jnp.asarray, load_released(saved(tmp_path, released_weights), released)
    )
    rng = np.random.default_rng(0)
    batch = jnp.asarray(rng.standard_normal((2, height, width, 3)), jnp.float32)
    apply = jax.jit(released.apply)
    logits = apply(Variables(*variables), batch)
    assert logits.shape == (4, 2, height, width)
    np.testing.assert_allclose(apply(variables, batch[::-1])[:, ::-1], logits, atol=1e-3)


def test_a_pytorch_that_runs_what_files_hold_is_not_asked_to_read_one(tmp_path):
    # A package of that name in place of PyTorch 2.5: its `load` would leave a mark.
    (tmp_path / "torch.py").write_text(
        "from pathlib import Path\n"
        "__version__ = '2.5.1+cpu'\n"
        "def load(*arguments, **options):\n"
        "    Path('ran').touch()\n"
    )
    (tmp_path / "a.pth").write_bytes(b"anything")
    code = "from class_jax.weights.files import read_weights; read_weights('a.pth')"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    last = done.stderr.splitlines()[-1]
    assert "UserError: " in last
    assert "PyTorch 2.5.1+cpu may run code that a file holds: install 2.6 or newer" in last
    assert not (tmp_path / "ran").exists()

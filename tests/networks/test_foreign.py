"""Networks of strangers: `.onnx` files, exported folders, names and what is copied of them."""

import json
import os
import shutil

import numpy as np
import pytest

from class_jax import Predictor
from class_jax.errors import UserError
from class_jax.networks.places import find
from class_jax.runs.workdir import Workdir

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
TensorProto, helper, numpy_helper = onnx.TensorProto, onnx.helper, onnx.numpy_helper
SIDE = 32


def graph(shape=("b", SIDE, SIDE, 3), *, nodes=None, kind=TensorProto.UINT8, tensors=()):
    """A model that says that the red of an image is salient."""
    nodes = nodes or [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["float", "zero"], ["red"], axis=3),
        helper.make_node("Div", ["red", "full"], ["saliency"]),
        helper.make_node("Sub", ["saliency", "half"], ["logits"]),
    ]
    numbers = {"zero": np.int64(0), "full": np.float32(255), "half": np.float32(0.5)}
    values = [numpy_helper.from_array(np.array(v), name) for name, v in numbers.items()]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in ("saliency", "logits")
    ]
    inputs = [helper.make_tensor_value_info("image", kind, shape)]
    made = helper.make_graph(nodes, "red", inputs, outputs, [*values, *tensors])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def save(model, folder):
    (folder / "a.onnx").write_bytes(model.SerializeToString())
    return folder / "a.onnx"


def test_a_plain_network_of_a_stranger_is_used(tmp_path):
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[:, :16, 0] = 255
    saliency = Predictor.load(save(graph(), tmp_path)).predict(image)
    assert saliency[:, :15].min() > saliency[:, 17:].max()


def secret_tensor():
    tensor = numpy_helper.from_array(np.float32(1).reshape(1), "secret")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    return tensor


def endless():
    """A loop that never ends."""
    true = helper.make_node("Constant", [], ["go"], value=numpy_helper.from_array(np.array(True)))
    kinds = [("n", TensorProto.INT64), ("was", TensorProto.BOOL)]
    body = helper.make_graph(
        [true], "body", [helper.make_tensor_value_info(*kind, []) for kind in kinds],
        [helper.make_tensor_value_info("go", TensorProto.BOOL, [])],
    )  # fmt: skip
    return [helper.make_node("Loop", ["", ""], [], body=body), *graph().graph.node]


def outputs(value, shape="Shape"):
    """A network whose outputs are of another shape or value."""
    cast = helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT)
    if shape == "Shape":
        return [
            cast,
            *(helper.make_node("Identity", ["float"], [n]) for n in ("saliency", "logits")),
        ]
    mean = helper.make_node("ReduceMean", ["float"], ["mean"], axes=[3], keepdims=0)
    numbers = helper.make_node(
        "Constant", [], ["number"], value=numpy_helper.from_array(np.float32(value))
    )
    adds = [helper.make_node("Add", ["mean", "number"], [n]) for n in ("saliency", "logits")]
    return [cast, mean, numbers, *adds]


@pytest.mark.parametrize(("model", "sentence"), [
    (lambda: graph(tensors=[secret_tensor()]), "names other files as its data"),
    (lambda: graph(nodes=endless()), "holds loops or branches: expected plain operators"),
    (lambda: graph(("b", "S", "S", 3)), "with a side S from 32 to 4096"),
    (lambda: graph(("b", 0, 0, 3)), "with a side S"),
    (lambda: graph(("b", 2**31, 2**31, 3)), "with a side S"),
    (lambda: graph(("b", -1, -1, 3)), "with a side S"),
    (lambda: graph(("b", SIDE, 3)), r"expected \[b, S, S, 3\]"),
    (lambda: graph(("b", SIDE, 64, 3)), r"expected \[b, S, S, 3\]"),
    (lambda: graph(kind=TensorProto.STRING), "is not an ONNX file that was exported here"),
    (lambda: graph(nodes=outputs(0)), r"saliency of one image is float32 \[1, 32, 32, 3\]"),
    (lambda: graph(nodes=outputs(0) * 20_001), "60,003 operators: 20,000 are the most"),
    (lambda: graph(nodes=outputs(np.nan, "")), "is not in 0–1, or its logits are not finite"),
    (lambda: graph(nodes=outputs(7, "")), "of an image of zeros is not in 0–1"),
])  # fmt: skip
def test_others_are_refused_in_a_sentence(tmp_path, model, sentence):
    (tmp_path / "secret.bin").write_bytes(bytes(4))
    with pytest.raises(UserError, match=sentence):
        Predictor.load(save(model(), tmp_path))


def test_what_is_no_model_is_refused(tmp_path):
    for content in (b"", b"\x08\x08", b"nothing", bytes(1000)):
        (tmp_path / "a.onnx").write_bytes(content)
        with pytest.raises(UserError, match=r"a\.onnx"):
            Predictor.load(tmp_path / "a.onnx")


@pytest.mark.parametrize("name", ["HF://a/b", "http://127.0.0.1/a.onnx", "file:///etc/passwd"])
def test_names_of_other_schemes_are_refused(name):
    with pytest.raises(UserError, match="networks are not taken from"):
        find(name)


@pytest.fixture
def exported(trained, tmp_path):
    """An exported folder whose weights nobody will come to read."""
    shutil.copy(trained / "config.json", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(bytes(16))
    return tmp_path


def test_a_configuration_is_a_regular_file_of_usual_size(exported):
    file = exported / "config.json"
    file.write_bytes(b" " * 2**20 + b"{}")
    with pytest.raises(UserError, match="it is not a configuration"):
        Predictor.load(exported)
    file.unlink()
    os.mkfifo(file)  # would be waited for
    with pytest.raises(UserError, match="is not a file"):
        Predictor.load(exported)
    file.unlink()
    file.symlink_to("/dev/zero")  # would be read without end
    with pytest.raises(UserError, match="is not a file"):
        Predictor.load(exported)


def test_an_exported_folder_holds_its_own_files(exported, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "model.safetensors"
    weights = exported / "model.safetensors"
    weights.rename(other)
    weights.symlink_to(other)
    with pytest.raises(UserError, match="is a link to another folder"):
        find(exported)


def test_the_hubs_cache_is_made_of_links(exported, tmp_path_factory):
    model = tmp_path_factory.mktemp("model")
    snapshot, blobs = model / "snapshots" / "1f", model / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, name in enumerate(("config.json", "model.safetensors")):
        shutil.copy(exported / name, blobs / str(number))
        (snapshot / name).symlink_to(f"../../blobs/{number}")
    assert find(snapshot).folder == snapshot


@pytest.mark.parametrize(("leaf", "value"), [
    ("width", {"a": 1}), ("width", 10**12), ("stage_sizes", {"a": 1}), ("backbone", [1]),
    ("features", "x"), ("features", None), ("fusion", {}),
])  # fmt: skip
def test_a_leaf_of_another_kind_is_a_sentence(exported, leaf, value):
    config = json.loads((exported / "config.json").read_text())
    config["model"][leaf] = value
    (exported / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError):
        Predictor.load(exported)


@pytest.mark.parametrize("model", [[], {}, 3, None, {"width": 4}])
def test_a_section_of_another_kind_is_a_sentence(exported, model):
    (exported / "config.json").write_text(json.dumps({"model": model}))
    with pytest.raises(UserError):
        Predictor.load(exported)


def test_scores_that_are_a_link_are_not_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    run = Workdir(tmp_path / "run")
    run.evaluation.mkdir(parents=True)
    table = run.evaluation / "results.md"
    table.write_text("scores")
    assert run.read_own("eval/results.md") == "scores"
    table.unlink()
    table.symlink_to(secret)
    assert run.read_own("eval/results.md") == ""
    table.unlink()
    os.mkfifo(table)
    assert run.read_own("eval/results.md") == ""


def test_weights_beside_a_run_that_are_a_link_are_not_exported(tmp_path):
    run = Workdir(tmp_path)
    assert run.find_unused_weights() is None
    run.unused_weights.symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="is a link"):
        run.find_unused_weights()
    run.unused_weights.unlink()
    run.unused_weights.write_bytes(b"here")
    assert run.find_unused_weights() == run.unused_weights

"""Exports compute what the network computes, in programs that know nothing of class_jax."""

import importlib
import os
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import onnx
import pytest
import safetensors.numpy
from ml_collections import ConfigDict
from PIL import Image

from class_jax import Predictor
from class_jax.export.folding import fold_batch_norms
from class_jax.export.formats import FORMATS, Export, Format
from class_jax.export.operators import LAYERS, PRIMITIVES
from class_jax.export.precision import shrink
from class_jax.models.network import Variables, build_network
from class_jax.networks.jax_engine import JaxEngine
from class_jax.networks.onnx_engine import OnnxEngine
from datasets.synthetic import SyntheticSource
from tests.program import ROOT
from tests.small_run import SMALL_MODEL, mesh_of
from tests.weights.test_load import parity

SIDE = 64
CARD_WORDS = ("## Data", "## Terms", "## Scores", "synthetic", "20 images", "val_maxF")
BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def run_script(code, *arguments, blocked=("class_jax",), folder):
    """Run a program that cannot import the blocked packages; return what it prints."""
    (folder / "program.py").write_text(BLOCKER.replace("BLOCKED", repr(blocked)) + code)
    done = subprocess.run(
        [sys.executable, folder / "program.py", *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def reader(name):
    """A reader script of docs/exporting.md."""
    text = (ROOT / "docs" / "exporting.md").read_text()
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.S) if name in code]
    return code


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "scene.png"
    Image.fromarray(SyntheticSource(1, seed=5, image_size=(SIDE, SIDE)).load(0)["image"]).save(path)
    return path


@pytest.fixture(scope="module")
def expected(trained, picture):
    return Predictor.load(trained).predict(picture)


@pytest.fixture
def export(run, trained, tmp_path):
    def call(kind, *arguments):
        name = tmp_path / "out" / FORMATS[kind].default
        result = run("--mode", "export", "--workdir", trained, "--format", kind, "--output", name,
                     *arguments)  # fmt: skip
        return name, *result

    return call


@pytest.mark.parametrize("kind", ["onnx", "stablehlo"])
def test_a_program_gives_the_map_without_class_jax(export, tmp_path, picture, expected, kind):
    path, status, _, err = export(kind)
    assert status == 0, err
    assert re.search(r"equal to the network within \d", err)
    side = [SIDE] if kind == "stablehlo" else []
    blocked = ("class_jax", "flax") if side else ("class_jax", "jax")
    arguments = [path, *side, picture, "map.png"]
    run_script(reader(f"read_{kind}.py"), *arguments, blocked=blocked, folder=tmp_path)
    levels = np.asarray(Image.open(tmp_path / "map.png"))
    assert np.abs(levels - expected * 255).max() <= 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_exported_folder_is_a_model_like_its_workdir(
    export, run, tmp_path, picture, expected, trained
):
    folder, status, _, err = export("safetensors")
    assert status == 0, err
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors"
    ]  # fmt: skip
    printed = run_script(reader("read_safetensors.py"), folder, folder=tmp_path)
    count = sum(
        leaf.size for leaf in safetensors.numpy.load_file(folder / "model.safetensors").values()
    )
    assert str(count) in printed
    np.testing.assert_array_equal(Predictor.load(folder).predict(picture), expected)
    card = (folder / "README.md").read_text()
    assert all(word in card for word in CARD_WORDS), card
    assert str(trained) not in (folder / "config.json").read_text() + card
    status, _, err = run(
        "--mode", "predict", "--model", folder, "--input", picture, "--output", "m.png"
    )
    assert status == 0, err
    assert np.abs(np.asarray(Image.open("m.png")) - expected * 255).max() <= 0.5 + 1e-3
    again = run(
        "--mode", "export", "--model", folder, "--format", "safetensors", "--output", tmp_path / "b"
    )
    assert again[0] == 0, again[2]
    first, second = (
        (place / "model.safetensors").read_bytes() for place in (folder, tmp_path / "b")
    )
    assert first == second


def test_an_onnx_file_predicts_where_jax_cannot_be_imported(export, tmp_path, picture, expected):
    path, status, _, err = export("onnx")
    assert status == 0, err
    large = tmp_path / "large.png"
    Image.open(picture).resize((150, 100)).save(large)
    code = f"""
sys.path.insert(0, {str(ROOT)!r})
from class_jax.command import cli
status = cli.main(["--mode", "predict", "--model", sys.argv[1], "--input", *sys.argv[2:4],
                   "--output", "maps", "--workdir", "none"])
from class_jax import Predictor
print(status, Predictor.load(sys.argv[1]).predict(sys.argv[2]).shape, "jax" in sys.modules)
"""
    printed = run_script(code, path, picture, large, blocked=("jax", "jaxlib", "flax", "orbax"),
                         folder=tmp_path)  # fmt: skip
    assert printed.split() == ["0", "(64,", "64)", "False"]
    levels = np.asarray(Image.open(tmp_path / "maps" / "scene.png"))
    assert np.abs(levels - expected * 255).max() <= 1


def test_steep_maps_are_resized_alike_by_both_engines(tmp_path, small_network):
    # Where logits are far from 0, a map in 0–1 no longer tells them; edges would move.
    variables = small_network.initialize(0)
    variables.params["heads"][0]["kernel"] *= 300
    maps = export_small(small_network, variables, "onnx", tmp_path)
    image = SyntheticSource(1, seed=2, image_size=(150, 200)).load(0)["image"]
    ours, theirs = (predictor.predict(image) for predictor in maps)
    assert np.abs(ours - 0.5).max() > 0.49999
    assert np.abs(ours - theirs).max() < 1 / 255


def test_an_exported_network_keeps_its_card(run, export, tmp_path):
    folder, *_ = export("safetensors")
    (folder / "README.md").write_text("# Ours\nCredits: A. Photographer\n")
    status, _, err = run("--mode", "export", "--model", folder, "--output", tmp_path / "again")
    assert status == 0, err
    assert (tmp_path / "again" / "README.md").read_text() == (folder / "README.md").read_text()


def export_small(network, variables, kind, folder):
    """Predictors of a network by JAX, and by its export."""
    path = folder / "model.onnx"
    FORMATS[kind].write(Export(network, variables, SIDE, ConfigDict(), ""), path)
    ours = JaxEngine(network, variables, image_size=SIDE, batch_size=1, mesh=mesh_of(1))
    return Predictor(ours), Predictor(OnnxEngine(path))


@pytest.mark.parametrize("change", [
    {}, {"backbone": "vgg", "stage_sizes": (1, 2, 1, 1, 1)}, {"form": "released"},
    {"position_attention": False, "fusion_module": False},
    {"channel_attention": False, "fusion_module": False},
])  # fmt: skip
def test_every_form_of_the_network_exports_to_onnx(change, tmp_path):
    network = build_network(dict(SMALL_MODEL, **change), dtype="float32")
    ours, theirs = export_small(network, perturbed(network), "onnx", tmp_path)
    images = list(np.random.default_rng(0).integers(0, 256, (3, 70, 50, 3), np.uint8))
    for one, other in zip(ours.predict(images), theirs.predict(images), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_operators_are_known_by_layers_that_are_compiled_under_their_own_names():
    modules = [
        importlib.import_module(f"class_jax.models.{file.stem}")
        for file in (ROOT / "class_jax" / "models").glob("[!_]*.py")
    ]
    layers = {
        name
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, jax.stages.Wrapped) and value.__module__ == module.__name__
    }
    assert set(LAYERS) == layers
    assert all(hasattr(jax.lax, f"{name}_p") for name in PRIMITIVES), "a private name of JAX"


def perturbed(network):
    """Values in which every attention is on and no batch norm is the identity."""
    rng = np.random.default_rng(1)

    def change(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name.endswith(("scale", "var")):
            return leaf * rng.uniform(0.5, 2, leaf.shape).astype(np.float32)
        if name.endswith("kernel"):
            return leaf
        return leaf + rng.normal(0, 0.3, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(change, network.initialize(0))


def test_a_folded_batch_norm_equals_the_formula_in_float64(small_network):
    values = perturbed(small_network)
    folded = fold_batch_norms(values, epsilon=1e-5)
    norm, conv = (values.params["bridges"][0]["compress"][name] for name in ("bn", "conv"))
    stats = values.batch_stats["bridges"][0]["compress"]["bn"]
    slope = norm["scale"].astype(np.float64) / np.sqrt(stats["var"].astype(np.float64) + 1e-5)
    kernel = folded.params["bridges"][0]["compress"]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel, (conv["kernel"] * slope).astype(np.float32))
    offset = norm["bias"] - stats["mean"] * slope
    bias = folded.params["bridges"][0]["compress"]["bn"]["bias"]
    np.testing.assert_allclose(bias, offset, rtol=1e-6, atol=1e-7)
    means = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(folded.batch_stats)
             if "mean" in str(path[-1])]  # fmt: skip
    assert not any(mean.any() for mean in means)
    assert values.batch_stats["bridges"][0]["compress"]["bn"]["mean"].any()  # left as it was


@pytest.mark.parametrize(("precision", "kinds", "share"), [
    ("float16", {onnx.TensorProto.FLOAT16}, 0.5),
    ("int8", {onnx.TensorProto.INT8, onnx.TensorProto.FLOAT16}, 0.4),
])  # fmt: skip
def test_smaller_weights_differ_by_no_more_than_the_file_says(
    export, tmp_path, picture, expected, precision, kinds, share
):
    def kernels_of(path):
        constants = onnx.load(path).graph.initializer
        return [tensor for tensor in constants if np.prod(tensor.dims) >= 256]

    def bytes_of(kernels):
        return sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in kernels)

    whole = kernels_of(export("onnx")[0].rename(tmp_path / "whole.onnx"))
    path, status, _, err = export("onnx", "--precision", precision)
    assert status == 0, err
    model = onnx.load(path)
    assert model.doc_string in err
    (difference,) = re.findall(r"by up to (\S+) of 0 to 1", model.doc_string)
    kernels = kernels_of(path)
    assert {tensor.data_type for tensor in kernels} == kinds
    assert bytes_of(kernels) <= share * bytes_of(whole)
    run_script(reader("read_onnx.py"), path, picture, "map.png", folder=tmp_path)
    levels = np.asarray(Image.open(tmp_path / "map.png")) / 255
    assert np.abs(levels - expected).max() <= 2 * float(difference) + 1 / 255


def test_kernels_of_other_precision_are_what_they_were(tmp_path):
    """A product of a Conv by hand: int8 levels of each output channel, and float16 alone."""
    rng = np.random.default_rng(0)
    large, small = (rng.normal(size=(n, 128, 1, 1)).astype(np.float32) for n in (64, 4))
    large[3] = 0  # a channel of zeros has no scale
    nodes = [onnx.helper.make_node("Conv", ["x", "a"], ["y"]),
             onnx.helper.make_node("Conv", ["x", "b"], ["z"])]  # fmt: skip
    value = onnx.helper.make_tensor_value_info
    kernels = [onnx.numpy_helper.from_array(large, "a"), onnx.numpy_helper.from_array(small, "b")]
    graph = onnx.helper.make_graph(
        nodes, "g", [value("x", 1, [1, 128, 5, 5])],
        [value("y", 1, [1, 64, 5, 5]), value("z", 1, [1, 4, 5, 5])], kernels,
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)],
                                   ir_version=9)  # fmt: skip
    shrink(model.graph, "int8")
    onnx.save(model, tmp_path / "m.onnx")
    import onnxruntime  # noqa: PLC0415 - after the engine, which switches its telemetry off

    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    x = rng.normal(size=(1, 128, 5, 5)).astype(np.float32)
    y, z = session.run(None, {"x": x})
    step = np.abs(large).max((1, 2, 3), keepdims=True) / 127
    levels = np.rint(large / np.where(step > 0, step, 1))
    for found, kernel in ((y, levels * step), (z, small.astype(np.float16))):
        wanted = np.einsum("oi,bihw->bohw", kernel[..., 0, 0].astype(np.float64), x)
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_an_export_that_computes_something_else_is_not_kept(export, monkeypatch):
    onnx = FORMATS["onnx"]

    def write(trained, path):
        heads = trained.variables.params["heads"]
        wrong = dict(trained.variables.params) | {
            "heads": {**heads, 0: {**heads[0], "bias": heads[0]["bias"] + 0.01}}
        }
        onnx.write(
            trained._replace(variables=Variables(wrong, trained.variables.batch_stats)), path
        )

    monkeypatch.setitem(FORMATS, "onnx", Format(onnx.default, write, onnx.read))
    path, status, _, err = export("onnx")
    assert status == 1
    assert "nothing was kept" in err
    assert not path.parent.exists()


def test_convert_followed_by_export_gives_the_tensors_that_went_in(run, tmp_path):
    weights = parity.state_dict("released_class_keys.json", seed=3)
    means = [name for name in weights if name.endswith("running_mean")]
    for number, name in enumerate(means):
        weights[name.replace("running_mean", "num_batches_tracked")] = np.array(number)
    safetensors.numpy.save_file(weights, tmp_path / "in.safetensors", metadata={"format": "pt"})
    status, _, err = run(
        "--mode", "convert", "--config", ROOT / "configs" / "r50_released.py",
        "--source", "in.safetensors", "--workdir", "w",
    )  # fmt: skip
    assert status == 0, err
    status, _, err = run("--mode", "export", "--workdir", "w", "--format", "torch", "--output",
                         "out.safetensors", "--config.eval.image_size=64")  # fmt: skip
    assert status == 0, err
    found = safetensors.numpy.load_file(tmp_path / "out.safetensors")
    assert found.keys() == weights.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(found[name], value, strict=True, err_msg=name)


def test_what_the_network_does_not_use_is_not_taken_from_another_folder(run, trained, tmp_path):
    mine = tmp_path / "mine.safetensors"
    safetensors.numpy.save_file({"squeeze1.0.bias": np.ones(64, np.float32)}, mine)
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "unused.safetensors").symlink_to(mine)
    status, _, err = run("--mode", "export", "--workdir", copy, "--output", tmp_path / "out")
    assert status == 2, err
    assert "unused.safetensors is a link: expected a file of this folder." in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["--format", "jpeg"], "--format=jpeg: expected one of safetensors, onnx"),
    (["--format", "torch"], "model.backbone is 'resnet' there and 'vgg' here"),
    (["--precision", "int8"], "--precision=int8 is for --format=onnx, not for safetensors"),
    (["--checkpoint", "7"], "7 is not a checkpoint"),
    (["--output", "{here}/notes"], "holds other files"),
    (["--input", "a.jpg"], "--input is for eval and predict, not for export"),
    (["--model", "{here}/notes"], "holds no trained network"),
    (["--format", "onnx", "--output", "{here}/notes/a.txt"], "expected a .onnx file or a folder"),
    (["--format", "stablehlo", "--output", "{here}/notes/a.txt/b"], "is a file"),
])  # fmt: skip
def test_mistakes_are_one_sentence(run, trained, tmp_path, arguments, sentence):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    arguments = [argument.format(here=tmp_path) for argument in arguments]
    status, _, err = run("--mode", "export", "--workdir", trained, *arguments)
    assert status == 2, err
    assert sentence in err
    assert (tmp_path / "notes" / "a.txt").read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_a_damaged_onnx_file_is_one_sentence(run, tmp_path, picture, content, export):
    damaged = tmp_path / "damaged.onnx"
    if content is None:
        path, *_ = export("onnx")
        content = path.read_bytes()[:-20_000]
    damaged.write_bytes(content)
    status, _, err = run("--mode", "predict", "--model", damaged, "--input", picture)
    assert status == 2
    wrong = "has 0 inputs: expected one" if content == b"" else "export the network again."
    assert wrong in err.splitlines()[-1]


def test_what_an_onnx_file_fixes_cannot_be_overridden(run, tmp_path, picture):
    (tmp_path / "a.onnx").write_bytes(b"")
    status, _, err = run("--mode", "predict", "--model", "a.onnx", "--input", picture,
                         "--config.eval.image_size=96")  # fmt: skip
    assert status == 2
    assert "--config.eval.image_size=96 cannot change what a.onnx computes" in err


@pytest.mark.parametrize(("missing", "arguments"), [
    ("onnx", ["--mode", "export", "--format", "onnx"]),
    ("onnxruntime", ["--mode", "export", "--format", "onnx"]),
    ("onnxruntime", ["--mode", "predict", "--model", "a.onnx", "--input", "a.png"]),
])  # fmt: skip
def test_a_missing_extra_is_one_sentence_with_the_command(
    run, trained, tmp_path, picture, monkeypatch, missing, arguments, export
):
    if "a.onnx" in arguments:
        written, *_ = export("onnx")
        (tmp_path / "a.onnx").write_bytes(written.read_bytes())
    (tmp_path / "a.png").write_bytes(picture.read_bytes())
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("class_jax.export.")]:
        if missing == "onnx" and name.rpartition(".")[2] in ("operators", "lowering"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    status, _, err = run(*arguments, "--workdir", trained)
    assert status == 2, err
    assert err.splitlines()[-1].endswith("pip install onnx onnxruntime.")
    assert not (trained / "export").exists()


def test_a_shared_network_is_loaded_from_the_hub_s_cache(export, tmp_path, picture, expected):
    repository = tmp_path / "hub" / "models--owner--name"
    folder, status, _, err = export("safetensors")
    assert status == 0, err
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, repository / "snapshots" / ("0" * 40))
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import numpy as np
from class_jax import Predictor
np.save("map.npy", Predictor.load("hf://owner/name").predict({str(picture)!r}))
"""
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "map.npy"), expected, atol=1e-5)

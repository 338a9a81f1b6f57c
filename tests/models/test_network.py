"""The network's shapes, sizes and invariances; ResNet-50's parameter count."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from class_jax.models.network import Variables, build_network
from tests.small_run import SMALL_MODEL

pytestmark = pytest.mark.device


def images(batch, height, width, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.array(rng.integers(0, 256, (batch, height, width, 3)), jnp.uint8)


@pytest.fixture(scope="module")
def awake(small_network):
    """Values whose attentions are switched on and whose batch statistics are not trivial."""
    variables = small_network.initialize(0)
    rng = np.random.default_rng(1)

    def wake(path, leaf):
        if leaf.ndim == 0:
            return np.float32(0.5)
        if path[-1].key == "mean":
            return leaf + 0.1 * rng.standard_normal(leaf.shape).astype(np.float32)
        return leaf

    return jax.tree.map(jnp.asarray, jax.tree_util.tree_map_with_path(wake, variables))


def test_resnet50_has_torchvisions_parameters():
    network = build_network(
        {**SMALL_MODEL, "stage_sizes": (3, 4, 6, 3), "width": 64, "features": 64}, dtype="float32"
    )
    trunk = network.shapes.params["encoder"]
    assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(trunk)) == 23_508_032


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96), (75, 50)])
def test_four_logit_maps_at_the_images_size(small_network, awake, height, width):
    logits = jax.jit(small_network.apply)(awake, images(2, height, width))
    assert logits.shape == (4, 2, height, width)
    assert logits.dtype == jnp.float32
    assert np.isfinite(logits).all()


def test_an_image_is_predicted_alike_in_any_batch(small_network, awake):
    batch = images(3, 96, 96)  # of one image of 64² XLA 0.11 for GPUs cannot make a program
    apply = jax.jit(small_network.apply)
    together = apply(awake, batch)
    alone = apply(awake, batch[1:2])
    np.testing.assert_allclose(together[:, 1], alone[:, 0], atol=1e-4)
    np.testing.assert_allclose(apply(awake, batch[::-1]), together[:, ::-1], atol=1e-4)


def test_every_parameter_reaches_the_loss(small_network, awake):
    def loss(params):
        logits, _ = small_network.apply_train(
            Variables(params, awake.batch_stats), images(2, 64, 64)
        )
        return (logits**2).sum()

    gradients = jax.jit(jax.grad(loss))(awake.params)
    silent = [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)
        if not np.abs(leaf).max() > 0
    ]
    # A bias on the key shifts all of a query's energies alike, which the softmax does not see.
    assert all(name.endswith("key/bias") for name in silent), silent


def test_training_moves_batch_statistics_as_torch_does(small_network):
    variables = small_network.initialize(0)
    _, stats = jax.jit(small_network.apply_train)(
        jax.tree.map(jnp.asarray, variables), images(4, 64, 64)
    )
    pixels = images(4, 64, 64)
    kernel = variables.params["encoder"]["conv1"]["kernel"]
    response = jax.lax.conv_general_dilated(
        small_network.normalize(pixels),
        kernel,
        (2, 2),
        ((3, 3), (3, 3)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    expected = 0.1 * np.asarray(response, np.float64).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(stats["encoder"]["bn1"]["mean"], expected, rtol=1e-3, atol=1e-6)


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters(awake, small_network):
    half = build_network(SMALL_MODEL, dtype="bfloat16")
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(half.shapes))
    pixels = images(1, 64, 64)
    exact = jax.jit(small_network.apply)(awake, pixels)
    rounded, stats = jax.jit(half.apply_train)(awake, pixels)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(stats))
    rounded = jax.jit(half.apply)(awake, pixels)
    assert rounded.dtype == jnp.float32
    difference = np.abs(rounded - exact).max()
    assert 1e-5 < difference < 0.1 * np.abs(exact).max()


def test_a_kernel_is_drawn_by_hes_formula_from_the_seed_and_its_name(small_network):
    kernel = small_network.initialize(3).params["encoder"]["layer2"][0]["conv2"]["kernel"]
    name = zlib.crc32(b"params/encoder/layer2/0/conv2/kernel")
    normal = np.random.default_rng([3, name]).standard_normal((3, 3, 8, 8), np.float32)
    np.testing.assert_allclose(kernel, normal * np.sqrt(2 / (9 * 8)), rtol=1e-6)


def test_building_and_drawing_leave_nothing_on_a_device():
    before = len(jax.live_arrays())
    variables = build_network(SMALL_MODEL, dtype="float32").initialize(0)
    assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(variables))
    assert len(jax.live_arrays()) == before


def test_initial_values_depend_on_seed_and_name_alone(small_network):
    first, again, other = (small_network.initialize(seed) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    kernel = first.params["stages"][0]["fusion"]["refine"]["first"]["conv"]["kernel"]
    assert not np.array_equal(
        kernel, other.params["stages"][0]["fusion"]["refine"]["first"]["conv"]["kernel"]
    )
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 8)), rel=0.15)


def test_normalize_uses_the_papers_constants(small_network):
    pixel = np.array([[[[124.55 + 56.77, 118.90, 102.94 - 57.50]]]], np.float32)
    np.testing.assert_allclose(
        small_network.normalize(jnp.array(pixel))[0, 0, 0], [1, 0, -1], atol=1e-5
    )

"""The recipes of docs/extending.md, followed: its code is run as it stands there."""

import csv
import functools
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

import datasets
from class_jax import losses
from class_jax.config import load_recipe
from class_jax.data import augment
from class_jax.data.feed import train_batches
from class_jax.errors import UserError
from class_jax.evaluation.comparison import compare_methods
from class_jax.evaluation.measuring import Task, read_truth
from class_jax.evaluation.protocols import METRICS
from class_jax.evaluation.scoring import MapSet, Scorer
from class_jax.evaluation.tables import write_tables
from class_jax.models.network import BACKBONES, Variables, build_network, check_model
from class_jax.training.optimizer import make_optimizer
from class_jax.weights.load import load_encoder
from tests.array_source import ArraySource
from tests.program import ROOT
from tests.small_run import SMALL_MODEL

PAGE = (ROOT / "docs" / "extending.md").read_text()
SIZES = (1, 2, 1, 1)


def run_example(section, **names):
    """Run a section's first block of Python among `names`, and return all names after it."""
    text = PAGE.split(f"\n## {section}\n")[1]
    names["__name__"] = f"example_{section.split()[1]}"
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], names)
    return names


@pytest.fixture
def network(monkeypatch):
    monkeypatch.setitem(BACKBONES, "plain", run_example("A backbone")["PlainNet"])
    model = {**SMALL_MODEL, "backbone": "plain", "stage_sizes": SIZES}
    return build_network(model, dtype="float32")


def test_the_backbone_computes_and_every_parameter_of_it_learns(network):
    variables = jax.tree.map(jnp.asarray, network.initialize(0))
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)), jnp.uint8)

    def loss(params):
        logits, _ = network.apply_train(Variables(params, variables.batch_stats), images)
        return (logits**2).mean(), logits

    gradients, logits = jax.jit(jax.grad(loss, has_aux=True))(variables.params)
    assert logits.shape == (4, 2, 64, 64)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients["encoder"]))


def imagenet_weights():
    """A file of the backbone's weights as PyTorch would name and shape them."""
    rng = np.random.default_rng(0)
    widths, weights = (4, 4, 8, 16, 32), {"stem.weight": rng.normal(size=(4, 3, 3, 3))}
    norms = {"norm": 4}
    for stage, size in enumerate(SIZES):
        for block in range(size):
            inputs, outputs = widths[stage + bool(block)], widths[stage + 1]
            weights[f"stages.{stage}.{block}.0.weight"] = rng.normal(size=(outputs, inputs, 3, 3))
            norms[f"stages.{stage}.{block}.1"] = outputs
    for norm, features in norms.items():
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{norm}.{leaf}"] = rng.uniform(size=features)
        weights[f"{norm}.num_batches_tracked"] = np.zeros(())
    weights["fc.weight"] = np.zeros((10, 32))
    return {name: np.asarray(value, np.float32) for name, value in weights.items()}


def test_the_backbone_takes_weights_by_its_own_names(network, tmp_path):
    weights, path = imagenet_weights(), str(tmp_path / "plain.safetensors")
    safetensors.numpy.save_file(weights, path)
    loaded = load_encoder(path, network, network.initialize(0))
    kernel = loaded.params["encoder"]["stages"][1][1]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel, weights["stages.1.1.0.weight"].transpose(2, 3, 1, 0))
    variances = loaded.batch_stats["encoder"]["stages"][3][0]["bn"]["var"]
    np.testing.assert_array_equal(variances, weights["stages.3.0.1.running_var"])
    weights["stages.9.weight"] = weights.pop("stem.weight")
    safetensors.numpy.save_file(weights, path)
    with pytest.raises(UserError) as error:
        load_encoder(path, network, network.initialize(0))
    assert str(error.value).splitlines()[1:] == [
        "  stages.9.weight is surplus",
        "  stem.weight is missing",
    ]


def test_the_stem_of_the_backbone_is_frozen_and_nothing_else(network):
    train = load_recipe("configs/r50.py").train
    train.freeze = "stem"
    optimizer, _ = make_optimizer(train, network, total_steps=4)
    params = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), network.shapes.params)
    state = optimizer.init(params)
    for _ in range(2):  # the first step's rate is 0
        updates, state = optimizer.update(params, state, params)
    stem = {name: updates["encoder"].pop(name) for name in ("stem", "norm")}
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(stem))
    assert all(np.all(leaf) for leaf in jax.tree.leaves(updates))


@pytest.mark.usefixtures("network")
def test_the_configuration_knows_the_backbone_and_its_stages():
    config = load_recipe("configs/r50.py")
    config.model.backbone = "plain"
    check_model(config.model)
    config.model.stage_sizes = (1,)
    with pytest.raises(UserError, match="a plain has 4 stages"):
        check_model(config.model)
    config.model.backbone = "plane"
    with pytest.raises(
        UserError, match=r'"plane": expected one of resnet, vgg, efficientnet, plain'
    ):
        check_model(config.model)


def test_the_loss_is_one_minus_intersection_over_union():
    loss = run_example("A loss", **vars(losses))["iou_loss"]
    maps, masks = np.random.default_rng(0).random((2, 3, 12, 14))
    hits = np.minimum(1, maps * masks).sum((1, 2))
    expected = 1 - hits / (maps.sum((1, 2)) + masks.sum((1, 2)) - hits)
    np.testing.assert_allclose(loss(jnp.asarray(maps), jnp.asarray(masks)), expected, rtol=1e-5)
    empty = jnp.zeros((1, 12, 14))
    assert np.isfinite(jax.grad(lambda x: loss(x, empty).sum())(empty)).all()


def test_the_data_set_is_prepared_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setitem(datasets.SETS, "mine", (run_example("A data set")["Mine"], "test"))
    for folder, suffix in (("images", "jpg"), ("masks", "png")):
        (tmp_path / "MINE" / folder).mkdir(parents=True)
        for name in "abc":
            pixels = np.full((40, 50), 255 * (name == "b"), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "MINE" / folder / f"{name}.{suffix}")
    source = datasets.open_set("mine", str(tmp_path), skip_broken=False)
    assert list(source.names) == ["a", "b", "c"]
    assert source.load(1)["mask"].min() == 255
    (tmp_path / "MINE" / "masks" / "c.png").unlink()
    again = tmp_path / "again"
    again.mkdir()
    (tmp_path / "MINE").rename(again / "MINE")
    with pytest.raises(UserError, match="2 pairs were found"):
        datasets.open_set("mine", str(again), skip_broken=False)


def test_the_augmentation_turns_a_tenth_of_the_images():
    example_code = run_example("An augmentation", **vars(augment))
    example = {
        "name": "x",
        "image": np.repeat(np.arange(20, dtype=np.uint8)[:, None, None] * 10, 3, axis=2).repeat(
            20, 1
        ),
        "mask": (np.arange(20, dtype=np.uint8)[:, None] * 10).repeat(20, 1),
    }
    image, mask, turned = np.empty((16, 16, 3), np.uint8), np.empty((16, 16), np.uint8), 0
    for seed in range(200):
        example_code["augment_turned"](
            example, np.random.default_rng(seed), settings=augment.Augmentation(crop=0.1),
            image=image, mask=mask,
        )  # fmt: skip
        np.testing.assert_array_equal(image[..., 0], mask)
        turned += int(mask[0, 0] > mask[-1, 0])
    assert 8 <= turned <= 34  # 20 of 200, within three and a half deviations


def test_training_takes_the_augmentation_by_the_line_of_the_page():
    names = run_example("An augmentation", **vars(augment))
    section = PAGE.split("\n## An augmentation\n")[1].split("\n## ")[0]
    line = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[1].strip()
    mode = (ROOT / "class_jax" / "modes" / "train.py").read_text()
    assert mode.count(line.replace("augment_turned", "augment")) == 1
    # Composites over a white background, of the settings and the sources that the line names.
    white = types.SimpleNamespace(
        names=["w"], load=lambda index, side: {"image": np.full((24, 24, 3), 255, np.uint8)}
    )
    names |= {
        "functools": functools,
        "settings": augment.Augmentation(composite=1),
        "sources": types.SimpleNamespace(backgrounds=white),
    }
    function = eval(line, names)
    source = ArraySource(f"{number:02}" for number in range(8))
    batches = train_batches(source, batch_size=8, sizes=[16], augment=function, seed=0)
    with batches as stream:
        batch = next(stream)
    assert (batch["image"][batch["mask"] == 0] > 200).mean() > 0.5  # else noise below 100


def test_the_metric_is_in_every_table_by_its_entry(tmp_path, monkeypatch):
    monkeypatch.setitem(METRICS, "RMSE", None)  # taken out again after the test
    run_example("A metric")
    mask = np.zeros((20, 20), np.uint8)
    mask[5:15, 5:15] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    scores = []
    for method, noise in (("A", 40), ("B", 90)):
        tasks = []
        for index in range(8):
            levels = np.abs(mask - np.random.default_rng(index).integers(0, noise, mask.shape))
            levels[0, 0], levels[9, 9] = 0, 255  # spans all levels, and is not stretched
            path = tmp_path / f"{method}{index}.png"
            Image.fromarray(levels.astype(np.uint8)).save(path)
            read = functools.partial(read_truth, tmp_path / "mask.png")
            tasks.append(Task(f"{index}", path, read))
        with Scorer(["pysod", "matlab"], processes=1) as scorer:
            scores += [row.analyze() for row in scorer.score(MapSet("toys", method, tasks))]
    write_tables(tmp_path, scores, compare_methods(scores))
    levels = np.asarray(Image.open(tmp_path / "A0.png")) / 255
    (row, *_) = csv.DictReader((tmp_path / "per_image.csv").read_text().splitlines())
    assert float(row["RMSE"]) == pytest.approx(np.sqrt(np.mean((levels - mask / 255) ** 2)))
    results = (tmp_path / "results.csv").read_text().splitlines()
    assert {"RMSE", "RMSE_low", "RMSE_high"} <= set(results[0].split(","))
    for name in ("results.md", "results.tex", "comparison.md", "breakdown.csv"):
        assert "RMSE" in (tmp_path / name).read_text()
    compared = (tmp_path / "comparison.md").read_text()
    assert re.search(r"\| RMSE \| A \| B \| -.* better \|", compared)  # lower is better

"""On-device validation against PySODMetrics, and its exactness over padded batches."""

import jax
import jax.numpy as jnp
import numpy as np
import py_sod_metrics
import pytest
from ml_collections import ConfigDict

from class_jax.training.validation import draw_examples, f_curves, make_validation, stretch
from datasets.synthetic import SyntheticSource
from tests.small_run import mesh_of


def maps_and_masks(count=4, side=32):
    rng = np.random.default_rng(0)
    maps = rng.uniform(0.1, 0.9, (count, side, side)) ** np.arange(1, count + 1)[:, None, None]
    maps[0] = 0.4  # constant: not stretched
    masks = rng.uniform(size=maps.shape) < 0.3
    masks[1] = False
    return np.round(maps * 255).astype(np.uint8), masks


def test_mae_and_f_curve_equal_pysodmetrics():
    levels, masks = maps_and_masks()
    mae, fmeasure = py_sod_metrics.MAE(), py_sod_metrics.Fmeasure()
    for level, mask in zip(levels, masks, strict=True):
        mae.step(level, mask.astype(np.uint8) * 255)
        fmeasure.step(level, mask.astype(np.uint8) * 255)
    maps = jnp.asarray(levels, jnp.float32) / 255
    stretched, stretched_levels = stretch(maps)
    assert np.abs(stretched - masks).mean() == pytest.approx(mae.get_results()["mae"], abs=1e-6)
    ours = np.asarray(f_curves(stretched_levels, jnp.asarray(masks))).mean(axis=0)
    theirs = fmeasure.get_results()["fm"]["curve"]
    # Where float64 rounds a stretched level just below a whole number it moves by one threshold.
    assert np.mean(np.abs(ours - theirs) > 1e-6) < 0.05
    assert ours.max() == pytest.approx(theirs.max(), abs=1e-3)


def test_padding_counts_for_nothing(small_network, one_device):
    variables = jax.tree.map(jnp.asarray, small_network.initialize(0))
    source = SyntheticSource(6, seed=0, image_size=(32, 32))

    def score(batch_size):
        settings = ConfigDict({"batch_size": batch_size, "image_size": 32})
        validate = make_validation(small_network, source, settings=settings, mesh=one_device)
        return validate(variables)[0]

    whole, padded = score(6), score(4)
    assert padded == pytest.approx(whole, rel=1e-5)
    assert 0 < whole["val_maxF"] < 1


def test_a_set_is_scored_and_drawn_as_its_images_are_one_by_one(small_network):
    mesh = mesh_of(2)
    source = SyntheticSource(5, seed=0, image_size=(32, 32))
    settings = ConfigDict({"batch_size": 3, "image_size": 32})
    variables = jax.tree.map(jnp.asarray, small_network.initialize(0))
    scores, sheet = make_validation(small_network, source, settings=settings, mesh=mesh)(variables)
    examples = [source.load(index) for index in range(5)]
    batch = {
        "image": np.stack([example["image"] for example in examples]),
        "mask": np.stack([example["mask"] for example in examples]),
        "valid": np.ones(5, bool),
    }
    logits = jax.jit(small_network.apply)(variables, jnp.asarray(batch["image"]))[0]
    maps = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    stretched = [
        (levels - levels.min()) / np.ptp(levels) if np.ptp(levels) else levels / 255
        for levels in np.round(maps * 255)
    ]
    errors = np.abs(np.stack(stretched) - (batch["mask"] > 128))
    assert scores["val_mae"] == pytest.approx(errors.mean(), abs=2e-3)
    # Shown is the first batch, three examples rounded up to two devices.
    expected = draw_examples({name: rows[:4] for name, rows in batch.items()}, maps[:4])
    assert np.abs(sheet.astype(int) - expected).max() <= 1


def test_a_sheet_leaves_padding_out_and_stops_at_eight():
    images = np.zeros((10, 8, 8, 3), np.uint8)
    batch = {"image": images, "mask": images[..., 0], "valid": np.arange(10) < 9}
    assert draw_examples(batch, np.zeros((10, 8, 8))).shape[0] == 4 + 8 * 244
    batch["valid"] = np.arange(10) < 2
    assert draw_examples(batch, np.zeros((10, 8, 8))).shape[0] == 4 + 2 * 244

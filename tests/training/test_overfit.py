"""Slow: the full ResNet-50 network learns eight images by heart.

`python -m pytest -m slow -s tests/training/test_overfit.py`; about a quarter of an hour on two
cores. CLASS_JAX_REAL_DATA may name a folder of photographs with masks (`images`, `masks`); without
it the images are synthetic.
"""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from ml_collections import ConfigDict

from class_jax.data.layouts import find_layout
from class_jax.data.pairs import match_pairs
from class_jax.data.sources import PairSource
from class_jax.models.network import build_network
from class_jax.sharding import put_batch
from class_jax.training.validation import make_validation
from datasets.synthetic import SyntheticSource
from tests.small_run import SMALL_MODEL, mesh_of, small_run

STEPS = 160
SIDE = 128


def eight_examples():
    folder = os.environ.get("CLASS_JAX_REAL_DATA")
    if folder:
        source = PairSource(match_pairs(find_layout(Path(folder), leaf="folder")).pairs[:8])
    else:
        source = SyntheticSource(8, seed=0)
    examples = [source.load(index) for index in range(8)]
    return {
        name: np.stack([cv2.resize(example[name], (SIDE, SIDE)) for example in examples])
        for name in ("image", "mask")
    }


class Held:
    """The examples as a set."""

    def __init__(self, examples):
        self.examples, self.names = examples, list(range(8))

    def load(self, index, side=None):
        return {name: rows[index] for name, rows in self.examples.items()}


@pytest.mark.slow
def test_eight_images_are_learned_by_heart():
    network = build_network(
        {**SMALL_MODEL, "stage_sizes": (3, 4, 6, 3), "width": 64, "features": 64}, dtype="float32"
    )
    mesh = mesh_of(1)
    run = small_run(network, mesh, total_steps=STEPS, lr_backbone=0.05, warmup=0.1, nesterov=True)
    state = run.start()
    examples = eight_examples()
    settings = ConfigDict({"batch_size": 8, "image_size": SIDE})
    validate = make_validation(network, Held(examples), settings=settings, mesh=mesh)
    batch = put_batch(examples, mesh)
    for count in range(1, STEPS + 1):
        state, metrics = run.step(state, batch)
        if count % 20 == 0:
            scores, _ = validate(state.variables)
            print(f"step {count}: loss {float(metrics['loss']):.4f}, {scores}", flush=True)
    assert scores["val_mae"] < 0.02

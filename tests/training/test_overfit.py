"""Slow: the full ResNet-50 network learns eight pictures by heart.

`python -m pytest -m slow -s tests/training/test_overfit.py`; about a quarter of an hour on two
cores. CLASS_JAX_REAL_DATA may name a folder of photographs with masks (`images`, `masks`); without
it the pictures are synthetic.
"""

import os
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest

from class_jax.data.folders import find_layout
from class_jax.data.pairs import match_pairs
from class_jax.data.sources import PairSource
from class_jax.data.synthetic import SyntheticSource
from class_jax.losses import class_loss
from class_jax.models.network import build_network
from class_jax.sharding import put_batch, replicated_sharding
from class_jax.training.optimizer import sgd, triangle
from class_jax.training.state import initial_state
from class_jax.training.step import make_train_step
from class_jax.training.validation import make_validation_step, validate
from tests.small_run import SMALL_MODEL, mesh_of

STEPS = 160
SIDE = 128


def eight_pictures():
    folder = os.environ.get("CLASS_JAX_REAL_DATA")
    if folder:
        source = PairSource(match_pairs(*find_layout(Path(folder), leaf="folder")).pairs[:8])
    else:
        source = SyntheticSource(8, seed=0)
    examples = [source[index] for index in range(8)]
    return {
        name: np.stack([cv2.resize(example[name], (SIDE, SIDE)) for example in examples])
        for name in ("image", "mask")
    }


@pytest.mark.slow
def test_eight_pictures_are_learned_by_heart():
    network = build_network(
        {**SMALL_MODEL, "stage_sizes": (3, 4, 6, 3), "width": 64, "features": 64}, dtype="float32"
    )
    mesh = mesh_of(1)
    lr = triangle(0.05, total_steps=STEPS, warmup=0.1)
    optimizer = sgd(lr, lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    step = make_train_step(network, optimizer, class_loss, lr=lr, lr_backbone=lr, mesh=mesh)
    validation_step = make_validation_step(network, mesh)
    state = jax.device_put(
        initial_state(network.initialize(0), optimizer), replicated_sharding(mesh)
    )
    pictures = eight_pictures()
    batch = put_batch(pictures, mesh)
    for count in range(1, STEPS + 1):
        state, metrics = step(state, batch)
        if count % 20 == 0:
            scores = validate(
                validation_step, state.variables, [{**pictures, "valid": np.ones(8, bool)}], mesh
            )
            print(f"step {count}: loss {float(metrics['loss']):.4f}, {scores}", flush=True)
    assert scores["val_mae"] < 0.02

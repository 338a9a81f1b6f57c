"""Each row of the paper's Table 2 builds, has the parts it should, and learns from its losses."""

import functools

import jax
import numpy as np
import pytest

from class_jax.config import load_recipe
from class_jax.losses import class_loss
from class_jax.models.network import build_network
from class_jax.sharding import put_batch, replicated_sharding
from class_jax.training.optimizer import make_optimizer
from class_jax.training.state import init_state
from class_jax.training.step import make_train_step
from tests.program import ROOT
from tests.small_run import batches

# The rows differ in the decoder: the encoder that compiles fastest serves.
TINY = {"backbone": "vgg", "stage_sizes": (1,) * 5, "width": 4, "features": 8, "dtype": "float32"}
PIXEL, REGION, OBJECT = "pixel", "region", "object"

# Table 2's check marks, copied from the paper: losses, cross-level supervision of all stages,
# channel and position attention, fusion module.
TABLE_2 = {
    "1": ({PIXEL}, False, False, False, False),
    "2": ({PIXEL, REGION}, False, False, False, False),
    "3": ({PIXEL, REGION, OBJECT}, False, False, False, False),
    "4": ({PIXEL, REGION, OBJECT}, True, False, False, False),
    "5": ({PIXEL, REGION, OBJECT}, True, False, False, True),
    "6": ({PIXEL, REGION, OBJECT}, True, True, True, False),
    "7": ({PIXEL, REGION, OBJECT}, True, True, False, True),
    "8": ({PIXEL, REGION, OBJECT}, True, False, True, True),
    "9": ({PIXEL}, True, True, True, True),
    "10": ({PIXEL, REGION, OBJECT}, True, True, True, True),
}


# The others differ from these in one part each: -m slow.
OFTEN = ("1", "6", "10")


@pytest.mark.parametrize(
    "row",
    [row if row in OFTEN else pytest.param(row, marks=pytest.mark.slow) for row in TABLE_2],
)
def test_a_row_of_table_2_takes_a_step(row, one_device):
    losses, multi_stage, channel, position, fusion = TABLE_2[row]
    config = load_recipe(f"{ROOT / 'configs' / 'ablation.py'}:{row}")
    config.model.update(TINY)
    network = build_network(config.model, dtype="float32")
    stage = network.shapes.params["stages"][0]
    assert ("channel" in stage, "position" in stage) == (channel, position)
    assert ("reduce" in stage["fusion"]) == fusion

    optimizer, rates = make_optimizer(config.train, network, total_steps=10)
    loss = functools.partial(
        class_loss, losses=config.train.losses, multi_stage=config.train.multi_stage
    )
    step = make_train_step(
        network, optimizer, loss, train=config.train, rates=rates, mesh=one_device
    )
    variables = network.initialize(0)
    state = jax.device_put(init_state(variables, optimizer), replicated_sharding(one_device))
    # The first step's learning rate is 0: it takes a second one to move.
    for batch, _ in zip(batches(side=32, size=2), range(2), strict=False):
        state, metrics = step(state, put_batch(batch, one_device))
    metrics = {name: float(value) for name, value in metrics.items()}
    finest = sum(metrics[f"loss_{name}"] for name in losses)
    if multi_stage:
        assert finest < metrics["loss"] < np.inf
    else:
        assert metrics["loss"] == pytest.approx(finest, rel=1e-6)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), state.variables.params, variables.params)
    assert min(max(jax.tree.leaves(part)) for part in moved["stages"][0].values()) > 0

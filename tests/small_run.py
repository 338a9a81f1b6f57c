"""A small training run whose pieces the tests put together."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from class_jax.losses import class_loss
from class_jax.models.classnet import DecoderSettings
from class_jax.models.network import Network
from class_jax.sharding import make_mesh, replicate
from class_jax.training.optimizer import make_optimizer
from class_jax.training.state import TrainState, init_state
from class_jax.training.step import TrainStep, make_train_step
from configs import r50

SMALL_MODEL = {
    "backbone": "resnet",
    "stage_sizes": (1, 1, 1, 1),
    "width": 4,
    **dataclasses.asdict(DecoderSettings(features=8)),
}


def mesh_of(devices: int) -> Mesh:
    """Return a mesh over the first few simulated devices."""
    return make_mesh(jax.devices()[:devices])


def train_section(**leaves: Any) -> ConfigDict:
    """Return twelve steps of SGD with a short warm-up, as config.train describes them."""
    train = r50.get_config().train
    train.update(batch_size=8, total_steps=12, lr=0.05, lr_backbone=0.01, warmup=0.25)
    train.update(log_every=1, validate_every=4, checkpoint_every=3)
    train.update(leaves)
    return train


@dataclasses.dataclass
class SmallRun:
    """A network's training step on a mesh, and a way to start."""

    network: Network
    mesh: Mesh
    train: ConfigDict
    optimizer: Any
    step: TrainStep

    def start(self) -> TrainState:
        """Return step 0, on the mesh."""
        variables = self.network.initialize(0)
        state = init_state(variables, self.optimizer, ema=self.train.ema_decay > 0)
        return replicate(state, self.mesh)


def small_run(network: Network, mesh: Mesh, **leaves: Any) -> SmallRun:
    """Return the run that `train_section(**leaves)` describes."""
    train = train_section(**leaves)
    optimizer, rates = make_optimizer(train, network, total_steps=train.total_steps)
    step = make_train_step(network, optimizer, class_loss, train=train, rates=rates, mesh=mesh)
    return SmallRun(network, mesh, train, optimizer, step)


def batches(*, start: int = 0, size: int = 8, side: int = 64) -> Iterator[dict[str, np.ndarray]]:
    """Yield learnable batches (bright halves are salient) without end, equal from any start."""
    step = start
    while True:
        rng = np.random.default_rng(step)
        masks = np.zeros((size, side, side), np.uint8)
        for mask in masks:
            mask[:, : rng.integers(8, side - 8)] = 255
        noise = rng.integers(0, 128, (size, side, side, 3))
        yield {"image": (noise + masks[..., None] // 2).astype(np.uint8), "mask": masks}
        step += 1

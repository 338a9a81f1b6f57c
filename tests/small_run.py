"""A small training run whose pieces the tests put together."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from class_jax.losses import class_loss
from class_jax.models.classnet import DecoderSettings
from class_jax.models.network import Network
from class_jax.sharding import mesh_over, replicated_sharding
from class_jax.training.optimizer import sgd, triangle
from class_jax.training.state import TrainState, initial_state
from class_jax.training.step import TrainStep, make_train_step

SMALL_MODEL = {
    "backbone": "resnet",
    "stage_sizes": (1, 1, 1, 1),
    "width": 4,
    **dataclasses.asdict(DecoderSettings(features=8)),
}


def mesh_of(devices: int) -> Mesh:
    """A mesh over the first few simulated devices."""
    return mesh_over(jax.devices()[:devices])


@dataclasses.dataclass
class SmallRun:
    """A network's step on a mesh, and a way to start."""

    network: Network
    mesh: Mesh
    optimizer: Any
    step: TrainStep

    def start(self) -> TrainState:
        """Step 0, on the mesh."""
        state = initial_state(self.network.initialize(0), self.optimizer)
        return jax.device_put(state, replicated_sharding(self.mesh))


def small_run(network: Network, mesh: Mesh) -> SmallRun:
    """Twelve steps of SGD with a short warm-up."""
    lr = triangle(0.05, total_steps=12, warmup=0.25)
    lr_backbone = triangle(0.01, total_steps=12, warmup=0.25)
    optimizer = sgd(lr, lr_backbone, momentum=0.9, nesterov=False, weight_decay=5e-4)
    step = make_train_step(
        network, optimizer, class_loss, lr=lr, lr_backbone=lr_backbone, mesh=mesh
    )
    return SmallRun(network, mesh, optimizer, step)


def batches(*, start: int = 0, size: int = 8, side: int = 64) -> Iterator[dict[str, np.ndarray]]:
    """An endless stream of learnable batches (bright halves are salient), equal from any start."""
    step = start
    while True:
        rng = np.random.default_rng(step)
        masks = np.zeros((size, side, side), np.uint8)
        for mask in masks:
            mask[:, : rng.integers(8, side - 8)] = 255
        noise = rng.integers(0, 128, (size, side, side, 3))
        yield {"image": (noise + masks[..., None] // 2).astype(np.uint8), "mask": masks}
        step += 1

"""Our network and its training step, with weights and batches to measure them on."""

import jax
import numpy as np

from class_jax.losses import class_loss
from class_jax.models.network import Variables, build_network
from class_jax.sharding import make_mesh, put_batch, replicated_sharding
from class_jax.training.optimizer import make_optimizer
from class_jax.training.state import init_state
from class_jax.training.step import make_train_step
from configs import r50

RATE, MOMENTUM, DECAY = 1e-4, 0.9, 5e-4
GIGAFLOPS_AT_352 = 26.0  # of a forward pass, for one image; a training step takes three of them


def gigaflops(side: int) -> float:
    """Of a forward pass of one image: convolutions grow with the area."""
    return GIGAFLOPS_AT_352 * (side / 352) ** 2


def realistic(variables: Variables) -> Variables:
    """Nothing switched off, and activations of moderate size."""
    rng = np.random.default_rng(0)

    def value(path: tuple, leaf: np.ndarray) -> np.ndarray:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name.endswith(("alpha", "beta")):
            return np.float32(0.5) + leaf
        if name.endswith("bn3/scale"):
            return leaf * np.float32(0.2)  # else sixteen residual blocks add up
        if name.endswith(("mean", "bias")):
            return rng.normal(0, 0.1, leaf.shape).astype(np.float32)
        return leaf

    return jax.tree_util.tree_map_with_path(value, variables)


def random_batch(batch: int, side: int) -> dict[str, np.ndarray]:
    """uint8 images and masks."""
    rng = np.random.default_rng(side)
    return {
        "image": rng.integers(0, 256, (batch, side, side, 3), np.uint8),
        "mask": np.where(rng.random((batch, side, side)) > 0.7, 255, 0).astype(np.uint8),
    }


class Ours:
    """The step of configs/r50.py on one device, as a peer has it."""

    def __init__(self, dtype: str) -> None:
        """From `realistic` weights."""
        config = r50.get_config()
        self.network = build_network(config.model, dtype=dtype)
        self.variables = realistic(self.network.initialize(0))
        # Over so many steps the learning rate is the peer's, a constant.
        config.train.update(
            lr=RATE, lr_backbone=RATE, warmup=0.0, momentum=MOMENTUM, weight_decay=DECAY
        )
        self.optimizer, rates = make_optimizer(config.train, self.network, total_steps=10**9)
        self.mesh = make_mesh(jax.devices()[:1])
        state = init_state(self.variables, self.optimizer)
        self.state = jax.device_put(state, replicated_sharding(self.mesh))
        self.step = make_train_step(
            self.network,
            self.optimizer,
            class_loss,
            train=config.train,
            rates=rates,
            mesh=self.mesh,
        )

    def run(self, batch: dict[str, np.ndarray]) -> float:
        """One step; gives its loss."""
        self.state, metrics = self.step(self.state, put_batch(batch, self.mesh))
        return float(metrics["loss"])

    def compiled(self, batch: dict[str, np.ndarray]) -> jax.stages.Compiled:
        """The step's program for such a batch, to be asked about itself."""
        return self.step.lower(self.state, put_batch(batch, self.mesh)).compile()  # type: ignore[attr-defined]


def temporary_mib(compiled: jax.stages.Compiled) -> float:
    """What a program needs beside its arguments and results, by the compiler's own analysis."""
    return compiled.memory_analysis().temp_size_in_bytes / 2**20


def peak_mib() -> float | None:
    """The most that the first device has held so far; None where it does not count (CPUs)."""
    statistics = jax.devices()[0].memory_stats() or {}
    peak = statistics.get("peak_bytes_in_use")
    return None if peak is None else peak / 2**20

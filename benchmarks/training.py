"""Training steps (forward, backward, update), ours beside PyTorch's, on the device at hand.

    python -m benchmarks.training

ResNet-50 from the same weights. On a CPU: float32, batch 2 at 224² and 352². On a GPU: bfloat16,
batch 32, 64 and 128 at 352², where PyTorch has channels_last, autocast and torch.compile. Ours also
with the five sizes mixed as training mixes them, where a GPU or TPU is at hand. Needs
`pip install torch`. About two minutes on two cores. Fails where the first losses differ.
"""

import statistics
import time
from collections.abc import Callable

import jax
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.inference import realistic
from benchmarks.record import Row, cpu, record
from benchmarks.torch_peer import TorchClass, load
from class_jax.data.feed import size_of_batch
from class_jax.losses import OBJECT_EPSILON, REGION_EPSILON, WINDOW, class_loss
from class_jax.models.build import build_network
from class_jax.models.network import RGB_MEAN, RGB_STD
from class_jax.sharding import make_mesh, put_batch, replicated
from class_jax.training.optimizer import sgd
from class_jax.training.state import initial_state
from class_jax.training.step import make_train_step
from configs import r50

PAIRS, STEPS = 3, 2  # steps in each measurement
RATE, MOMENTUM, DECAY = 1e-4, 0.9, 5e-4
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}  # of the first loss, relative
GIGAFLOPS_AT_352 = 78.0  # of a training step, for one image


def random_batch(batch: int, side: int) -> dict[str, np.ndarray]:
    """uint8 images and masks."""
    rng = np.random.default_rng(side)
    return {
        "image": rng.integers(0, 256, (batch, side, side, 3), np.uint8),
        "mask": np.where(rng.random((batch, side, side)) > 0.7, 255, 0).astype(np.uint8),
    }


def torch_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Eq. 14 and 15."""
    masks = masks.expand_as(logits)
    maps = torch.sigmoid(logits)
    pixel = F.binary_cross_entropy_with_logits(logits, masks, reduction="none").mean(dim=(2, 3))
    mean_s, mean_g = (F.avg_pool2d(x, WINDOW, stride=1) for x in (maps, masks))
    sigma_s, sigma_g = (
        ((F.avg_pool2d(x**2, WINDOW, stride=1) - mean**2).clamp(min=0) + REGION_EPSILON).sqrt()
        for x, mean in ((maps, mean_s), (masks, mean_g))
    )
    region = ((mean_s - mean_g) ** 2 + (sigma_s - sigma_g) ** 2).mean(dim=(2, 3))
    hits = (maps * masks).sum(dim=(2, 3))
    precision = hits / (maps.sum(dim=(2, 3)) + OBJECT_EPSILON)
    recall = hits / (masks.sum(dim=(2, 3)) + OBJECT_EPSILON)
    objects = 1 - 1.3 * precision * recall / (0.3 * precision + recall + OBJECT_EPSILON)
    weights = 0.5 ** torch.arange(len(logits), device=logits.device)
    return (weights * (pixel + region + objects).mean(dim=1)).sum()


class Ours:
    """Our step on all devices."""

    def __init__(self, dtype: str) -> None:
        """From `realistic` weights."""
        self.network = build_network(r50.get_config().model, dtype=dtype)
        self.variables = realistic(self.network.initialize(0))
        rate = lambda step: RATE  # noqa: E731 - a schedule
        optimizer = sgd(rate, rate, momentum=MOMENTUM, nesterov=False, weight_decay=DECAY)
        self.mesh = make_mesh()
        self.state = jax.device_put(initial_state(self.variables, optimizer), replicated(self.mesh))
        self.step = make_train_step(
            self.network, optimizer, class_loss, lr=rate, lr_backbone=rate, mesh=self.mesh
        )

    def run(self, batch: dict[str, np.ndarray]) -> float:
        """One step; gives its loss."""
        self.state, metrics = self.step(self.state, put_batch(batch, self.mesh))
        return float(metrics["loss"])

    def temporary_bytes(self, batch: dict[str, np.ndarray]) -> int:
        """What a step needs beside its state, by the compiler's own analysis."""
        compiled = self.step.lower(self.state, put_batch(batch, self.mesh)).compile()  # type: ignore[attr-defined]
        return compiled.memory_analysis().temp_size_in_bytes


class Peer:
    """PyTorch's step."""

    def __init__(self, ours: Ours, dtype: str) -> None:
        """From our weights."""
        model = r50.get_config().model
        self.device = "cuda" if jax.default_backend() == "gpu" else "cpu"
        network = load(TorchClass(model.stage_sizes, model.width, model.features), ours.variables)
        self.network = network.train().to(self.device, memory_format=torch.channels_last)
        self.forward = torch.compile(self.network) if self.device == "cuda" else self.network
        self.half = dtype == "bfloat16"
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), RATE, momentum=MOMENTUM, weight_decay=DECAY
        )

    def run(self, batch: dict[str, np.ndarray]) -> float:
        """One step; gives its loss."""
        images = torch.tensor(batch["image"]).to(self.device).permute(0, 3, 1, 2).float()
        mean, std = (
            torch.tensor(x, device=self.device)[:, None, None] for x in (RGB_MEAN, RGB_STD)
        )
        images = ((images - mean) / std).contiguous(memory_format=torch.channels_last)
        masks = torch.tensor(batch["mask"]).to(self.device).float() / 255
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            logits = self.forward(images)
        loss = torch_loss(logits.float(), masks)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def seconds_of(run: Callable[[], object]) -> float:
    """Seconds that a run takes."""
    start = time.perf_counter()
    for _ in range(STEPS):
        run()
    return (time.perf_counter() - start) / STEPS


def compare(batch_size: int, side: int, dtype: str, device: str) -> list[Row]:
    """Images a second of both, and the memory of ours."""
    ours = Ours(dtype)
    peer = Peer(ours, dtype)
    batch = random_batch(batch_size, side)
    first, expected = ours.run(batch), peer.run(batch)
    if not abs(first - expected) < TOLERANCE[dtype] * expected:
        raise SystemExit(f"the first losses differ: {first} ours, {expected} PyTorch's")
    pairs = [(seconds_of(lambda: ours.run(batch)), seconds_of(lambda: peer.run(batch)))
             for _ in range(PAIRS)]  # fmt: skip
    speeds = [batch_size / statistics.median(times) for times in zip(*pairs, strict=True)]
    ratio = statistics.median(theirs / mine for mine, theirs in pairs)
    title = f"training step, {side}x{side}, batch {batch_size}, {dtype}"
    rate = speeds[0] * GIGAFLOPS_AT_352 * (side / 352) ** 2 / 1000
    return [
        Row(title, device, "images/s", *speeds, ratio),
        Row(f"{title}: 78 GFLOP an image at 352²", device, "TFLOP/s", rate),
        Row(f"{title}: memory", device, "MiB", ours.temporary_bytes(batch) / 2**20),
    ]


def mixed(batch_size: int, device: str) -> Row:
    """Images a second of ours with the five sizes drawn for each batch, after all are compiled."""
    ours, sizes = Ours("bfloat16"), r50.get_config().data.image_sizes
    of_size = {side: random_batch(batch_size, side) for side in sizes}
    for batch in of_size.values():
        ours.run(batch)
    steps = 50
    start = time.perf_counter()
    for step in range(steps):
        ours.run(of_size[size_of_batch(step, sizes, seed=0)])
    speed = steps * batch_size / (time.perf_counter() - start)
    return Row(
        f"training step, five sizes mixed, batch {batch_size}, bfloat16", device, "images/s", speed
    )


def main() -> None:
    """Measure, and write the rows."""
    if jax.default_backend() == "cpu":
        cases = [(2, 224, "float32"), (2, 352, "float32")]
        rows = [row for case in cases for row in compare(*case, cpu())]
    else:
        device = jax.devices()[0].device_kind
        rows = [row for batch in (32, 64, 128) for row in compare(batch, 352, "bfloat16", device)]
        rows.append(mixed(32, device))
    record("training", rows, ("jax", "flax", "optax", "torch"))


if __name__ == "__main__":
    main()

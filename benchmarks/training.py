"""Training steps (forward, backward, update), ours beside PyTorch's, on the device at hand.

    python -m benchmarks.training

ResNet-50 from the same weights. On a CPU: batch 2 at 224² and 352², and once in bfloat16. On a GPU:
bfloat16, batch 32, 64 and 128 at 352², where PyTorch has channels_last, autocast and torch.compile
(a program for each shape). On a TPU there is no peer. Also with the five sizes mixed as training
mixes them. Needs `pip install torch`. About four minutes on two cores, ten on a GPU, most of them
compilation. Fails where the first losses differ.
"""

import functools
import itertools
import statistics
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.ours import (
    DECAY,
    MOMENTUM,
    RATE,
    Ours,
    gigaflops,
    peak_mib,
    random_batch,
    temporary_mib,
)
from benchmarks.record import Row, against_peer, device, interleaved, record
from benchmarks.torch_peer import TorchClass, compile_on_gpu, device_of_peer, load
from class_jax.command.process import tune_allocator
from class_jax.data.feed import size_of_batch
from class_jax.losses import OBJECT_EPSILON, REGION_EPSILON, WINDOW, class_loss
from class_jax.models.layers import RGB_MEAN, RGB_STD
from class_jax.models.network import Tree, Variables
from class_jax.training.step import make_gradient
from configs import r50

ROUNDS = 3
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}  # of the first loss, relative
MIXED_STEPS = {"cpu": 5, "gpu": 50, "tpu": 50}


def torch_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Compute the loss of eq. 14 and 15 in PyTorch."""
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


class Peer:
    """A training step in PyTorch."""

    def __init__(self, ours: Ours, dtype: str) -> None:
        """Start from the weights of `ours`."""
        model = r50.get_config().model
        self.device = device_of_peer()
        network = load(TorchClass(model.stage_sizes, model.width, model.features), ours.variables)
        self.network = network.train().to(self.device, memory_format=torch.channels_last)
        self.forward = compile_on_gpu(self.network)
        self.half = dtype == "bfloat16"
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), RATE, momentum=MOMENTUM, weight_decay=DECAY
        )

    def run(self, batch: dict[str, np.ndarray]) -> float:
        """Run one step and return its loss."""
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


def peers_of(ours: Ours, dtype: str) -> list[Peer]:
    """Return PyTorch's step, or nothing if PyTorch cannot use the same device."""
    return [] if jax.default_backend() == "tpu" else [Peer(ours, dtype)]


def compare(batch_size: int, side: int, dtype: str) -> list[Row]:
    """Measure images a second of both, the memory of ours, and its parts on a CPU.

    Elsewhere `benchmarks.profile` tells the parts, of one program.
    """
    ours = Ours(dtype)
    peers = peers_of(ours, dtype)
    batch = random_batch(batch_size, side)
    first = ours.run(batch)
    for expected in (peer.run(batch) for peer in peers):
        if not abs(first - expected) < TOLERANCE[dtype] * expected:
            raise SystemExit(f"the first losses differ: {first} ours, {expected} PyTorch's")
    runs = [functools.partial(runner.run, batch) for runner in (ours, *peers)]
    times = interleaved(*runs, rounds=ROUNDS)
    title = f"training step, {side}x{side}, batch {batch_size}, {dtype}"
    whole = against_peer(title, batch_size, times)
    teraflops = whole.ours * 3 * gigaflops(side) / 1000
    rows = [
        whole,
        Row(f"{title}: 78 GFLOP an image at 352²", device(), "TFLOP/s", teraflops),
        *(parts(ours, batch, title) if jax.default_backend() == "cpu" else ()),
        Row(f"{title}: temporary memory", device(), "MiB", temporary_mib(ours.compiled(batch))),
    ]
    if (peak := peak_mib()) is not None:
        theirs = torch.cuda.max_memory_allocated() / 2**20 if peers else None
        rows.append(Row(f"{title}: peak memory so far", device(), "MiB", peak, theirs))
    return rows


def parts(ours: Ours, batch: dict[str, np.ndarray], title: str) -> list[Row]:
    """Measure the seconds of forward pass with loss, backward pass, and update."""
    variables, examples = jax.device_put((ours.variables, batch))

    @jax.jit
    def loss(variables: Variables, batch: dict[str, jax.Array]) -> jax.Array:
        logits, _ = ours.network.apply_train(variables, batch["image"])
        return class_loss(logits, batch["mask"].astype(jnp.float32) / 255)[0]

    @jax.jit
    def update(grads: Tree, opt_state: optax.OptState, params: Tree) -> tuple[Tree, Tree]:
        updates, opt_state = ours.optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    gradient = jax.jit(make_gradient(ours.network, class_loss))
    grads, _, _ = gradient(variables, examples)
    runs = [
        lambda: jax.block_until_ready(loss(variables, examples)),
        lambda: jax.block_until_ready(gradient(variables, examples)),
        lambda: jax.block_until_ready(
            update(grads, ours.state.opt_state, ours.state.variables.params)
        ),
    ]
    columns = zip(*interleaved(*runs, rounds=ROUNDS), strict=True)
    forward, both, last = (statistics.median(column) for column in columns)
    seconds = {"forward": forward, "backward": both - forward, "update": last}
    return [Row(f"{title}: {name}", device(), "s", value) for name, value in seconds.items()]


def mixed(batch_size: int, dtype: str) -> Row:
    """Measure both with the five sizes mixed, after all are compiled."""
    ours, sizes = Ours(dtype), r50.get_config().data.image_sizes
    both = [ours, *peers_of(ours, dtype)]
    of_size = {side: random_batch(batch_size, side) for side in sizes}
    for runner, batch in itertools.product(both, of_size.values()):
        runner.run(batch)
    steps = MIXED_STEPS[jax.default_backend()]

    def some_steps(run: Callable[[dict[str, np.ndarray]], float], rounds: Iterator[int]) -> None:
        first = next(rounds)
        for step in range(first, first + steps):
            run(of_size[size_of_batch(step, sizes, seed=0)])

    # A count for either, so that both get the same sizes.
    runs = [functools.partial(some_steps, runner.run, itertools.count(step=steps))
            for runner in both]  # fmt: skip
    times = interleaved(*runs, rounds=ROUNDS)
    name = f"training step, five sizes mixed, batch {batch_size}, {dtype}"
    return against_peer(name, steps * batch_size, times)


# Batch, side, dtype.
ON_CPU = ((2, 224, "float32"), (2, 352, "float32"), (2, 224, "bfloat16"))
ELSEWHERE = tuple((batch, 352, "bfloat16") for batch in (32, 64, 128))


def main() -> None:
    """Measure case by case, writing rows at once: the next case may run out of memory."""
    packages = ("jax", "flax", "optax", "torch")
    on_cpu = jax.default_backend() == "cpu"
    for case in ON_CPU if on_cpu else ELSEWHERE:
        record("training", compare(*case), packages)
    record("training", [mixed(2, "float32") if on_cpu else mixed(32, "bfloat16")], packages)


if __name__ == "__main__":
    tune_allocator()  # as the program does
    main()

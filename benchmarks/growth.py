"""How time and memory grow with the image's side and with the batch.

    python -m benchmarks.growth

The forward pass at 224 to 704 px and training steps at some of them, of configs/r50.py, on the
device at hand. About a minute on two cores.
"""

import jax

from benchmarks.ours import Ours, gigaflops, random_batch, temporary_mib
from benchmarks.record import Row, device, interleaved, record

SIDES = (224, 288, 352, 448, 544, 704)
ON_CPU = {"forward": 1, "sides": (352, 544), "step": 1, "batches": (1, 2, 4, 8)}
ELSEWHERE = {"forward": 16, "sides": SIDES[1:], "step": 16, "batches": (8, 16, 32, 64, 128)}


def speed(name: str, images: int, side: int, seconds: float, passes: int) -> list[Row]:
    """Return rows of images and of operations a second, by the network's count."""
    rate = images / seconds
    return [
        Row(name, device(), "images/s", rate),
        Row(f"{name}: arithmetic", device(), "GFLOP/s", rate * passes * gigaflops(side)),
    ]


def forward(ours: Ours, batch: int, side: int) -> list[Row]:
    """Measure the forward pass."""
    images = jax.device_put(random_batch(batch, side)["image"])
    apply = jax.jit(ours.network.apply)
    variables = ours.state.variables
    ((seconds,), *_) = interleaved(
        lambda: jax.block_until_ready(apply(variables, images)), rounds=1, at_least=2
    )
    return speed(f"forward, {side}x{side}, batch {batch}", batch, side, seconds, 1)


def step(ours: Ours, batch: int, side: int) -> list[Row]:
    """Measure a training step and its memory."""
    examples = random_batch(batch, side)
    ((seconds,), *_) = interleaved(lambda: ours.run(examples), rounds=1, at_least=2)
    name = f"training step, {side}x{side}, batch {batch}"
    memory = temporary_mib(ours.compiled(examples))
    return [
        *speed(name, batch, side, seconds, 3),
        Row(f"{name}: temporary memory", device(), "MiB", memory),
    ]


def main() -> None:
    """Measure and write the rows."""
    on_cpu = jax.default_backend() == "cpu"
    cases = ON_CPU if on_cpu else ELSEWHERE
    ours = Ours("float32" if on_cpu else "bfloat16")
    rows = [row for side in SIDES for row in forward(ours, cases["forward"], side)]
    for side in cases["sides"]:
        rows += step(ours, cases["step"], side)
    for batch in cases["batches"]:
        rows += step(ours, batch, 224)
    record("growth", rows, ("jax", "flax"))


if __name__ == "__main__":
    main()

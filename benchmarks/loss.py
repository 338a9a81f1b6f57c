"""The loss alone, its share of a step, and its separable windows against square ones.

    python -m benchmarks.loss

Forward and backward at 352² on the CPU or device at hand. About two minutes on
two cores.
"""

import statistics

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.ours import Ours, random_batch
from benchmarks.record import Row, against_peer, device, interleaved, record
from class_jax import losses
from class_jax.command.process import tune_allocator

BATCH, SIDE, STAGES = 8, 352, 4


def square_window_means(x: jax.Array) -> jax.Array:
    """Compute `losses.window_means` by one pass over 11×11 windows, as the paper suggests."""
    window = (*(1,) * (x.ndim - 2), losses.WINDOW, losses.WINDOW)
    sums = lax.reduce_window(x, 0.0, lax.add, window, (1,) * x.ndim, "VALID")
    return sums / losses.WINDOW**2


def main() -> None:
    """Measure and write the rows."""
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(STAGES, BATCH, SIDE, SIDE)), jnp.float32)
    masks = jnp.asarray(rng.random((BATCH, SIDE, SIDE)) > 0.7, jnp.float32)
    gradient = jax.jit(jax.grad(lambda x, g: losses.class_loss(x, g)[0]))
    maps = jax.nn.sigmoid(logits)
    means = [
        jax.jit(jax.grad(lambda x, f=f: (f(x) ** 2).sum()))
        for f in (losses.window_means, square_window_means)
    ]
    runs = [
        lambda: jax.block_until_ready(gradient(logits, masks)),
        *(lambda f=f: jax.block_until_ready(f(maps)) for f in means),
    ]
    times = interleaved(*runs)
    whole = statistics.median(row[0] for row in times)
    ours = Ours("float32" if jax.default_backend() == "cpu" else "bfloat16")
    batch = random_batch(BATCH, SIDE)
    ((step,),) = interleaved(lambda: ours.run(batch), rounds=1)
    title = f"{BATCH} images of {SIDE}x{SIDE}, {STAGES} stages"
    rows = [
        Row(f"loss and its gradient, {title}", device(), "images/s", BATCH / whole),
        Row("loss and its gradient: share of a training step", device(), "1", whole / step),
        against_peer(
            "window means and their gradient (peer: square windows)",
            BATCH,
            [row[1:] for row in times],
        ),
    ]
    record("loss", rows, ("jax", "numpy"))


if __name__ == "__main__":
    tune_allocator()  # as the program does
    main()

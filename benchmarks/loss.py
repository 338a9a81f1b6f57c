"""The loss alone, and its separable windows against square ones.

    python -m benchmarks.loss

Forward and backward at 352² on the CPU or device at hand. About two minutes on
two cores.
"""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.record import Row, cpu, record
from class_jax import losses

BATCH, SIDE, STAGES = 8, 352, 4
PAIRS = 5


def square_window_means(x: jax.Array) -> jax.Array:
    """As `losses.window_means`, by one pass over 11×11 windows: what the paper's text suggests."""
    window = (*(1,) * (x.ndim - 2), losses.WINDOW, losses.WINDOW)
    sums = lax.reduce_window(x, 0.0, lax.add, window, (1,) * x.ndim, "VALID")
    return sums / losses.WINDOW**2


def seconds_of(run: Callable[[], object]) -> float:
    """Seconds that a run takes, the first one left out."""
    run()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Measure, and write the rows."""
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(STAGES, BATCH, SIDE, SIDE)), jnp.float32)
    masks = jnp.asarray(rng.random((BATCH, SIDE, SIDE)) > 0.7, jnp.float32)
    gradient = jax.jit(jax.grad(lambda x: losses.class_loss(x, masks)[0]))
    maps = jax.nn.sigmoid(logits)
    means = [
        jax.jit(jax.grad(lambda x, f=f: (f(x) ** 2).sum()))
        for f in (losses.window_means, square_window_means)
    ]
    separable, square = (
        statistics.median(
            seconds_of(lambda f=f: jax.block_until_ready(f(maps))) for _ in range(PAIRS)
        )
        for f in means
    )
    whole = statistics.median(
        seconds_of(lambda: jax.block_until_ready(gradient(logits))) for _ in range(PAIRS)
    )
    device = cpu() if jax.default_backend() == "cpu" else jax.devices()[0].device_kind
    title = f"{BATCH} images of {SIDE}x{SIDE}, {STAGES} stages"
    rows = [
        Row(f"loss and its gradient, {title}", device, "images/s", BATCH / whole),
        Row(
            "window means and their gradient (peer: square windows)",
            device,
            "images/s",
            BATCH / separable,
            BATCH / square,
            square / separable,
        ),
    ]
    record("loss", rows, ("jax", "numpy"))


if __name__ == "__main__":
    main()

"""Depthwise convolutions of the light backbone: ours against `lax.conv_general_dilated`.

    python -m benchmarks.depthwise

The peer is what every other device than a CPU computes. Half a minute on two cores.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.record import against_peer, interleaved, record
from class_jax.command.process import tune_allocator
from class_jax.models.depthwise import convolve_grouped, depthwise_convolve

BATCH, SIDE, CHANNELS, SIZE = 16, 14, 672, 5  # of the sixth stage at 224 pixels


def main() -> None:
    """Measure and write the rows."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(BATCH, SIDE, SIDE, CHANNELS)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(SIZE, SIZE, 1, CHANNELS)), jnp.float32)
    forms = [functools.partial(form, stride=1) for form in (depthwise_convolve, convolve_grouped)]
    values = [jax.jit(form) for form in forms]
    gradients = [
        jax.jit(jax.grad(lambda x, k, f=form: (f(x, k) ** 2).sum(), argnums=(0, 1)))
        for form in forms
    ]
    times = interleaved(
        *(lambda f=f: jax.block_until_ready(f(x, kernel)) for f in (*values, *gradients))
    )
    title = f"depthwise {SIZE}x{SIZE}, {CHANNELS} channels of {SIDE}x{SIDE}"
    rows = [
        against_peer(f"{title} (peer: one group a channel)", BATCH, [row[:2] for row in times]),
        against_peer(
            f"{title}, with gradients (peer: one group a channel)",
            BATCH,
            [row[2:] for row in times],
        ),
    ]
    record("depthwise", rows, ("jax", "numpy"))


if __name__ == "__main__":
    tune_allocator()  # as the program does
    main()

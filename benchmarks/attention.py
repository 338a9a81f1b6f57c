"""Cost of both attentions as the input grows, forward and backward.

    python -m benchmarks.attention

Position attention between level 5 and levels 4, 3 and 2 of a ResNet at 224 to 704 px: its matrix
has N_h · N_l entries, quadratic in the image's area. The peer is `jax.nn.dot_product_attention`, on
GPUs by cuDNN's fused kernel, and the gradients are compared. Channel attention grows with the area
alone. About a minute on two cores.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.ours import temporary_mib
from benchmarks.record import Row, against_peer, device, interleaved, record
from class_jax.models.attention import channel_attention, position_attention

SIDES = (224, 352, 480, 704)
STRIDES = (16, 8, 4)  # of levels 4, 3, 2; level 5 has 32
FEATURES = 64
Attention = Callable[..., jax.Array]


def fused(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """Return position attention by `jax.nn.dot_product_attention` with one head."""
    kernel = "cudnn" if jax.default_backend() == "gpu" else None
    heads = (array[:, :, None] for array in (query, key, value))
    return jax.nn.dot_product_attention(*heads, scale=1.0, implementation=kernel)[:, :, 0]


def gradient_of(attention: Attention) -> Attention:
    """Return the gradient of the mean square over all three levels, by all inputs."""

    def loss(high: jax.Array, lows: list[tuple[jax.Array, ...]]) -> jax.Array:
        outputs = (attention(high, *low) for low in lows)
        return sum((out.astype(jnp.float32) ** 2).mean() for out in outputs)

    return jax.jit(jax.grad(loss, argnums=(0, 1)))


def inputs(
    side: int, batch: int, dtype: jnp.dtype
) -> tuple[jax.Array, list[tuple[jax.Array, ...]]]:
    """Draw queries of level 5, and keys and values of levels 4, 3 and 2."""
    rng = np.random.default_rng(side)

    def draw(stride: int, scale: float) -> jax.Array:
        positions = (side // stride) ** 2
        return jnp.asarray(rng.normal(0, scale, (batch, positions, FEATURES)), dtype)

    return draw(32, 0.3), [(draw(stride, 0.3), draw(stride, 1.0)) for stride in STRIDES]


def position(side: int, batch: int, dtype: jnp.dtype) -> list[Row]:
    """Measure time and memory of position attention beside those of the fused one."""
    arguments = inputs(side, batch, dtype)
    both = [gradient_of(attention) for attention in (position_attention, fused)]
    ours, theirs = (jax.tree.leaves(run(*arguments)) for run in both)
    for mine, other in zip(ours, theirs, strict=True):
        a, b = (np.asarray(x, np.float64) for x in (mine, other))
        if not np.abs(a - b).max() < 0.05 * np.abs(b).max():
            raise SystemExit("the two attentions' gradients differ")
    runs = [functools.partial(lambda f: jax.block_until_ready(f(*arguments)), f) for f in both]
    memory = [temporary_mib(run.lower(*arguments).compile()) for run in both]
    name = f"position attention, {side}x{side}, batch {batch}"
    matrix = sum((side // 32) ** 2 * (side // stride) ** 2 for stride in STRIDES)
    return [
        against_peer(f"{name} (peer: dot_product_attention)", batch, interleaved(*runs, rounds=3)),
        Row(f"{name}: temporary memory", device(), "MiB", *memory, memory[1] / memory[0]),
        Row(f"{name}: one float32 copy of S", device(), "MiB", batch * matrix * 4 / 2**20),
    ]


def channel(side: int, batch: int, dtype: jnp.dtype) -> Row:
    """Measure the time of channel attention over the same three levels."""
    _, lows = inputs(side, batch, dtype)

    def attention(high: jax.Array, low: jax.Array, resized: jax.Array) -> jax.Array:
        del high  # its gradient is zero
        return channel_attention(low, resized)

    gradient = gradient_of(attention)
    run = functools.partial(gradient, lows[0][0], lows)
    ((seconds,), *_) = interleaved(lambda: jax.block_until_ready(run()), rounds=1)
    name = f"channel attention, {side}x{side}, batch {batch}"
    return Row(name, device(), "images/s", batch / seconds)


def main() -> None:
    """Measure and write the rows."""
    on_cpu = jax.default_backend() == "cpu"
    batch, dtype = (2, jnp.float32) if on_cpu else (16, jnp.bfloat16)
    rows = []
    for side in SIDES:
        rows += [*position(side, batch, dtype), channel(side, batch, dtype)]
    record("attention", rows, ("jax", "numpy"))


if __name__ == "__main__":
    main()

"""The same network made of flax's own layers: what a user would write first."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TypeVar
from unittest import mock

import jax
import jax.numpy as jnp
from flax import nnx

from class_jax.models import attention, classnet, efficientnet, fusion, layers, resnet, vgg

MODULES = (attention, classnet, efficientnet, fusion, layers, resnet, vgg)
T = TypeVar("T")


def max_pool(x: jax.Array, size: int) -> jax.Array:
    """Pool windows of 2×2 pixels, or of 3×3 padded by 1, at every second pixel."""
    pad = (0, 0) if size == 2 else (1, 1)
    return nnx.max_pool(x, (size, size), (2, 2), (pad, pad))


def reduce_together(
    block: layers.ConvBnRelu, maps: list[jax.Array], height: int, width: int
) -> jax.Array:
    """Apply a 1×1 block to a concatenation."""
    return block(jnp.concatenate([layers.upsample(x, height, width) for x in maps], axis=-1))


class PositionAttention(attention.PositionAttention):
    """Eq. 1 to 3, with keys and values of all positions."""

    def __call__(self, high: jax.Array, low: jax.Array) -> jax.Array:
        """Apply the layers."""
        query, key, value = self.query(high), self.key(low), self.value(low)
        flat = map(attention.flatten_positions, (query, key, value))
        gathered = attention.position_attention(*flat).reshape(high.shape)
        return self.alpha[...].astype(high.dtype) * gathered + high


def mark(layer: T) -> T:
    """Say how the layer's variables are drawn, as our network asks; nothing draws them here."""
    for _, variable in nnx.iter_graph(layer):
        if isinstance(variable, nnx.Variable):
            variable.set_metadata(initializer=layers.zeros)
    return layer


@contextlib.contextmanager
def flax_layers(dtype: str) -> Iterator[None]:
    """Build networks from flax's layers, which need the compute dtype, inside this context."""

    def conv(
        inputs: int, outputs: int, size: int, *, stride: int = 1, use_bias: bool = False
    ) -> nnx.Conv:
        layer = nnx.Conv(
            inputs, outputs, (size, size), strides=stride, padding=size // 2, use_bias=use_bias,
            dtype=dtype, rngs=nnx.Rngs(0),
        )  # fmt: skip
        return mark(layer)

    def depthwise(features: int, size: int, *, stride: int = 1) -> nnx.Conv:
        layer = nnx.Conv(
            features, features, (size, size), strides=stride, padding="SAME", use_bias=False,
            feature_group_count=features, dtype=dtype, rngs=nnx.Rngs(0),
        )  # fmt: skip
        return mark(layer)

    def batch_norm(features: int, *, epsilon: float = 1e-5) -> nnx.BatchNorm:
        return mark(
            nnx.BatchNorm(features, momentum=0.9, epsilon=epsilon, dtype=dtype, rngs=nnx.Rngs(0))
        )

    replacements: dict[str, Callable] = {
        "Conv": conv,
        "DepthwiseConv": depthwise,
        "BatchNorm": batch_norm,
        "normalize_batch": functools.partial(batch_norm, epsilon=efficientnet.EPSILON),
        "ImageConv": conv,
        "MapConv": conv,
        "max_pool": max_pool,
        "reduce_together": reduce_together,
        "PositionAttention": PositionAttention,
    }
    with contextlib.ExitStack() as stack:
        for module in MODULES:
            for name in replacements.keys() & vars(module).keys():
                stack.enter_context(mock.patch.object(module, name, replacements[name]))
        yield

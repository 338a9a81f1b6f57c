"""The network as pure functions: its parameters are plain nested dictionaries of arrays."""

import dataclasses
import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from class_jax.models.classnet import ClassNet, Decoder, normalize
from class_jax.models.resnet import ResNet
from class_jax.models.vgg import Vgg

Tree = Any  # nested dictionaries of arrays, or of their shapes


class Variables(NamedTuple):
    """What a network computes with: learned parameters and running batch statistics."""

    params: Tree
    batch_stats: Tree


class Network:
    """A CLASS network without its values: a graph definition and the shapes of its variables."""

    def __init__(self, construct: Callable[[], ClassNet]) -> None:
        """`construct` is only traced for shapes; nothing is computed or allocated."""
        # Building eagerly would compile a small kernel for every shape: ten seconds and more.
        module = nnx.eval_shape(construct)
        self.graphdef: nnx.GraphDef[ClassNet] = nnx.graphdef(module)
        self.shapes = Variables(
            nnx.to_pure_dict(nnx.state(module, nnx.Param)),
            nnx.to_pure_dict(nnx.state(module, nnx.BatchStat)),
        )

    def initialize(self, seed: int) -> Variables:
        """Fresh NumPy values: He's normal for convolutions, the usual constants elsewhere.

        Every value depends on the seed and the variable's own name alone: equal on all machines,
        and a module added to the network leaves the others' values as they were.
        """
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: _draw(_name(path), leaf.shape, seed), self.shapes
        )

    def count_parameters(self) -> int:
        """How many numbers training adjusts (batch statistics not counted)."""
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(self.shapes.params))

    def apply_train(self, variables: Variables, images: jax.Array) -> tuple[jax.Array, Tree]:
        """Logits [4, B, H, W] with the batch's own statistics, and the updated batch statistics.

        `images`: RGB, [B, H, W, 3] in 0–255.
        """
        # A copy, because batch norm writes to its statistics, and writing to variables that were
        # made outside a transformed function is an error.
        module = nnx.merge(self.graphdef, *variables, copy=True)
        module.train()
        logits = module(normalize(images))
        return logits, nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))

    def apply(self, variables: Variables, images: jax.Array) -> jax.Array:
        """Logits [4, B, H, W] of RGB images, [B, H, W, 3] in 0–255, with the running statistics."""
        module = nnx.merge(self.graphdef, *variables, copy=True)
        module.eval()
        return module(normalize(images))


def build_network(model: Mapping[str, Any], *, dtype: str) -> Network:
    """The network that the `model` section of a configuration describes.

    Args:
      model: `backbone` ("resnet" or "vgg"), its `stage_sizes` and the `width` of its first stage,
        and every field of `Decoder`.
      dtype: compute dtype, "float32" or "bfloat16"; parameters are float32 in any case.
    """
    settings = Decoder(**{field.name: model[field.name] for field in dataclasses.fields(Decoder)})
    sizes, width, compute = model["stage_sizes"], model["width"], jnp.dtype(dtype)

    def construct() -> ClassNet:
        rngs = nnx.Rngs(0)  # traced for shapes alone
        encoder: ResNet | Vgg
        if model["backbone"] == "vgg":
            encoder = Vgg(group_sizes=sizes, width=width, dtype=compute, rngs=rngs)
        else:
            encoder = ResNet(stage_sizes=sizes, width=width, dtype=compute, rngs=rngs)
        return ClassNet(encoder, settings, dtype=compute, rngs=rngs)

    return Network(construct)


def _name(path: tuple[Any, ...]) -> str:
    """A variable's place in the tree as "params/encoder/conv1/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _draw(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Initial value of the variable `name`, float32."""
    kind = name.rsplit("/", 1)[-1]
    if kind == "kernel":
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        fan_in = math.prod(shape[:-1])
        return rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / fan_in))
    if kind in ("scale", "var"):
        return np.ones(shape, np.float32)
    if kind in ("bias", "mean", "alpha", "beta"):
        return np.zeros(shape, np.float32)
    raise ValueError(f"no initial value is known for {name}")

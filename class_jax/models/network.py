"""The network as pure functions: its parameters are plain nested dictionaries of arrays."""

import dataclasses
import math
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from class_jax.errors import UserError
from class_jax.models.classnet import Attention, ClassNet, DecoderSettings
from class_jax.models.efficientnet import EfficientNet
from class_jax.models.layers import Backbone, BatchNorm
from class_jax.models.resnet import ResNet
from class_jax.models.vgg import Vgg
from class_jax.text import quote

# What config.model.backbone may name.
BACKBONES: dict[str, type[Backbone]] = {
    "resnet": ResNet,
    "vgg": Vgg,
    "efficientnet": EfficientNet,
}
MAX_PARAMETERS = 4_000_000_000
# What config.train.freeze may name: the encoder's parts up to one of them.
FREEZABLE = ("none", "stem", "level2", "level3", "level4", "encoder")

Tree = Any  # nested dictionaries of arrays, or of their shapes


class Variables(NamedTuple):
    """The values of a network: learned parameters and running batch statistics."""

    params: Tree
    batch_stats: Tree


class Frozen(NamedTuple):
    """Prefixes of the parameters and of the batch norms that training holds."""

    params: tuple[str, ...] = ()  # "encoder/layer1/"; they keep their values
    batch_stats: tuple[str, ...] = ()  # they use their running statistics


NOT_FROZEN = Frozen()


def name_of(path: tuple[Any, ...]) -> str:
    """Return the name of a leaf by its path in a tree: "params/encoder/layer1/0/conv1/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def named_leaves(tree: Tree) -> dict[str, Any]:
    """Return all leaves of a tree by name."""
    return {name_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


class Network:
    """A CLASS network without its values: a graph definition and the shapes of its variables."""

    def __init__(self, model: Mapping[str, Any], *, dtype: str) -> None:
        """Build it from shapes alone, see `build_network`; nothing is computed or allocated."""
        self.backbone, self.stage_sizes = BACKBONES[model["backbone"]], model["stage_sizes"]
        self.dtype = jnp.dtype(dtype)
        names = (field.name for field in dataclasses.fields(DecoderSettings))
        settings = DecoderSettings(**{name: model[name] for name in names})
        # Building eagerly would compile a small kernel for every shape: ten seconds and more.
        module = nnx.eval_shape(
            lambda: ClassNet(
                self.backbone(stage_sizes=self.stage_sizes, width=model["width"]), settings
            )
        )
        self.graphdef: nnx.GraphDef[ClassNet] = nnx.graphdef(module)
        params, batch_stats = nnx.state(module, nnx.Param), nnx.state(module, nnx.BatchStat)
        self.shapes = Variables(nnx.to_pure_dict(params), nnx.to_pure_dict(batch_stats))
        self._initializers = {
            "/".join(map(str, (kind, *path))): variable.get_metadata("initializer")
            for kind, state in (("params", params), ("batch_stats", batch_stats))
            for path, variable in nnx.to_flat_state(state)
        }

    def initialize(self, seed: int) -> Variables:
        """Return initial values as NumPy arrays.

        A value depends on the seed and the variable's name alone: it is equal on all machines, and
        a module added to the network leaves the others' values as they were.
        """

        def draw(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
            name = name_of(path)
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
            return self._initializers[name](rng, leaf.shape)

        return jax.tree_util.tree_map_with_path(draw, self.shapes)

    def count_parameters(self) -> int:
        """Return how many numbers training adjusts (batch statistics do not count)."""
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(self.shapes.params))

    def normalize(self, images: jax.Array) -> jax.Array:
        """Return RGB 0-255, any dtype, [..., 3], as the backbone was trained to see it."""
        mean, std = jnp.array(self.backbone.MEAN), jnp.array(self.backbone.STD)
        return ((images.astype(jnp.float32) - mean) / std).astype(self.dtype)

    def freeze(self, last: str, *, statistics: bool) -> Frozen:
        """Return the frozen part of the encoder: all up to `last` of FREEZABLE.

        `statistics`: all batch norms of the encoder use their running statistics.
        """
        parts = self.backbone.PARTS[: FREEZABLE.index(last)]
        prefixes = tuple(f"encoder/{prefix}/" for part in parts for prefix in part)
        return Frozen(prefixes, ("encoder/",) if statistics else prefixes)

    def apply_train(
        self, variables: Variables, images: jax.Array, *, frozen: Frozen = NOT_FROZEN
    ) -> tuple[jax.Array, Tree]:
        """Return logits by the batch's own statistics, and the updated running statistics.

        Args:
          variables: values of the network.
          images: RGB, [B, H, W, 3] in 0-255.
          frozen: the parts that have no gradient or use their running statistics.

        Returns:
          Logits, float32 [4, B, H, W], the finest stage first; and batch statistics.
        """
        params = jax.tree_util.tree_map_with_path(
            lambda path, leaf: (
                jax.lax.stop_gradient(leaf) if name_of(path).startswith(frozen.params) else leaf
            ),
            variables.params,
        )
        module = self._merge(variables._replace(params=params))
        module.train()
        for path, part in nnx.iter_modules(module):
            name = "/".join([*map(str, path), ""])
            if isinstance(part, BatchNorm) and name.startswith(frozen.batch_stats):
                part.eval()
        logits = module(self.normalize(images))
        return logits, nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))

    def apply(self, variables: Variables, images: jax.Array) -> jax.Array:
        """Return logits, float32 [4, B, H, W], of RGB images, [B, H, W, 3] in 0-255.

        Running statistics are used, so that an image's logits do not depend on the others.
        """
        return self._merge_eval(variables)(self.normalize(images))

    def predict(self, variables: Variables, images: jax.Array) -> jax.Array:
        """Return the finest stage's logits alone, float32 [B, H, W], as `apply`."""
        return self._merge_eval(variables).predict(self.normalize(images))

    def attend(self, variables: Variables, images: jax.Array) -> list[Attention]:
        """Return the attention weights at levels 2, 3, 4 of images as `apply` takes them."""
        return self._merge_eval(variables).attend(self.normalize(images))

    def _merge_eval(self, variables: Variables) -> ClassNet:
        module = self._merge(variables)
        module.eval()
        return module

    def _merge(self, variables: Variables) -> ClassNet:
        # A copy: batch norm writes to its statistics, and NNX forbids writing to variables that
        # were made outside a transformed function.
        return nnx.merge(self.graphdef, *variables, copy=True)


def build_network(model: Mapping[str, Any], *, dtype: str) -> Network:
    """Build the network that the `model` section of a configuration describes.

    Args:
      model: `backbone` of BACKBONES, its `stage_sizes` and `width`, and every field of
        `DecoderSettings`.
      dtype: compute dtype, "float32" or "bfloat16"; parameters are float32 in any case.

    Raises:
      UserError: values contradict each other, or it would have more parameters than MAX_PARAMETERS.
    """
    check_model(model)
    network = Network(model, dtype=dtype)
    if (count := network.count_parameters()) > MAX_PARAMETERS:
        raise UserError(
            f"the model has {count:,} parameters, and {MAX_PARAMETERS:,} at most can be used: "
            "reduce its width or its features."
        )
    return network


def check_model(model: Mapping[str, Any]) -> None:
    """Raise UserError for values of the section `model` that contradict each other."""
    backbone, sizes = model["backbone"], model["stage_sizes"]
    if backbone not in BACKBONES:
        raise UserError(
            f'config.model.backbone = "{backbone}": expected one of {", ".join(BACKBONES)}.'
        )
    stages = BACKBONES[backbone].NUM_STAGES
    if len(sizes) != stages:
        raise UserError(
            f"config.model.stage_sizes = {quote(sizes)}: a {backbone} has {stages} stages."
        )


def describe_difference(wanted: Tree, stored: Tree) -> str:
    """Say which arrays of two trees differ in name or shape; "" if none do."""
    ours, theirs = (
        {name: tuple(leaf.shape) for name, leaf in named_leaves(tree).items()}
        for tree in (wanted, stored)
    )
    names = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
    if not names:
        return ""
    found, expected = (shapes.get(names[0], "absent") for shapes in (theirs, ours))
    return f"{len(names)} arrays differ, the first is {names[0]} ({found} there, {expected} here)"

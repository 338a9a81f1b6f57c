"""Validation on the device: MAE and the F-measure curve, exact over a padded last batch.

The figures follow PySODMetrics (min–max stretched 8-bit maps, masks above 128, β² = 0.3), at the
size the network works at and not at the images' own; published numbers come from evaluation.
"""

from collections.abc import Callable, Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from class_jax.models.network import Network, Variables
from class_jax.sharding import batch_sharding, put_batch, replicated_sharding

BETA_SQUARED = 0.3
Sums = dict[str, jax.Array]
ValidationStep = Callable[[Variables, Mapping[str, jax.Array]], tuple[Sums, jax.Array]]


def stretch(maps: jax.Array) -> jax.Array:
    """Maps in 0–1, [B, H, W] → int32 0–255, each stretched to the full range unless constant."""
    levels = jnp.round(maps * 255).astype(jnp.int32)
    low = levels.min(axis=(1, 2), keepdims=True)
    high = levels.max(axis=(1, 2), keepdims=True)
    # Whole-number arithmetic: a float32 quotient could fall just below the level it stands for.
    return jnp.where(high > low, (levels - low) * 255 // jnp.maximum(high - low, 1), levels)


def mean_absolute_errors(maps: jax.Array, masks: jax.Array) -> jax.Array:
    """MAE of each image: [B] from maps in 0–1 and boolean masks, both [B, H, W]."""
    levels = jnp.round(maps * 255)
    low = levels.min(axis=(1, 2), keepdims=True)
    span = levels.max(axis=(1, 2), keepdims=True) - low
    stretched = jnp.where(span > 0, (levels - low) / jnp.maximum(span, 1), levels / 255)
    return jnp.abs(stretched - masks).mean(axis=(1, 2))


def f_curves(levels: jax.Array, masks: jax.Array) -> jax.Array:
    """F_β of each image at the thresholds 255 … 0: [B, 256] from [B, H, W] levels and masks."""

    def counts(level: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        inside = jnp.bincount(level.ravel(), weights=mask.ravel(), length=256)
        everywhere = jnp.bincount(level.ravel(), length=256)
        return jnp.cumsum(inside[::-1]), jnp.cumsum(everywhere[::-1])

    hits, marked = jax.vmap(counts)(levels, masks.astype(jnp.float32))
    precision = hits / jnp.maximum(marked, 1)
    recall = hits / jnp.maximum(masks.sum(axis=(1, 2)), 1)[:, None]
    numerator = (1 + BETA_SQUARED) * precision * recall
    return numerator / jnp.where(numerator == 0, 1, BETA_SQUARED * precision + recall)


def make_validation_step(network: Network, mesh: Mesh) -> ValidationStep:
    """A jitted step: sums over a batch's valid images (`images`, `mae`, `f_curve`), and maps."""

    def step(variables: Variables, batch: Mapping[str, jax.Array]) -> tuple[Sums, jax.Array]:
        maps = jax.nn.sigmoid(network.apply(variables, batch["image"])[0])
        masks = batch["mask"] > 128
        valid = batch["valid"]
        curves = f_curves(stretch(maps), masks)
        sums = {
            "images": valid.sum(),
            "mae": jnp.where(valid, mean_absolute_errors(maps, masks), 0).sum(),
            "f_curve": jnp.where(valid[:, None], curves, 0).sum(axis=0),
        }
        return sums, maps

    replicated, sharded = replicated_sharding(mesh), batch_sharding(mesh)
    return jax.jit(step, in_shardings=(replicated, sharded), out_shardings=(replicated, replicated))


def validate(
    step: ValidationStep,
    variables: Variables,
    batches: Iterable[Mapping[str, np.ndarray]],
    mesh: Mesh,
) -> dict[str, float]:
    """`val_mae` and `val_maxF` = max_t mean_i F_i(t) over all valid images of the batches."""
    total: Sums = {}
    for batch in batches:
        sums, _ = step(variables, put_batch(batch, mesh))
        total = jax.tree.map(jnp.add, total, sums) if total else sums
    images = int(total["images"])
    return {
        "val_mae": float(total["mae"]) / images,
        "val_maxF": float(total["f_curve"].max()) / images,
    }

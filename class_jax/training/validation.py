"""Validation on the devices: MAE and the F-measure curve, exact over a padded last batch.

The scores follow PySODMetrics (min–max stretched 8-bit maps, masks above 128, β² = 0.3), at the
size the network works at and not at the images' own; published numbers come from evaluation.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from class_jax.data.check import BETA2, SALIENT_ABOVE
from class_jax.data.feed import eval_batches
from class_jax.data.sheet import Panel, draw_sheet
from class_jax.data.sources import Source
from class_jax.models.network import Network, Variables
from class_jax.sharding import (
    batch_sharding,
    process_rows,
    put_batch,
    replicated_sharding,
    round_up_batch,
)

SHEET_ROWS = 8  # validation images in TensorBoard
Sums = dict[str, jax.Array]


def stretch(maps: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Stretch 8-bit maps [B, H, W] in 0–1, unless constant; also as int32 levels 0–255."""
    levels = jnp.round(maps * 255).astype(jnp.int32)
    low = levels.min(axis=(1, 2), keepdims=True)
    span = levels.max(axis=(1, 2), keepdims=True) - low
    above, whole = jnp.where(span > 0, levels - low, levels), jnp.where(span > 0, span, 255)
    # Integer arithmetic: a float32 quotient could fall just below a whole number.
    return above / whole, above * 255 // whole


def f_curves(levels: jax.Array, masks: jax.Array) -> jax.Array:
    """Return F_β = (1 + β²)·P·R / (β²·P + R) of each image at the thresholds 255 … 0.

    Args:
      levels: int32 [B, H, W] in 0–255.
      masks: boolean, of the same shape.

    Returns:
      [B, 256]; 0 for an empty mask.
    """

    def counts(level: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        inside = jnp.bincount(level.ravel(), weights=mask.ravel(), length=256)
        everywhere = jnp.bincount(level.ravel(), length=256)
        return jnp.cumsum(inside[::-1]), jnp.cumsum(everywhere[::-1])

    hits, marked = jax.vmap(counts)(levels, masks.astype(jnp.float32))
    precision = hits / jnp.maximum(marked, 1)
    recall = hits / jnp.maximum(masks.sum(axis=(1, 2)), 1)[:, None]
    numerator = (1 + BETA2) * precision * recall
    return numerator / jnp.where(numerator == 0, 1, BETA2 * precision + recall)


def make_validation(
    network: Network, source: Source, *, settings: ConfigDict, mesh: Mesh
) -> Callable[[Variables], tuple[dict[str, float], np.ndarray]]:
    """Return a function variables → (scores, contact sheet of the first images).

    The scores are `val_mae` and `val_maxF` = max_t mean_i F_i(t), over all images i.

    `settings`: the `image_size` that `source` is resized to, and a `batch_size`.
    """

    def sum_up(variables: Variables, batch: Mapping[str, jax.Array]) -> tuple[Sums, jax.Array]:
        """Sum the scores of a batch's valid images; return its maps [B, H, W] in 0–1, too."""
        maps = jax.nn.sigmoid(network.predict(variables, batch["image"]))
        masks = batch["mask"] > SALIENT_ABOVE
        valid = batch["valid"]
        stretched, levels = stretch(maps)
        errors = jnp.abs(stretched - masks).mean(axis=(1, 2))
        sums = {
            "images": valid.sum(),
            "mae": jnp.where(valid, errors, 0).sum(),
            "f_curve": jnp.where(valid[:, None], f_curves(levels, masks), 0).sum(axis=0),
        }
        return sums, maps

    replicated, sharded = replicated_sharding(mesh), batch_sharding(mesh)
    step = jax.jit(sum_up, in_shardings=(replicated, sharded), out_shardings=replicated)
    batch_size = round_up_batch(settings.batch_size, mesh)
    rows = process_rows(batch_size, mesh)

    def validate(variables: Variables) -> tuple[dict[str, float], np.ndarray]:
        batches = eval_batches(source, batch_size=batch_size, size=settings.image_size, rows=rows)
        first = next(batches)
        total, maps = step(variables, put_batch(first, mesh))
        for batch in batches:
            sums, _ = step(variables, put_batch(batch, mesh))
            total = jax.tree.map(jnp.add, total, sums)
        images = int(total["images"])
        scores = {
            "val_mae": float(total["mae"]) / images,
            "val_maxF": float(total["f_curve"].max()) / images,
        }
        return scores, draw_examples(first, np.asarray(maps)[rows.start : rows.stop])

    return validate


def draw_examples(batch: Mapping[str, np.ndarray], maps: np.ndarray) -> np.ndarray:
    """Draw image, mask and map (in 0–1) of the first valid examples."""
    levels = np.rint(np.nan_to_num(maps) * 255).astype(np.uint8)  # a diverged network's are NaN
    # Process 0, which logs it, has valid examples; another one may have nothing but padding.
    count = max(1, min(SHEET_ROWS, int(batch["valid"].sum())))
    rows = list(zip(batch["image"], batch["mask"], levels, strict=True))[:count]
    return draw_sheet([[Panel(pixels) for pixels in row] for row in rows])

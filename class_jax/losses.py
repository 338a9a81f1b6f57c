"""Cross-level supervision (paper §3.4): pixel, region and object losses, and their sum.

All losses take logits or maps S and masks G of shape [..., H, W], in float32, and return one value
per map, [...]; masks may have fewer leading dimensions. They lie in 0–1 and may be soft.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from jax import lax

WINDOW = 11  # side of the region loss's sliding window, in pixels, as in SSIM
REGION_EPSILON = 1e-6
OBJECT_EPSILON = 1e-7
BETA_SQUARED = 0.3


@jax.named_scope("pixel_loss")
def pixel_loss(logits: jax.Array, masks: jax.Array) -> jax.Array:
    """Compute the cross-entropy of pixels (eq. 7), from logits for the sake of precision.

    L = −(1/N) Σ (G log S + (1−G) log(1−S)) over the N pixels.

    Args:
      logits: [..., H, W]; S is their sigmoid.
      masks: G, [..., H, W] in 0–1, or without the first dimensions.

    Returns:
      [...], one value per map.
    """
    return optax.sigmoid_binary_cross_entropy(logits, masks).mean(axis=(-2, -1))


def window_means(x: jax.Array) -> jax.Array:
    """Compute the means of [..., H, W] over all 11×11 windows: [..., H−10, W−10].

    In two 1-D passes: a square window is separable, and 22 additions replace 121.
    """
    leading = (1,) * (x.ndim - 2)
    strides = (1,) * x.ndim
    columns = lax.reduce_window(x, 0.0, lax.add, (*leading, WINDOW, 1), strides, "VALID")
    sums = lax.reduce_window(columns, 0.0, lax.add, (*leading, 1, WINDOW), strides, "VALID")
    return sums / WINDOW**2


@jax.named_scope("region_loss")
def region_loss(maps: jax.Array, masks: jax.Array) -> jax.Array:
    """Compare mean and deviation of 11×11 windows of map and mask (eq. 8 and 9).

    L = (1/M) Σ (μ_S − μ_G)² + (σ_S − σ_G)² over the M windows that lie inside the image, with the
    population standard deviation σ = √(max(E[x²] − μ², 0) + 1e-6). A constant window is the common
    case: without the 1e-6 the gradient of √0 is infinite there, and without the maximum rounding
    makes E[x²] − μ² slightly negative.

    Args:
      maps: S, [..., H, W] in 0–1; H and W at least 11.
      masks: G, of the same shape, or without its first dimensions.

    Returns:
      [...], one value per map.

    Raises:
      ValueError: the maps are smaller than a window.
    """
    if min(maps.shape[-2:]) < WINDOW:
        raise ValueError(f"maps of {maps.shape[-2:]} are smaller than a {WINDOW}x{WINDOW} window")
    mean_s, sigma_s = _window_statistics(maps)
    mean_g, sigma_g = _window_statistics(masks)
    distance = (mean_s - mean_g) ** 2 + (sigma_s - sigma_g) ** 2
    return distance.mean(axis=(-2, -1))


def _window_statistics(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return mean μ and deviation σ of all windows of [..., H, W], each [..., H−10, W−10]."""
    mean, square = window_means(jnp.stack([x, x**2]))
    return mean, jnp.sqrt(jnp.maximum(square - mean**2, 0.0) + REGION_EPSILON)


@jax.named_scope("object_loss")
def object_loss(maps: jax.Array, masks: jax.Array) -> jax.Array:
    """Compute 1 − F_β of soft counts, β² = 0.3 (eq. 10–13).

    TP = Σ S·G, P = TP/(ΣS + ε), R = TP/(ΣG + ε), F = 1.3·P·R / (0.3·P + R + ε), ε = 1e-7. The ε
    in F is not in eq. 12 but in the authors' program: an empty mask would give 0/0.

    Args:
      maps: S, [..., H, W] in 0–1.
      masks: G, of the same shape, or without its first dimensions.

    Returns:
      [...], one value per map; 1 for an empty mask.
    """
    true_positives = (maps * masks).sum(axis=(-2, -1))
    precision = true_positives / (maps.sum(axis=(-2, -1)) + OBJECT_EPSILON)
    recall = true_positives / (masks.sum(axis=(-2, -1)) + OBJECT_EPSILON)
    numerator = (1 + BETA_SQUARED) * precision * recall
    return 1 - numerator / (BETA_SQUARED * precision + recall + OBJECT_EPSILON)


@jax.named_scope("loss")
def class_loss(
    logits: jax.Array,
    masks: jax.Array,
    *,
    losses: Sequence[str] = ("pixel", "region", "object"),
    multi_stage: bool = True,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Sum the losses over stages, the finest weighing most (eq. 14 and 15).

    L = Σ_i (object + region + pixel)_i / 2^(i−1), i = 1 being the finest stage; means over the
    batch.

    Args:
      logits: [K, B, H, W], the finest stage first.
      masks: [B, H, W] in 0–1.
      losses: those to minimise.
      multi_stage: supervise all stages, not the finest alone.

    Returns:
      The scalar to minimise, and the finest stage's `loss_pixel`, `loss_region` and `loss_object`,
      whether they are minimised or not.
    """
    logits = logits.astype(jnp.float32)
    masks = masks.astype(jnp.float32)  # of all stages: their windows are computed once
    maps = jax.nn.sigmoid(logits)
    terms = {
        "pixel": pixel_loss(logits, masks).mean(axis=1),
        "region": region_loss(maps, masks).mean(axis=1),
        "object": object_loss(maps, masks).mean(axis=1),
    }
    per_stage = jnp.stack([terms[name] for name in losses]).sum(axis=0)
    stage_weights = 0.5 ** jnp.arange(logits.shape[0], dtype=jnp.float32)
    total = (stage_weights * per_stage).sum() if multi_stage else per_stage[0]
    return total, {f"loss_{name}": stages[0] for name, stages in terms.items()}

"""Alpha and colours of a cut-out: edges that follow the picture, and no halo of what was behind."""

from collections.abc import Sequence

import cv2
import numpy as np

WORKING_SIDE = 512  # pixels: filters' coefficients are computed on a copy of this size
RADIUS = 0.045  # of the longer side: how far the network's edge may be off
EPSILON = 1e-4  # variance of colours, in 0–1, below which the picture has no edge to follow
CONTRAST = 3.0  # undoes the blur of the filter
FOREGROUND_RADII = (1 / 12, 1 / 48, 1 / 120)  # of the longer side, in successive passes
COARSE_SIDE = 1024  # pixels: the first pass is computed on a copy of this size
STRIP = 512  # rows that the others compute at once


def refine_alpha(image: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """Move the edges of a map to those of the picture: a guided filter, then more contrast.

    The fast guided filter of He & Sun (2015) with a guide of three colours: alpha = a·I + b, where
    a and b are fitted in windows of a smaller copy.

    Args:
      image: uint8 RGB [H, W, 3].
      saliency: float32 [H, W] in 0–1.

    Returns:
      float32 [H, W] in 0–1.
    """
    height, width = saliency.shape
    scale = min(1.0, WORKING_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    guide = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    small = cv2.resize(saliency, size, interpolation=cv2.INTER_AREA)
    slopes, offsets = _fit_locally(guide, small, max(1, round(RADIUS * max(size))))
    slopes = cv2.resize(slopes, (width, height), interpolation=cv2.INTER_LINEAR)
    alpha = cv2.resize(offsets, (width, height), interpolation=cv2.INTER_LINEAR)
    for channel in range(3):
        alpha = alpha + slopes[..., channel] * (image[..., channel] * np.float32(1 / 255))
    return np.clip(CONTRAST * (alpha - 0.5) + 0.5, 0, 1)


def _fit_locally(guide: np.ndarray, values: np.ndarray, radius: int) -> tuple[np.ndarray, ...]:
    """Fit values ≈ a·guide + b in every window; return the windows' mean a [h, w, 3] and b."""
    mean, mean_value = _box(guide, radius), _box(values, radius)
    covariance = _box(guide * values[..., None], radius) - mean * mean_value[..., None]
    products = guide[..., :, None] * guide[..., None, :]
    second = _box(products.reshape(*values.shape, 9), radius).reshape(*values.shape, 3, 3)
    spread = second - mean[..., :, None] * mean[..., None, :] + EPSILON * np.eye(3, dtype="f4")
    slopes = np.linalg.solve(spread, covariance[..., None])[..., 0]
    offsets = mean_value - (slopes * mean).sum(-1)
    return _box(slopes, radius), _box(offsets, radius)


def _box(x: np.ndarray, radius: int) -> np.ndarray:
    """Return means of square windows, [h, w] or [h, w, C], mirrored at the borders."""
    side = 2 * radius + 1
    if x.ndim == 2 or x.shape[2] <= 4:
        return cv2.blur(x, (side, side), borderType=cv2.BORDER_REFLECT)
    return np.dstack([_box(np.ascontiguousarray(x[..., i]), radius) for i in range(x.shape[2])])


def estimate_foreground(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Estimate the object's own colours where alpha is soft, by blur fusion (Forte 2021).

    With blurred foreground F̂ and background B̂, F = F̂ + α (I − α F̂ − (1 − α) B̂), in passes of
    windows that become smaller.

    Args:
      image: uint8 RGB [H, W, 3], the composite I = α F + (1 − α) B.
      alpha: float32 [H, W] in 0–1.

    Returns:
      F, uint8 [H, W, 3]; equal to the image where alpha is 1.
    """
    side = max(alpha.shape)
    radii = [max(1, round(share * side)) for share in FOREGROUND_RADII[1:]]
    box = _soft_box(alpha, sum(radii))
    result = image.copy()
    if box is not None:
        fore, back = _fuse_coarsely(image, alpha)
        rows, columns = box
        for top in range(rows.start, rows.stop, STRIP):
            strip = slice(top, min(top + STRIP, rows.stop))
            result[strip, columns] = _fuse_strip(
                image[:, columns],
                (fore[:, columns], back[:, columns]),
                alpha[:, columns],
                strip,
                radii,
            )
    return result


def _fuse_coarsely(image: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both grounds' colours by the first pass, on a smaller copy, uint8 [H, W, 3]."""
    height, width = alpha.shape
    scale = min(1.0, COARSE_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    thin = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    radius = max(1, round(FOREGROUND_RADII[0] * max(size)))
    fore, back = (
        cv2.resize(_to_bytes(ground), (width, height), interpolation=cv2.INTER_LINEAR)
        for ground in _fuse(small, small, small, thin, radius)
    )
    return fore, back


def _fuse_strip(
    image: np.ndarray,
    grounds: tuple[np.ndarray, np.ndarray],
    alpha: np.ndarray,
    rows: slice,
    radii: Sequence[int],
) -> np.ndarray:
    """Return the foreground's colours in some rows, uint8; a strip saves memory."""
    above = max(0, rows.start - sum(radii))
    wide = slice(above, rows.stop + sum(radii))
    colours, fore, back = (x[wide].astype(np.float32) for x in (image, *grounds))
    for radius in radii:
        fore, back = _fuse(colours, fore, back, alpha[wide], radius)
    return _to_bytes(fore[rows.start - above : rows.stop - above])


def _to_bytes(colours: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(colours, 0, 255)).astype(np.uint8)


def _fuse(
    image: np.ndarray, fore: np.ndarray, back: np.ndarray, alpha: np.ndarray, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the foreground's colours and the blurred background's, float32 [H, W, 3]."""
    weight = alpha[..., None]
    blurred = _box(alpha, radius)[..., None]
    fore = _box(fore * weight, radius) / (blurred + 1e-5)
    back = _box(back * (1 - weight), radius) / (1 - blurred + 1e-5)
    return fore + weight * (image - weight * fore - (1 - weight) * back), back


def _soft_box(alpha: np.ndarray, margin: int) -> tuple[slice, slice] | None:
    """Return the rows and columns in which alpha is neither 0 nor 1, with a margin around."""
    soft = (alpha > 0.002) & (alpha < 0.998)
    bounds = []
    for axis in (1, 0):
        places = np.flatnonzero(soft.any(axis))
        if not len(places):
            return None
        start, stop = int(places[0]) - margin, int(places[-1]) + margin + 1
        bounds.append(slice(max(0, start), min(stop, alpha.shape[1 - axis])))
    return bounds[0], bounds[1]


def blur_background(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Blur what lies behind an object, without the object's colours.

    Args:
      image: uint8 RGB [H, W, 3].
      alpha: float32 [H, W] in 0–1, of the object.

    Returns:
      uint8 [H, W, 3].
    """
    height, width = alpha.shape
    size = tuple(max(1, side * 256 // max(height, width)) for side in (width, height))
    weight = 1 - cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)[..., None]
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) * weight
    sigma = max(size) / 32
    total, weights = (
        cv2.GaussianBlur(x, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        for x in (small, np.ascontiguousarray(weight))
    )
    blurred = total / np.maximum(weights[..., None] if weights.ndim == 2 else weights, 1e-4)
    full = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)
    return _to_bytes(full)

"""Alpha and colours of a cut-out: edges that follow the image, and no halo of what was behind."""

import functools
import math
from collections.abc import Iterator

import cv2
import numpy as np

WORKING_PIXELS = 512 * 512  # filters are computed on a copy of at most this size
RADIUS = 0.02  # largest error of the network's edges, as a share of the image's mean side
EPSILON = 1e-4  # variance of colours, in 0–1, below which the image has no edge to follow
CONTRAST = 3.0  # undoes the blur of the filter
FOREGROUND_RADII = (1 / 20, 1 / 60, 1 / 100)  # of the mean side, in successive passes
TILE = 128  # pixels: squares of the whole image in which alpha may be soft

Tile = tuple[slice, slice]  # rows and columns


def refine_alpha(image: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """Move the edges of a map to those of the image: a guided filter, then more contrast.

    The fast guided filter of He & Sun (2015) with a guide of three colours: alpha = a·I + b, where
    a and b are fitted in windows of a smaller copy.

    Args:
      image: uint8 RGB [H, W, 3].
      saliency: float32 in 0–1, of the image's size or smaller.

    Returns:
      float32 [H, W] in 0–1.
    """
    size = _working_size(image)
    guide = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(saliency, size, interpolation=cv2.INTER_AREA)
    slopes, offsets = _fit_locally(guide * np.float32(1 / 255), small, _radius(RADIUS, guide))
    slopes, offsets = slopes * (CONTRAST / 255), CONTRAST * offsets + (0.5 - CONTRAST / 2)
    alpha = np.empty(image.shape[:2], np.float32)
    for tile in _tiles(alpha.shape):
        near, base = (_sample(fit, tile, alpha.shape) for fit in (slopes, offsets))
        parts = cv2.multiply(near, image[tile], dtype=cv2.CV_32F)
        values = cv2.transform(parts, np.ones((1, 3), np.float32))  # sums channels, and is fast
        alpha[tile] = np.clip(values + base, 0, 1).reshape(alpha[tile].shape)
    return alpha


def _fit_locally(
    guide: np.ndarray, values: np.ndarray, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fit values ≈ a·guide + b in every window; return the windows' mean a, [h, w, 3], and b."""
    mean, mean_value = _box(guide, radius), _box(values, radius)
    covariance = _box(guide * values[..., None], radius) - mean * mean_value[..., None]
    products = (guide[..., None] * guide[..., None, :]).reshape(*values.shape, 9)
    spread = _box(products, radius).reshape(*guide.shape, 3) - mean[..., None] * mean[..., None, :]
    spread += EPSILON * np.eye(3, dtype=np.float32)
    slopes = np.linalg.solve(spread, covariance[..., None])[..., 0]
    offsets = mean_value - (slopes * mean).sum(-1)
    return _box(slopes, radius), _box(offsets, radius)


def _box(x: np.ndarray, radius: int) -> np.ndarray:
    """Return means of square windows, [h, w] or [h, w, C], mirrored at the borders."""
    height, width = (2 * min(radius, side) + 1 for side in x.shape[:2])
    return cv2.blur(x, (width, height), borderType=cv2.BORDER_REFLECT).reshape(x.shape)


def cut_out(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return a transparent cut-out, uint8 RGBA [H, W, 4]: the foreground's colours, and alpha."""
    cut = cv2.cvtColor(estimate_foreground(image, alpha), cv2.COLOR_RGB2RGBA)
    cut[..., 3] = _levels(alpha)
    return cut


def estimate_foreground(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Estimate the object's own colours where alpha is soft, by blur fusion (Forte 2021).

    With blurred foreground F̂ and background B̂, F = F̂ + α (I − α F̂ − (1 − α) B̂), in passes of
    windows that become smaller. F̂ and B̂ are computed on a smaller copy.

    Args:
      image: uint8 RGB [H, W, 3], the composite I = α F + (1 − α) B.
      alpha: float32 [H, W] in 0–1.

    Returns:
      F, uint8 [H, W, 3]; the image where alpha is 1, and 0 where its level is 0: nothing of what
      was behind an object may be found in its cut-out.
    """
    levels = _levels(alpha)
    colours = cv2.copyTo(image, levels)  # only where the level is above 0
    grounds: list[np.ndarray] = []
    for tile in _tiles(alpha.shape):
        if ((levels[tile] > 0) & (levels[tile] < 255)).any():
            grounds = grounds or _blur_grounds(image, alpha)
            fore, back = (_sample(ground, tile, alpha.shape) for ground in grounds)
            found = _to_bytes(_fuse(image[tile], fore, back, alpha[tile]))
            colours[tile] = cv2.copyTo(found, levels[tile])
    return colours


def _blur_grounds(image: np.ndarray, alpha: np.ndarray) -> list[np.ndarray]:
    """Return the blurred colours of foreground and background, uint8 [h, w, 3], on the copy."""
    size = _working_size(image)
    colours = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    weight = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    fused: np.ndarray = colours
    back: np.ndarray = colours
    for share in FOREGROUND_RADII:
        radius = _radius(share, colours)
        blurred = _box(weight, radius)[..., None]
        fore = _box(fused * weight[..., None], radius) / (blurred + 1e-5)
        back = _box(back * (1 - weight[..., None]), radius) / (1 - blurred + 1e-5)
        fused = _fuse(colours, fore, back, weight)
    return [_to_bytes(fore), _to_bytes(back)]


def _fuse(image: np.ndarray, fore: np.ndarray, back: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return F = F̂ + α (I − α F̂ − (1 − α) B̂), float32 [h, w, 3]."""
    weight = alpha[..., None]
    return fore + weight * (image - weight * fore - (1 - weight) * back)


def _levels(alpha: np.ndarray) -> np.ndarray:
    """Return alpha as uint8, rounded."""
    return cv2.convertScaleAbs(alpha, alpha=255).reshape(alpha.shape)


def _to_bytes(colours: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(colours, 0, 255)).astype(np.uint8)


def _working_size(image: np.ndarray) -> tuple[int, int]:
    """Return width and height of the copy of an image that filters are computed on."""
    height, width = image.shape[:2]
    scale = min(1.0, math.sqrt(WORKING_PIXELS / (height * width)))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _radius(share: float, image: np.ndarray) -> int:
    """Return a share of an image's mean side, in pixels."""
    return max(1, round(share * math.sqrt(image.shape[0] * image.shape[1])))


def _tiles(shape: tuple[int, ...]) -> Iterator[Tile]:
    """Yield the squares of an image."""
    for top in range(0, shape[0], TILE):
        for left in range(0, shape[1], TILE):
            yield slice(top, min(top + TILE, shape[0])), slice(left, min(left + TILE, shape[1]))


def _sample(small: np.ndarray, tile: Tile, shape: tuple[int, ...]) -> np.ndarray:
    """Return a tile of a copy [h, w, C] resized bilinearly to an image's shape."""
    rows, columns = tile
    down, across = small.shape[0] / shape[0], small.shape[1] / shape[1]
    left, top = (columns.start + 0.5) * across - 0.5, (rows.start + 0.5) * down - 0.5
    matrix = np.array([[across, 0, left], [0, down, top]])
    size = (columns.stop - columns.start, rows.stop - rows.start)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(small, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


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
    weight = 1 - cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) * weight[..., None]
    blur = functools.partial(
        cv2.GaussianBlur, ksize=(0, 0), sigmaX=max(size) / 32, borderType=cv2.BORDER_REFLECT
    )
    blurred = blur(small) / np.maximum(blur(weight), 1e-4)[..., None]
    full = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)
    return _to_bytes(full)

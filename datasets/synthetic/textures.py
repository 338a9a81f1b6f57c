"""Procedural textures: a pattern of zero mean and unit deviation, coloured along one direction.

Only element-wise arithmetic, integer OpenCV operations and uniform draws are used (no vectorised
sine or exponential, no normal deviates), so that a texture is the same on every machine.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

Field = np.ndarray  # float32 [H, W]
Pattern = Callable[[Generator, Field, Field], Field]

NOISE_SEED = 0
TILE_CELLS, CELL = 128, 4  # noise tile: cells per side, pixels per cell
MOSAIC_CELLS, MOSAIC_CELL = 12, 16  # the same for the tile of Voronoi cells


class Palette(NamedTuple):
    """Colours of a texture: `mean` ± one deviation of the pattern along `direction`."""

    mean: np.ndarray  # float32 [3], 0..255
    direction: np.ndarray  # float32 [3], levels per unit of the pattern


class Texture(NamedTuple):
    """Parameters of a texture, independent of the size of the image."""

    pattern: Pattern
    palette: Palette
    period: float  # pixels
    angle: float  # radians
    warp: float  # displacement in periods
    seed: int


def _triangle(phase: Field) -> Field:
    """Return a triangle wave of period 1 in [-1, 1], an arithmetic stand-in for a cosine."""
    return 4 * np.abs(phase - np.floor(phase + 0.5)) - 1


def _harden(field: Field, steepness: float) -> Field:
    """Sharpen a soft wave into plateaus with edges of finite width."""
    return np.clip(field * steepness, -1, 1)


@functools.cache
def _noise_tile() -> np.ndarray:
    """Return one large tile of smooth noise, uint8, that repeats without a seam.

    All images share it: a look-up takes its own window, scale and orientation.
    """
    rng = np.random.default_rng(NOISE_SEED)
    cells = rng.integers(0, 256, (TILE_CELLS, TILE_CELLS), dtype=np.uint8)
    wrapped = cv2.copyMakeBorder(cells, 2, 2, 2, 2, cv2.BORDER_WRAP)
    smooth = cv2.resize(wrapped, None, fx=CELL, fy=CELL, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(smooth[2 * CELL : -2 * CELL, 2 * CELL : -2 * CELL])


@functools.cache
def _cell_tile() -> np.ndarray:
    """Return Voronoi cells about random sites, int32 labels from 0."""
    rng = np.random.default_rng(NOISE_SEED)
    side = MOSAIC_CELLS * MOSAIC_CELL
    sites = np.full((side, side), 255, np.uint8)
    sites[tuple(rng.integers(0, side, (2, MOSAIC_CELLS**2)))] = 0
    _, labels = cv2.distanceTransformWithLabels(
        sites, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    return labels - 1


def _noise(rng: Generator, u: Field, v: Field) -> Field:
    """Return smooth noise in [-1, 1] with one cell per unit of (u, v)."""
    right, down = rng.integers(0, TILE_CELLS * CELL, 2).tolist()
    looked_up = _look_up(_noise_tile(), u * CELL + right, v * CELL + down)
    return looked_up / np.float32(127.5) - 1


def _look_up(tile: np.ndarray, x: Field, y: Field) -> Field:
    """Sample the endlessly repeated uint8 `tile` at pixels (x, y); float32 in 0..255."""
    sampled = cv2.remap(tile, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_WRAP)
    return sampled.astype(np.float32)


def clouds(rng: Generator, u: Field, v: Field) -> Field:
    """Return three octaves of noise."""
    return _noise(rng, u / 2, v / 2) + 0.6 * _noise(rng, u, v) + 0.4 * _noise(rng, 2.1 * u, 2.1 * v)


def grain(rng: Generator, u: Field, v: Field) -> Field:
    """Return fine noise over a faint coarse one."""
    return _noise(rng, 2 * u, 2 * v) + 0.3 * _noise(rng, u / 3, v / 3)


def fibres(rng: Generator, u: Field, v: Field) -> Field:
    """Return noise stretched along one axis, like wood or fur."""
    return _noise(rng, 1.5 * u, v / 5) + 0.4 * _noise(rng, 3 * u, v / 3)


def stripes(rng: Generator, u: Field, v: Field) -> Field:
    """Return parallel stripes with soft or hard edges."""
    del v
    return _harden(_triangle(u) + rng.uniform(-0.4, 0.4), rng.uniform(1, 4))


def checker(rng: Generator, u: Field, v: Field) -> Field:
    """Return a checkerboard."""
    steepness = rng.uniform(2, 5)
    return _harden(_triangle(u / 2), steepness) * _harden(_triangle(v / 2), steepness)


def bricks(rng: Generator, u: Field, v: Field) -> Field:
    """Return rows of bricks of different shades, half a brick shifted, between mortar lines."""
    row = np.floor(v)
    along = u / 2 + 0.5 * (row % 2)
    edge = np.maximum(np.abs(along - np.floor(along) - 0.5) * 2 - 1, np.abs(v - row - 0.5) - 0.5)
    shades = rng.uniform(-0.5, 1, 256).astype(np.float32)
    brick = (np.floor(along) * 7 + row * 31).astype(np.int32) & 255
    return np.where(edge > -0.12, np.float32(-1.6), shades[brick])


def dots(rng: Generator, u: Field, v: Field) -> Field:
    """Return a lattice of discs."""
    du, dv = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    return _harden(rng.uniform(0.22, 0.38) - np.sqrt(du * du + dv * dv), 8)


def ripples(rng: Generator, u: Field, v: Field) -> Field:
    """Return concentric rings about a random centre."""
    du, dv = u - rng.uniform(-4, 4), v - rng.uniform(-4, 4)
    return _triangle(np.sqrt(du * du + dv * dv))


def zigzag(rng: Generator, u: Field, v: Field) -> Field:
    """Return stripes folded into a herringbone."""
    return _harden(_triangle(u + 0.4 * _triangle(v / 2)), rng.uniform(1, 3))


def weave(rng: Generator, u: Field, v: Field) -> Field:
    """Return two crossed gratings of different weight."""
    return _triangle(u) + rng.uniform(0.5, 1) * _triangle(v)


def mosaic(rng: Generator, u: Field, v: Field) -> Field:
    """Return Voronoi cells of random shades."""
    shades = rng.integers(0, 256, MOSAIC_CELLS**2, dtype=np.uint8)
    pixels = np.float32(0.75 * MOSAIC_CELL)
    right, down = rng.integers(0, MOSAIC_CELLS * MOSAIC_CELL, 2).tolist()
    return _look_up(shades[_cell_tile()], u * pixels + right, v * pixels + down)


PATTERNS: tuple[Pattern, ...] = (
    clouds, grain, fibres, stripes, checker, bricks, dots, ripples, zigzag, weave, mosaic,
)  # fmt: skip


def draw_palette(rng: Generator) -> Palette:
    """Draw the colours of a texture; objects and backgrounds share this one distribution."""
    brightness, tinting, contrast, *rest = rng.uniform(0, 1, 9).tolist()
    tint, lean = [2 * draw - 1 for draw in rest[:3]], [1.4 * draw - 0.7 for draw in rest[3:]]
    grey = sum(tint) / 3
    mean = [70 + 115 * brightness + (10 + 50 * tinting) * (channel - grey) for channel in tint]
    length = math.sqrt(sum((1 + channel) ** 2 for channel in lean) / 3)
    direction = [(14 + 20 * contrast) * (1 + channel) / length for channel in lean]
    return Palette(
        mean=np.array([min(max(level, 25), 230) for level in mean], np.float32),
        direction=np.array(direction, np.float32),
    )


def draw_texture(
    rng: Generator, pattern: Pattern, palette: Palette, periods: tuple[float, float], side: int
) -> Texture:
    """Draw a texture's period between two shares of `side`, its orientation and its warp."""
    period = rng.uniform(periods[0] * side, periods[1] * side)
    angle, warp = rng.uniform(0, math.pi), rng.uniform(0, 0.5)
    return Texture(pattern, palette, period, angle, warp, int(rng.integers(2**31)))


def render_pattern(texture: Texture, height: int, width: int) -> Field:
    """Return the pattern of `texture`, float32 [H, W], with zero mean and unit deviation."""
    rng = np.random.default_rng(texture.seed)
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    cosine = np.float32(math.cos(texture.angle) / texture.period)
    sine = np.float32(math.sin(texture.angle) / texture.period)
    u, v = x * cosine + y * sine, y * cosine - x * sine
    bend = np.float32(texture.warp) * _noise(rng, u / 4, v / 4)
    field = texture.pattern(rng, u + bend, v - bend)
    # Summed in float64: differences by the order of summation vanish in the cast to float32.
    mean, deviation = cv2.meanStdDev(field)
    return (field - np.float32(mean.item())) / np.float32(max(deviation.item(), 0.1))

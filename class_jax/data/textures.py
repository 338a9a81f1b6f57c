"""Procedural textures: a pattern of zero mean and unit deviation, coloured along one direction.

Only element-wise arithmetic, integer OpenCV operations and uniform draws are used (no vectorised
sine or exponential, no normal deviates), so that a texture is the same on every machine.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

Field = np.ndarray  # float32 [H, W]
Pattern = Callable[[Generator, Field, Field], Field]

TILE = 64  # side of the random tile that noise is looked up in, in cells


@dataclass(frozen=True, kw_only=True, eq=False)
class Palette:
    """Colours of a texture: `mean` ± one deviation of the pattern along `direction`."""

    mean: np.ndarray  # float32 [3], 0..255
    direction: np.ndarray  # float32 [3], levels per unit of the pattern


@dataclass(frozen=True, kw_only=True)
class Texture:
    """Everything that decides a texture, except the frame it is drawn in."""

    pattern: Pattern
    palette: Palette
    period: float  # pixels
    angle: float  # radians
    warp: float  # displacement in periods
    seed: int


def _triangle(phase: Field) -> Field:
    """Triangle wave of period 1 in [-1, 1], the arithmetic stand-in for a cosine."""
    return 4 * np.abs(phase - np.floor(phase + 0.5)) - 1


def _harden(field: Field, steepness: float) -> Field:
    """Turn a soft wave into one with plateaus and edges of finite width."""
    return np.clip(field * steepness, -1, 1)


def _noise(rng: Generator, u: Field, v: Field) -> Field:
    """Smooth noise in [-1, 1] with one cell per unit of (u, v)."""
    tile = rng.integers(0, 256, (TILE, TILE), dtype=np.uint8)
    right, down = rng.integers(0, TILE, 2).tolist()
    looked_up = cv2.remap(
        tile, (u + right) % TILE, (v + down) % TILE, cv2.INTER_CUBIC, None, cv2.BORDER_WRAP
    )
    return looked_up.astype(np.float32) / 127.5 - 1


def clouds(rng: Generator, u: Field, v: Field) -> Field:
    """Return three octaves of noise."""
    return (
        _noise(rng, u / 2, v / 2) + 0.6 * _noise(rng, u, v) + 0.4 * _noise(rng, 2.1 * u, 2.1 * v)
    )


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
    """Return two crossed gratings of unlike weight."""
    return _triangle(u) + rng.uniform(0.5, 1) * _triangle(v)


def mosaic(rng: Generator, u: Field, v: Field) -> Field:
    """Return Voronoi cells of random shades."""
    cells, side = 16, 128  # of a tile that repeats
    sites = np.full((side, side), 255, np.uint8)
    sites[rng.integers(0, side, cells * cells), rng.integers(0, side, cells * cells)] = 0
    _, labels = cv2.distanceTransformWithLabels(
        sites, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    tile = rng.integers(0, 256, cells * cells + 1, dtype=np.uint8)[labels]
    pixels = np.float32(0.75 * side / cells)
    return cv2.remap(
        tile, u * pixels % side, v * pixels % side, cv2.INTER_LINEAR, None, cv2.BORDER_WRAP
    ).astype(np.float32)


PATTERNS: tuple[Pattern, ...] = (
    clouds, grain, fibres, stripes, checker, bricks, dots, ripples, zigzag, weave, mosaic,
)  # fmt: skip


def draw_palette(rng: Generator) -> Palette:
    """Draw the colours of a texture; objects and backgrounds share this one distribution."""
    brightness = rng.uniform(70, 185)
    tint = rng.uniform(-1, 1, 3)
    mean = brightness + rng.uniform(10, 60) * (tint - tint.mean())
    direction = 1 + rng.uniform(-0.7, 0.7, 3)
    direction *= rng.uniform(14, 34) / math.sqrt(float((direction**2).mean()))
    return Palette(
        mean=np.clip(mean, 25, 230).astype(np.float32), direction=direction.astype(np.float32)
    )


def draw_texture(rng: Generator, *, pattern: Pattern, palette: Palette, size: int) -> Texture:
    """Draw the scale and orientation of `pattern` for an image of `size` pixels (short side)."""
    return Texture(
        pattern=pattern,
        palette=palette,
        period=max(4.0, size * rng.uniform(0.045, 0.11)),
        angle=rng.uniform(0, math.pi),
        warp=rng.uniform(0, 0.5),
        seed=int(rng.integers(2**31)),
    )


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
    # float64 sums: their rounding cannot depend on the machine's vector width after the cast.
    mean, deviation = field.mean(dtype=np.float64), field.std(dtype=np.float64)
    return (field - np.float32(mean)) / np.float32(max(float(deviation), 0.1))


def colour(pattern: Field, palette: Palette) -> np.ndarray:
    """Return `mean + pattern · direction`, float32 [H, W, 3] in levels, not clipped."""
    return palette.mean + pattern[..., None] * palette.direction

"""Content of a synthetic image, drawn at random before any pixel is rendered."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from datasets.synthetic.shapes import BROAD, THIN, Outline, place, rasterise, union
from datasets.synthetic.textures import PATTERNS, Palette, Texture, draw_palette, draw_texture

# Bounds of the share that all objects cover: stricter than the documented 3 % to 45 %, because it
# is measured on a raster smaller by SHRINK.
AREA_BOUNDS = (0.037, 0.44)
SHRINK = 2
# Bounds of one object's share of the image: thin objects, the first broad object, further ones.
THIN_SHARES, FIRST_SHARES, OTHER_SHARES = (0.04, 0.09), (0.07, 0.32), (0.045, 0.16)
# Periods of the textures of backgrounds and of (finer) objects, as shares of the short side.
COARSE_PERIODS = (0.08, 0.14)
FINE_PERIODS = (0.04, 0.065)


class SceneObject(NamedTuple):
    """A salient object."""

    outline: Outline
    texture: Texture


class Patch(NamedTuple):
    """A distractor: an elliptic region where the background's texture changes its palette."""

    centre: tuple[float, float]  # pixels, (x, y)
    radii: tuple[float, float]  # pixels
    angle: float
    palette: Palette


class Speck(NamedTuple):
    """A distractor: a sharp disc too small to be an object."""

    centre: tuple[float, float]  # pixels, (x, y)
    radius: float  # pixels
    colour: np.ndarray  # [3], levels


class Scene(NamedTuple):
    """Random content of one image, from back to front."""

    background: Texture
    patches: tuple[Patch, ...]
    specks: tuple[Speck, ...]
    objects: tuple[SceneObject, ...]
    light: float  # direction of the light, radians


def draw_scene(rng: Generator, height: int, width: int) -> Scene:
    """Draw the content of an image of `height` × `width` pixels, without its pixels."""
    pattern = PATTERNS[rng.integers(len(PATTERNS))]
    size = min(height, width)
    background = draw_texture(rng, pattern, draw_palette(rng), COARSE_PERIODS, size)
    return Scene(
        background=background,
        patches=tuple(_draw_patch(rng, height, width) for _ in range(rng.integers(2, 5))),
        specks=tuple(_draw_speck(rng, height, width) for _ in range(rng.integers(0, 9))),
        objects=_draw_objects(rng, background, height, width),
        light=rng.uniform(0, 2 * math.pi),
    )


def _draw_patch(rng: Generator, height: int, width: int) -> Patch:
    size = min(height, width)
    return Patch(
        centre=(rng.uniform(0, width), rng.uniform(0, height)),
        radii=(size * rng.uniform(0.15, 0.4), size * rng.uniform(0.15, 0.4)),
        angle=rng.uniform(0, math.pi),
        palette=draw_palette(rng),
    )


def _draw_speck(rng: Generator, height: int, width: int) -> Speck:
    colour = rng.uniform(40, 215, 3)
    centre = rng.uniform(0, width), rng.uniform(0, height)
    return Speck(centre, min(height, width) * rng.uniform(0.006, 0.018), colour)


def _draw_objects(
    rng: Generator, background: Texture, height: int, width: int
) -> tuple[SceneObject, ...]:
    """Draw one to three objects until their visible share of the image is within bounds."""
    count = int(rng.choice([1, 1, 2, 3]))
    low, high = AREA_BOUNDS
    while True:
        objects: list[SceneObject] = []
        while len(objects) < count:
            objects.append(_draw_object(rng, background, objects, height, width))
        if low <= _visible_share(objects, height, width) <= high:
            return tuple(objects)


def _visible_share(objects: Sequence[SceneObject], height: int, width: int) -> float:
    """Return the objects' share of the image, measured on a coarse raster."""
    outlines = (obj.outline.moved(scale=1 / SHRINK) for obj in objects)
    covers = [rasterise(outline, height // SHRINK, width // SHRINK) for outline in outlines]
    return float(union(covers).mean()) / 255


def _draw_object(
    rng: Generator, background: Texture, others: Sequence[SceneObject], height: int, width: int
) -> SceneObject:
    is_thin, crosses, is_faint = (draw < 0.25 for draw in rng.uniform(0, 1, 3).tolist())
    palette = _palette_against(rng, background.palette, is_close=is_faint)
    choices = [pattern for pattern in PATTERNS if pattern is not background.pattern]
    pattern = choices[rng.integers(len(choices))]
    outline = _draw_outline(rng, others, height, width, is_thin=is_thin, crop=crosses)
    size = min(height, width)
    return SceneObject(outline, draw_texture(rng, pattern, palette, FINE_PERIODS, size))


def _draw_outline(
    rng: Generator, others: Sequence[SceneObject], height: int, width: int, *,
    is_thin: bool, crop: bool,
) -> Outline:  # fmt: skip
    """Draw a shape and its place, apart from the others if eight tries find such a place."""
    kinds = THIN if is_thin else BROAD
    outline = kinds[rng.integers(len(kinds))](rng)
    shares = THIN_SHARES if is_thin else OTHER_SHARES if others else FIRST_SHARES
    share = math.exp(rng.uniform(math.log(shares[0]), math.log(shares[1])))
    outline = outline.moved(scale=math.sqrt(share * height * width / outline.area()))
    for _ in range(8):
        placed = place(rng, outline, height, width, crop=crop)
        if not any(_boxes_meet(placed, other.outline) for other in others):
            break
    return placed


def _boxes_meet(one: Outline, other: Outline) -> bool:
    left, top, right, bottom = one.box
    other_left, other_top, other_right, other_bottom = other.box
    return left < other_right and other_left < right and top < other_bottom and other_top < bottom


def _palette_against(rng: Generator, background: Palette, *, is_close: bool) -> Palette:
    """Draw a palette whose mean is close to the background's, or clearly different."""
    drawn = draw_palette(rng)
    if is_close:
        return drawn._replace(mean=background.mean + rng.uniform(-12, 12, 3).astype(np.float32))
    while np.abs(drawn.mean - background.mean).mean() <= 20:
        drawn = draw_palette(rng)
    return drawn

"""Synthetic images with masks, made from (seed, index) alone: the data that needs no download.

What is salient: closed regions with a sharp edge, a texture of another kind than their surround's
and a lit rim. What is not: patches of the background's own texture that change colour or contrast
over a soft border, and specks. Colours, brightness and contrast of all of them come from the same
distributions, so that no threshold on one of these finds the objects.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.random import Generator

from class_jax.data.shapes import BROAD, THIN, Outline, place, rasterise
from class_jax.data.textures import (
    PATTERNS,
    Palette,
    Texture,
    colour,
    draw_palette,
    draw_texture,
    render_pattern,
)
from class_jax.errors import UserError

if TYPE_CHECKING:
    from class_jax.data.sources import Example

AREA_BOUNDS = (0.035, 0.44)  # of a scene's objects together; rasterised masks keep to 3 %–45 %
SMALLEST_SIDE = 32
STREAM = zlib.crc32(b"synthetic")


@dataclass(frozen=True, kw_only=True)
class SceneObject:
    """A salient object."""

    outline: Outline
    texture: Texture
    thin: bool
    low_contrast: bool  # its mean colour is close to the background's
    crosses_border: bool


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A distractor: an elliptic region where the background's texture changes its palette."""

    centre: tuple[float, float]  # pixels, (x, y)
    radii: tuple[float, float]  # pixels
    angle: float
    palette: Palette


@dataclass(frozen=True, kw_only=True)
class Speck:
    """A distractor: a sharp disc too small to be an object."""

    centre: tuple[float, float]  # pixels, (x, y)
    radius: float  # pixels
    colour: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that is drawn at random about one image, from the back to the front."""

    background: Texture
    patches: tuple[Patch, ...]
    specks: tuple[Speck, ...]
    objects: tuple[SceneObject, ...]
    light: float  # direction that light comes from, radians


class SyntheticSource:
    """Random-access images, made when asked for; picklable and equal on every machine."""

    def __init__(
        self, num_images: int, *, seed: int, image_size: tuple[int, int] = (128, 128)
    ) -> None:
        """Describe the set; nothing is drawn yet.

        Args:
          num_images: length of the set. An image does not depend on it.
          seed: splits with different seeds have no image in common.
          image_size: (height, width), pixels.

        Raises:
          UserError: no images, a negative seed or sides below 32 pixels.
        """
        if num_images < 1 or seed < 0 or min(image_size) < SMALLEST_SIDE:
            raise UserError(
                f"a synthetic set of {num_images} images with seed {seed} and size {image_size} was "
                f"asked for; give at least 1 image, a seed of 0 or more and sides of "
                f"{SMALLEST_SIDE} pixels or more"
            )
        self.names: Sequence[str] = [f"{index:05d}" for index in range(num_images)]
        self._seed = seed
        self._height, self._width = image_size

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def __getitem__(self, index: int) -> "Example":
        """Return image `index`; IndexError beyond the end."""
        name = self.names[index]
        rng = np.random.default_rng([self._seed, STREAM, int(name)])
        scene = draw_scene(rng, self._height, self._width)
        image, mask = render_scene(scene, self._height, self._width)
        return {"name": name, "image": image, "mask": mask}


def draw_scene(rng: Generator, height: int, width: int) -> Scene:
    """Draw what is in an image of `height` × `width` pixels, without drawing its pixels."""
    pattern = PATTERNS[rng.integers(len(PATTERNS))]
    size = min(height, width)
    background = draw_texture(rng, pattern=pattern, palette=draw_palette(rng), size=size)
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
    red, green, blue = rng.integers(10, 246, 3).tolist()
    return Speck(
        centre=(rng.uniform(0, width), rng.uniform(0, height)),
        radius=min(height, width) * rng.uniform(0.006, 0.018),
        colour=(red, green, blue),
    )


def _draw_objects(
    rng: Generator, background: Texture, height: int, width: int
) -> tuple[SceneObject, ...]:
    """Draw one to three objects until their visible share of the image is within bounds."""
    count = int(rng.choice([1, 1, 2, 3]))
    low, high = AREA_BOUNDS
    while True:
        objects: list[SceneObject] = []
        for _ in range(count):
            objects.append(_draw_object(rng, background, objects, height, width))
        covered = union([rasterise(each.outline, height, width) for each in objects])
        if low <= covered.mean() / 255 <= high:
            return tuple(objects)


def _draw_object(
    rng: Generator, background: Texture, others: Sequence[SceneObject], height: int, width: int
) -> SceneObject:
    thin, crosses, low_contrast = rng.uniform(0, 1, 3) < (0.25, 0.25, 0.25)
    palette = _palette_against(rng, background.palette, low_contrast=bool(low_contrast))
    choices = [pattern for pattern in PATTERNS if pattern is not background.pattern]
    pattern = choices[rng.integers(len(choices))]
    return SceneObject(
        outline=_draw_outline(rng, others, height, width, thin=bool(thin), crop=bool(crosses)),
        texture=draw_texture(rng, pattern=pattern, palette=palette, size=min(height, width)),
        thin=bool(thin),
        low_contrast=bool(low_contrast),
        crosses_border=bool(crosses),
    )


def _draw_outline(
    rng: Generator,
    others: Sequence[SceneObject],
    height: int,
    width: int,
    *,
    thin: bool,
    crop: bool,
) -> Outline:
    """Draw a shape and a place for it, away from the others where eight tries find one."""
    kinds = THIN if thin else BROAD
    outline = kinds[rng.integers(len(kinds))](rng)
    shares = (0.035, 0.08) if thin else ((0.06, 0.32), (0.04, 0.15))[len(others) > 0]
    share = math.exp(rng.uniform(math.log(shares[0]), math.log(shares[1])))
    outline = outline.moved(scale=math.sqrt(share * height * width / outline.area()))
    for _ in range(8):
        placed = place(rng, outline, height, width, crop=crop)
        if not any(_boxes_meet(placed, other.outline) for other in others):
            break
    return placed


def _boxes_meet(one: Outline, other: Outline) -> bool:
    left, top, right, bottom = one.box()
    other_left, other_top, other_right, other_bottom = other.box()
    return left < other_right and other_left < right and top < other_bottom and other_top < bottom


def _palette_against(rng: Generator, background: Palette, *, low_contrast: bool) -> Palette:
    """Draw a palette whose mean lies near the background's, or else clearly away from it."""
    if low_contrast:
        drawn = draw_palette(rng)
        mean = background.mean + rng.uniform(-12, 12, 3).astype(np.float32)
        return Palette(mean=mean, direction=drawn.direction)
    while True:
        drawn = draw_palette(rng)
        if np.abs(drawn.mean - background.mean).mean() > 20:
            return drawn


def render_scene(scene: Scene, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the image, uint8 [H, W, 3], and the mask, uint8 [H, W] with soft borders."""
    canvas = _render_background(scene, height, width)
    covers = [rasterise(each.outline, height, width) for each in scene.objects]
    for each, cover in zip(scene.objects, covers, strict=True):
        _paint_object(canvas, each, cover, scene.light)
    grain = np.random.default_rng(scene.background.seed).integers(-5, 6, canvas.shape, np.int8)
    return np.clip(np.rint(canvas + grain), 0, 255).astype(np.uint8), union(covers)


def union(covers: Sequence[np.ndarray]) -> np.ndarray:
    """Return the share of each pixel that any object covers, uint8 [H, W]."""
    return np.maximum.reduce(covers)


def _render_background(scene: Scene, height: int, width: int) -> np.ndarray:
    """Return the background with its distractors, float32 [H, W, 3] in levels."""
    pattern = render_pattern(scene.background, height, width)
    mean = np.broadcast_to(scene.background.palette.mean, (height, width, 3))
    direction = np.broadcast_to(scene.background.palette.direction, (height, width, 3))
    for patch in scene.patches:
        weight = _soft_ellipse(patch, height, width)[..., None]
        mean = mean + weight * (patch.palette.mean - mean)
        direction = direction + weight * (patch.palette.direction - direction)
    canvas = mean + pattern[..., None] * direction
    for speck in scene.specks:
        centre = (round(speck.centre[0] * 16), round(speck.centre[1] * 16))
        cv2.circle(canvas, centre, round(speck.radius * 16), speck.colour, -1, cv2.LINE_8, 4)
    return canvas


def _soft_ellipse(patch: Patch, height: int, width: int) -> np.ndarray:
    """Return 1 at the patch's centre, falling smoothly to 0 at its radii; float32 [H, W]."""
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(patch.centre[0])
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(patch.centre[1])
    cosine, sine = np.float32(math.cos(patch.angle)), np.float32(math.sin(patch.angle))
    u = (x * cosine + y * sine) / np.float32(patch.radii[0])
    v = (y * cosine - x * sine) / np.float32(patch.radii[1])
    inside = np.clip(1.6 * (1 - (u * u + v * v)), 0, 1)
    return inside * inside * (3 - 2 * inside)


def _paint_object(canvas: np.ndarray, each: SceneObject, cover: np.ndarray, light: float) -> None:
    """Paint one object onto `canvas`: its shadow, then its texture with a lit and a dark rim."""
    height, width = cover.shape
    reach = max(2, round(min(height, width) * 0.03))
    toward_light = (reach * math.cos(light), reach * math.sin(light))
    blurred = cv2.GaussianBlur(cover, (0, 0), 0.7 * reach)
    shadow = _shifted(blurred, (-toward_light[0], -toward_light[1]))
    relief = shadow - _shifted(blurred, toward_light)
    canvas *= 1 - 0.35 * shadow[..., None]
    pattern = render_pattern(each.texture, height, width)
    painted = colour(pattern, each.texture.palette) + 45 * relief[..., None]
    canvas += (cover.astype(np.float32) / 255)[..., None] * (painted - canvas)


def _shifted(cover: np.ndarray, by: tuple[float, float]) -> np.ndarray:
    """Return `cover` / 255 moved by whole pixels (x, y); what comes in repeats the border."""
    matrix = np.array([[1, 0, round(by[0])], [0, 1, round(by[1])]], np.float32)
    height, width = cover.shape
    moved = cv2.warpAffine(
        cover, matrix, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )
    return moved.astype(np.float32) / 255

"""Pixels of a synthetic scene: background, distractors, then objects with shadow and rim."""

import math

import cv2
import numpy as np

from datasets.synthetic.scenes import Patch, Scene, SceneObject
from datasets.synthetic.shapes import rasterise, union
from datasets.synthetic.textures import render_pattern


def render_scene(scene: Scene, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene: the image, uint8 [H, W, 3], and its mask, uint8 [H, W], with soft borders."""
    canvas = _render_background(scene, height, width)
    covers = [rasterise(obj.outline, height, width) for obj in scene.objects]
    for obj, cover in zip(scene.objects, covers, strict=True):
        _paint_object(canvas, obj, cover, scene.light)
    rng = np.random.default_rng(scene.background.seed)
    canvas += rng.integers(0, 256, canvas.shape, np.uint8) >> 5  # sensor noise
    np.clip(canvas - 3, 0, 255, out=canvas)
    image = canvas.astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(image), union(covers)


def _render_background(scene: Scene, height: int, width: int) -> np.ndarray:
    """Return the background with its distractors, float32 [3, H, W] in levels."""
    palette = scene.background.palette
    mean, direction = np.empty((2, 3, height, width), np.float32)
    mean[:] = palette.mean[:, None, None]
    direction[:] = palette.direction[:, None, None]
    for patch in scene.patches:
        _blend_patch(mean, direction, patch)
    canvas = direction
    canvas *= render_pattern(scene.background, height, width)
    canvas += mean
    for speck in scene.specks:
        centre = (round(speck.centre[0] * 16), round(speck.centre[1] * 16))
        for plane, level in zip(canvas, speck.colour, strict=True):
            cv2.circle(plane, centre, round(speck.radius * 16), level, -1, cv2.LINE_8, 4)
    return canvas


def _blend_patch(mean: np.ndarray, direction: np.ndarray, patch: Patch) -> None:
    """Blend both maps of colours, float32 [3, H, W], into the patch's palette, in place."""
    (x, y), radius = patch.centre, max(patch.radii)
    rows, columns = _window((x - radius, y - radius, x + radius, y + radius), mean.shape[1:])
    weight = _soft_ellipse(patch, rows, columns)
    for colours, target in ((mean, patch.palette.mean), (direction, patch.palette.direction)):
        window = colours[:, rows, columns]
        window += weight * (target[:, None, None] - window)


def _soft_ellipse(patch: Patch, rows: slice, columns: slice) -> np.ndarray:
    """Return 1 at the patch's centre, falling smoothly to 0 at its radii; float32 [rows, cols]."""
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :]
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
    x, y = x - np.float32(patch.centre[0]), y - np.float32(patch.centre[1])
    cosine, sine = np.float32(math.cos(patch.angle)), np.float32(math.sin(patch.angle))
    u = x * (cosine / np.float32(patch.radii[0])) + y * (sine / np.float32(patch.radii[0]))
    v = y * (cosine / np.float32(patch.radii[1])) - x * (sine / np.float32(patch.radii[1]))
    inside = np.clip(1.6 * (1 - (u * u + v * v)), 0, 1)
    return inside * inside * (3 - 2 * inside)


def _paint_object(canvas: np.ndarray, obj: SceneObject, cover: np.ndarray, light: float) -> None:
    """Paint one object onto `canvas`: its shadow, then its texture with a lit and a dark rim."""
    reach = max(2, round(min(cover.shape) * 0.03))
    window = _window(obj.outline.box, cover.shape, margin=4 * reach)
    canvas, cover = canvas[:, *window], cover[window]
    toward_light = (reach * math.cos(light), reach * math.sin(light))
    side = (2 * reach + 1, 2 * reach + 1)
    blurred = cv2.blur(cv2.blur(cover, side), side)
    shadow = _shift(blurred, (-toward_light[0], -toward_light[1]))
    relief = shadow - _shift(blurred, toward_light)
    canvas *= 1 - np.float32(0.35) * shadow
    mean, direction = (colours[:, None, None] for colours in obj.texture.palette)
    painted = mean + render_pattern(obj.texture, *cover.shape) * direction + 45 * relief
    canvas += cover.astype(np.float32) / 255 * (painted - canvas)


def _window(
    box: tuple[float, float, float, float], shape: tuple[int, ...], *, margin: int = 1
) -> tuple[slice, slice]:
    """Return rows and columns of a box (left, top, right, bottom) with a margin, clipped."""
    left, top, right, bottom = box
    rows = slice(max(0, int(top) - margin), min(shape[0], int(bottom) + 1 + margin))
    return rows, slice(max(0, int(left) - margin), min(shape[1], int(right) + 1 + margin))


def _shift(cover: np.ndarray, by: tuple[float, float]) -> np.ndarray:
    """Return `cover` / 255 moved by (x, y), rounded to pixels; the border is repeated."""
    matrix = np.array([[1, 0, round(by[0])], [0, 1, round(by[1])]], np.float32)
    height, width = cover.shape
    moved = cv2.warpAffine(
        cover, matrix, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )
    return moved.astype(np.float32) / 255

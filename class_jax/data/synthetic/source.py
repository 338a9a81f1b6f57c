"""Synthetic images with masks, made from (seed, index) alone: the data that needs no download.

What is salient: closed regions with a sharp edge, a texture of another kind and a finer make than
their surround's, and a lit rim. What is not: patches of the background's own texture that change
colour or contrast over a soft border, and specks. Colours, brightness and contrast of all of them
come from the same distributions, so that no threshold on one of these finds the objects.
"""

import functools
import math
import zlib
from collections.abc import Sequence

import cv2
import numpy as np

from class_jax.data.images import Picture
from class_jax.data.masks import Reading
from class_jax.data.sources import Example, MaskReader
from class_jax.data.synthetic.scenes import Patch, Scene, SceneObject, draw_scene
from class_jax.data.synthetic.shapes import rasterise, union
from class_jax.data.synthetic.textures import colour, render_pattern
from class_jax.errors import UserError

SMALLEST_SIDE = 32
STREAM = zlib.crc32(b"synthetic")


class SyntheticSource:
    """Random-access images, made when asked for; picklable and equal on every machine."""

    def __init__(
        self, num_images: int, *, seed: int, image_size: tuple[int, int] = (128, 128)
    ) -> None:
        """Describe the set; nothing is drawn yet.

        Args:
          num_images: length of the set. An image does not depend on it.
          seed: splits with different seeds have no image in common.
          image_size: (height, width), pixels; textures are plain to see from about 96 pixels.

        Raises:
          UserError: no images, a negative seed or sides below 32 pixels.
        """
        if num_images < 1 or seed < 0 or min(image_size) < SMALLEST_SIDE:
            raise UserError(
                f"a synthetic set of {num_images} images with seed {seed} and size {image_size} "
                f"cannot be made: give at least 1 image, a seed of 0 or more and sides of "
                f"{SMALLEST_SIDE} pixels or more"
            )
        self.names: Sequence[str] = [f"{index:05d}" for index in range(num_images)]
        self._seed = seed
        self._height, self._width = image_size

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        """Return example `index`; IndexError beyond the end."""
        return self.load(index)

    def load(self, index: int, *, side: int | None = None) -> Example:
        """Return example `index`; IndexError beyond the end."""
        del side
        name = self.names[index]
        rng = np.random.default_rng([self._seed, STREAM, int(name)])
        scene = draw_scene(rng, self._height, self._width)
        image, mask = render_scene(scene, self._height, self._width)
        return {"name": name, "image": image, "mask": mask}

    def load_image(self, index: int, side: int | None = None) -> Picture:
        """Return image `index` alone."""
        image = self.load(index, side=side)["image"]
        return Picture(image, *image.shape[:2])

    def mask_reader(self, index: int) -> MaskReader:
        """Return a function that draws image `index` and returns its mask."""
        return functools.partial(_read_mask, self, index)

    def fingerprint(self, index: int) -> str:
        """Return all that an image depends on."""
        return f"synthetic {self._seed} {index} {self._height} {self._width}"


def _read_mask(source: SyntheticSource, index: int) -> Reading:
    return Reading(source.load(index)["mask"])


def render_scene(scene: Scene, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the image, uint8 [H, W, 3], and the mask, uint8 [H, W] with soft borders."""
    canvas = _render_background(scene, height, width)
    covers = [rasterise(item.outline, height, width) for item in scene.objects]
    for item, cover in zip(scene.objects, covers, strict=True):
        _paint_object(canvas, item, cover, scene.light)
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
    """Shift both maps of colours, float32 [3, H, W], to the patch's palette within the patch."""
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


def _paint_object(canvas: np.ndarray, item: SceneObject, cover: np.ndarray, light: float) -> None:
    """Paint one object onto `canvas`: its shadow, then its texture with a lit and a dark rim."""
    reach = max(2, round(min(cover.shape) * 0.03))
    window = _window(item.outline.box, cover.shape, margin=4 * reach)
    canvas, cover = canvas[:, *window], cover[window]
    toward_light = (reach * math.cos(light), reach * math.sin(light))
    side = (2 * reach + 1, 2 * reach + 1)
    blurred = cv2.blur(cv2.blur(cover, side), side)
    shadow = _shift(blurred, (-toward_light[0], -toward_light[1]))
    relief = shadow - _shift(blurred, toward_light)
    canvas *= 1 - np.float32(0.35) * shadow
    pattern = render_pattern(item.texture, *cover.shape)
    painted = colour(pattern, item.texture.palette) + 45 * relief
    canvas += cover.astype(np.float32) / 255 * (painted - canvas)


def _window(
    box: tuple[float, float, float, float], shape: tuple[int, ...], *, margin: int = 1
) -> tuple[slice, slice]:
    """Return the rows and columns of a box (left, top, right, bottom) and a margin, clipped."""
    left, top, right, bottom = box
    rows = slice(max(0, int(top) - margin), min(shape[0], int(bottom) + 1 + margin))
    return rows, slice(max(0, int(left) - margin), min(shape[1], int(right) + 1 + margin))


def _shift(cover: np.ndarray, by: tuple[float, float]) -> np.ndarray:
    """Return `cover` / 255 moved by whole pixels (x, y); what comes in repeats the border."""
    matrix = np.array([[1, 0, round(by[0])], [0, 1, round(by[1])]], np.float32)
    height, width = cover.shape
    moved = cv2.warpAffine(
        cover, matrix, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )
    return moved.astype(np.float32) / 255

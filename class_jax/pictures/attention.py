"""Sheets that show where a network's cross-level attention looks (the paper's Fig. 1 and 3)."""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from class_jax.data.resize import resize
from class_jax.data.sheet import CELL, Panel, draw_sheet, fit
from class_jax.errors import UserError

if TYPE_CHECKING:
    from class_jax.models.classnet import Attention
    from class_jax.pictures.outputs import Output, Scene

LEVELS = (4, 3, 2)
POINT = (255, 40, 40)


def draw_attention(output: "Output", scene: "Scene") -> np.ndarray:
    """Draw, for a point, its row of S at levels 4, 3, 2, and the strongest channel of Z there.

    Returns:
      The sheet, uint8 RGB.

    Raises:
      UserError: the point lies outside of the image, or the network cannot show its attention.
    """
    assert scene.original is not None
    assert scene.engine is not None
    image, saliency = np.ascontiguousarray(scene.original.pixels[..., :3]), scene.saliency
    height, width = saliency.shape
    x, y = output.point or divmod(int(saliency.argmax()), width)[::-1]
    if not (0 <= x < width and 0 <= y < height):
        raise UserError(f"the point {x},{y} lies outside of {scene.name}, {width}x{height} pixels.")
    side = scene.engine.image_size
    attention = scene.engine.attend(resize(image, side, side)[None])
    place = ((y + 0.5) / height, (x + 0.5) / width)
    small = fit(image, CELL)
    marked = _mark(small, x / width, y / height)
    first = [Panel(marked, f"the point {x}, {y}")]
    second = [Panel(_heat(small, saliency, (0, 1)), "saliency map")]
    for level, stage in zip(LEVELS, reversed(attention), strict=True):
        first.append(_position_panel(stage, level, small, place))
        second.append(_channel_panel(stage, level, small))
    return draw_sheet([first, second])


def _position_panel(
    stage: "Attention", level: int, image: np.ndarray, place: tuple[float, float]
) -> Panel:
    """Show the row of S of a point, given as shares of the height and width."""
    if stage.position is None:
        return Panel(image, f"level {level}: no position attention")
    tall, wide = stage.high.shape[1:3]
    row, column = int(place[0] * tall), int(place[1] * wide)
    weights = np.asarray(stage.position[0, row * wide + column]).reshape(stage.low_shape)
    off = "" if stage.alpha else ": off, alpha = 0"
    return Panel(_heat(image, weights), f"S, level {level}{off}")


def _channel_panel(stage: "Attention", level: int, image: np.ndarray) -> Panel:
    """Show the channel of level 5 that the channels of a level take most from, by Z."""
    if stage.channel is None:
        return Panel(image, f"level {level}: no channel attention")
    shares = stage.channel[0].mean(axis=0)
    strongest = int(shares.argmax())
    activation = np.asarray(stage.high[0, ..., strongest], np.float32)
    caption = f"Z, level {level}: channel {strongest}, {shares[strongest]:.0%}"
    return Panel(_heat(image, activation), caption)


def _heat(
    image: np.ndarray, values: np.ndarray, limits: tuple[float, float] | None = None
) -> np.ndarray:
    """Paint values, [h, w], within `limits`, else from least to largest, over a grey image."""
    values = cv2.resize(values, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    low, high = limits or (float(values.min()), float(values.max()))
    levels = ((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    return (0.35 * grey + 0.65 * colours).astype(np.uint8)


def _mark(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """Draw a ring round a point, given as shares of width and height."""
    centre = (int(x * image.shape[1]), int(y * image.shape[0]))
    marked = cv2.circle(image.copy(), centre, 9, (255, 255, 255), 4, cv2.LINE_AA)
    return cv2.circle(marked, centre, 9, POINT, 2, cv2.LINE_AA)

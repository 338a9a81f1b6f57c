"""Sheets that show where a network's cross-level attention looks (the paper's Fig. 1 and 3)."""

import functools

import cv2
import jax
import numpy as np

from class_jax.data.resize import resize
from class_jax.data.sheet import CELL, Panel, draw_sheet
from class_jax.errors import UserError
from class_jax.models.classnet import Attention
from class_jax.models.network import Network, Variables
from class_jax.networks.jax_engine import JaxEngine
from class_jax.pictures.predictor import Predictor

LEVELS = (4, 3, 2)
POINT = (255, 40, 40)


def draw_attention(
    predictor: Predictor,
    image: np.ndarray,
    saliency: np.ndarray,
    point: tuple[int, int] | None,
    name: object,
) -> np.ndarray:
    """Draw, for a point, its row of S at levels 4, 3, 2, and the strongest channel of Z there.

    Args:
      predictor: by JAX.
      image: uint8 RGB [H, W, 3].
      saliency: its map, float32 [H, W] in 0–1.
      point: x and y in pixels; None: the most salient pixel.
      name: of the image, for messages.

    Returns:
      The sheet, uint8 RGB.

    Raises:
      UserError: the point lies outside of the image.
    """
    height, width = saliency.shape
    if point is None:
        y, x = divmod(int(saliency.argmax()), width)
    else:
        x, y = point
    if not (0 <= x < width and 0 <= y < height):
        raise UserError(f"the point {x},{y} lies outside of {name}, {width}x{height} pixels.")
    inside = predictor.prepare(image)
    inner = predictor.inner_size(inside)
    assert isinstance(predictor.engine, JaxEngine)
    stages = _attend(predictor.engine.network, predictor.engine.variables, inside.pixels[None])
    stages = dict(zip((2, 3, 4), jax.device_get(stages), strict=True))
    place = ((y + 0.5) / height * inner[0], (x + 0.5) / width * inner[1])
    small = _fit(image)
    marked = _mark(small, x / width, y / height)
    side = predictor.image_size
    first = [Panel(marked, f"the point {x}, {y}")]
    second = [Panel(_heat(small, saliency, (0, 1)), "saliency map")]
    for level in LEVELS:
        first.append(_position_panel(stages[level], level, small, place, inner, side))
        second.append(_channel_panel(stages[level], level, small, inner, side))
    return draw_sheet([first, second])


@functools.partial(jax.jit, static_argnums=0)
def _attend(network: Network, variables: Variables, images: jax.Array) -> list[Attention]:
    return network.attend(variables, images)


def _position_panel(
    stage: Attention,
    level: int,
    image: np.ndarray,
    place: tuple[float, float],
    inner: tuple[int, int],
    side: int,
) -> Panel:
    """Show a row of S: how much the point's position at level 5 takes from each position."""
    if stage.position is None:
        return Panel(image, f"level {level}: no position attention")
    tall, wide = stage.high.shape[1:3]
    row, column = int(place[0] * tall / side), int(place[1] * wide / side)
    weights = np.asarray(stage.position[0, row * wide + column]).reshape(stage.low_shape)
    caption = f"S, level {level}"
    if not stage.alpha:
        caption += ": off, alpha = 0"
    return Panel(_heat(image, _unfit(weights, inner, side)), caption)


def _channel_panel(
    stage: Attention, level: int, image: np.ndarray, inner: tuple[int, int], side: int
) -> Panel:
    """Show the channel of level 5 that the channels of a level take most from, by Z."""
    if stage.channel is None:
        return Panel(image, f"level {level}: no channel attention")
    shares = stage.channel[0].mean(axis=0)
    strongest = int(shares.argmax())
    activation = np.asarray(stage.high[0, ..., strongest], np.float32)
    caption = f"Z, level {level}: channel {strongest}, {shares[strongest]:.0%}"
    return Panel(_heat(image, _unfit(activation, inner, side)), caption)


def _unfit(values: np.ndarray, inner: tuple[int, int], side: int) -> np.ndarray:
    """Return values over the network's square, [h, w], at the image's part of the square."""
    square = cv2.resize(values, (side, side), interpolation=cv2.INTER_LINEAR)
    return square[: inner[0], : inner[1]]


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


def _fit(image: np.ndarray) -> np.ndarray:
    """Return an image that fits into a panel."""
    scale = CELL / max(image.shape[:2])
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    return resize(image, height, width)


def _mark(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """Draw a ring round a point, given as shares of width and height."""
    centre = (int(x * image.shape[1]), int(y * image.shape[0]))
    marked = cv2.circle(image.copy(), centre, 9, (255, 255, 255), 4, cv2.LINE_AA)
    return cv2.circle(marked, centre, 9, POINT, 2, cv2.LINE_AA)

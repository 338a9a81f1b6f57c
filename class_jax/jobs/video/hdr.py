"""High dynamic range (PQ, HLG) as usual BT.709: ITU-R BT.2100 to light, a shoulder, BT.1886."""

import functools

import cv2
import numpy as np

PQ, HLG = 16, 18  # transfer characteristics, ITU-T H.273
WHITE, HLG_PEAK = 203, 1000  # candela a square metre: of white paper, BT.2408; of HLG's display
SHOULDER = 0.7  # luminance relative to paper white above which highlights are compressed
LUMINANCE = np.array([[0.2627, 0.6780, 0.0593]], np.float32)  # of the primaries of BT.2020
TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    np.float32,
)
LEVELS = 65_536


def tone_map(levels: np.ndarray, transfer: int) -> np.ndarray:
    """Return uint16 levels of BT.2020 [H, W, 3] as uint8 of BT.709, highlights compressed.

    Args:
      levels: of PQ or HLG.
      transfer: which of both.
    """
    light = _light_of_levels(transfer)[levels]  # 1: white paper
    if transfer == HLG:
        light *= (HLG_PEAK / WHITE) * cv2.transform(light, LUMINANCE)[..., None] ** 0.2
    light = np.maximum(cv2.transform(light, TO_BT709), 0)
    highest = light.max(-1, keepdims=True)  # one factor for all channels keeps the hue
    room = 1 - SHOULDER
    shown = 1 - room * np.exp((SHOULDER - highest) / room)
    light *= np.where(highest > SHOULDER, shown / np.maximum(highest, SHOULDER), 1)
    return _levels_of_light()[np.rint(light * (LEVELS - 1)).astype(np.uint16)]


@functools.cache
def _light_of_levels(transfer: int) -> np.ndarray:
    """Return the light of each level: of the display for PQ, of the scene for HLG."""
    x = np.linspace(0, 1, LEVELS)
    if transfer == HLG:
        high = (np.exp((x - 0.55991073) / 0.17883277) + 0.28466892) / 12
        return np.where(x <= 0.5, x**2 / 3, high).astype(np.float32)
    root = x ** (32 / 2523)
    ratio = np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)
    return (10_000 / WHITE * ratio ** (8192 / 1305)).astype(np.float32)


@functools.cache
def _levels_of_light() -> np.ndarray:
    return np.rint(255 * np.linspace(0, 1, LEVELS) ** (1 / 2.4)).astype(np.uint8)

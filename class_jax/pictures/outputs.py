"""The table of output kinds: the settings of each, and how it is drawn."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from class_jax.data.folders import file_fingerprint
from class_jax.data.images import Original, lay_on_white, to_levels
from class_jax.errors import UserError
from class_jax.networks.engines import Engine
from class_jax.pictures import attention, drawing

MAP, CUTOUT, OVERLAY, ATTENTION = "map", "cutout", "overlay", "attention"
OBJECT_LEVEL = 0.5  # least level of the object, unless a threshold is given

# "blur", an image, a colour of sRGB, or the path of a video, which lies behind videos.
Background = str | Original | tuple[int, int, int] | Path


class Scene(NamedTuple):
    """The map and the image that an output is drawn from."""

    saliency: np.ndarray  # float32 [H, W] in 0–1
    original: Original | None  # the image; None: of a map
    name: str  # for messages
    engine: Engine | None = None  # computes where the network looks


class Kind(NamedTuple):
    """A kind of output."""

    noun: str  # in the plural
    settings: tuple[str, ...]  # that it takes: threshold, crop, background, point
    render: "Callable[[Output, Scene], np.ndarray]"  # uint8 [H, W] or [H, W, 3 or 4]
    has_alpha: bool = False  # transparent in parts, unless there is a background
    needs_image: bool = True  # beside the map
    keeps_metadata: bool = True  # of the image: profile, resolution, EXIF
    moves: bool = True  # it can be made of the frames of a video, and smoothed along time

    def takes(self, setting: str) -> bool:
        """Return whether it has a setting."""
        return setting in self.settings or (setting == "smooth" and self.moves)


OUTPUTS = {
    MAP: Kind(
        "maps", ("threshold", "crop"), drawing.draw_map, needs_image=False, keeps_metadata=False
    ),
    CUTOUT: Kind(
        "cut-outs", ("threshold", "crop", "background"), drawing.draw_cutout, has_alpha=True
    ),
    OVERLAY: Kind("overlays", ("threshold", "crop"), drawing.draw_overlay),
    ATTENTION: Kind(
        "sheets", ("point",), attention.draw_attention, keeps_metadata=False, moves=False
    ),
}


class Output(NamedTuple):
    """A kind of output with its settings; `settings.parse_output` checks them."""

    kind: str = MAP  # a key of OUTPUTS
    background: Background | None = None  # None: transparent
    threshold: float | None = None  # a hard mask at this level
    crop: bool = False  # to the object
    point: tuple[int, int] | None = None  # x, y: whose attention is shown
    smooth: float | None = None  # the share of frames before in a video's maps

    @property
    def row(self) -> Kind:
        """Return the entry of its kind."""
        return OUTPUTS[self.kind]

    @property
    def needs_image(self) -> bool:
        """Return whether the image is needed beside its map."""
        return self.row.needs_image or self.smooth is not None

    @property
    def has_alpha(self) -> bool:
        """Return whether the output is transparent in parts."""
        return self.row.has_alpha and self.background is None

    @property
    def moves(self) -> bool:
        """Return whether it can be made of all frames of a video: crops differ in size."""
        return self.row.moves and not self.crop

    @property
    def text(self) -> str:
        """Return a text that differs if the settings do; "" for plain maps."""
        background = self.background
        if isinstance(background, Path):
            background = file_fingerprint(background)
        elif isinstance(background, Original):
            profile = background.metadata.get("icc_profile") or b""
            content = np.ascontiguousarray(background.pixels).tobytes() + profile
            background = f"{background.pixels.shape} {hashlib.sha256(content).hexdigest()}"
        return "" if self == Output() else repr(self._replace(background=background))

    def finds_object(self, saliency: np.ndarray) -> bool:
        """Return whether anything is salient in a map."""
        return bool(saliency.max() >= (self.threshold or OBJECT_LEVEL))


MAPS = Output()


def render(output: Output, scene: Scene) -> np.ndarray:
    """Return the pixels of an output.

    Returns:
      uint8: [h, w] for a map, [h, w, 4] for a transparent cut-out, else [h, w, 3]; h and w are
      those of the saliency map unless it is cropped.

    Raises:
      UserError: the map is not finite or not in 0–1, or a point lies outside of the image.
    """
    to_levels(scene.saliency, scene.name)  # NaN would pass for an alpha
    if scene.original is None and output.needs_image:
        raise UserError(f"{output.row.noun} need the image as well as its map.")
    return output.row.render(output, scene)


def check_array(image: np.ndarray) -> np.ndarray:
    """Return an array if it is an image, uint8 RGB [H, W, 3]; ValueError if it is not."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        got = f"{image.dtype} {list(image.shape)}"
        raise ValueError(f"expected uint8 RGB [H, W, 3], not empty, got {got}")
    return image


def flatten(original: Original) -> Original:
    """Lay an image that is transparent in parts on white."""
    if original.pixels.shape[2] == 3:
        return original
    return original._replace(pixels=lay_on_white(original.pixels))

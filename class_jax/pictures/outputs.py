"""Kinds of outputs: a table; what each takes, and how it is drawn of an image and its map."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from class_jax.data.images import Original, to_levels
from class_jax.errors import UserError
from class_jax.pictures import attention, drawing

if TYPE_CHECKING:
    from class_jax.models.classnet import Attention

MAP, CUTOUT, OVERLAY, ATTENTION = "map", "cutout", "overlay", "attention"
OBJECT_LEVEL = 0.5  # from here on a pixel belongs to the object, unless a threshold is given

Background = str | Original | tuple[int, int, int]  # "blur", a picture or a colour of sRGB
Attend = Callable[[np.ndarray], "list[Attention]"]  # of an image, uint8 RGB [H, W, 3]


class Scene(NamedTuple):
    """A map, and the image beside it, that an output is drawn of."""

    saliency: np.ndarray  # float32 [H, W] in 0–1
    image: np.ndarray | None  # uint8 RGB [H, W, 3] or RGBA [H, W, 4]; None: of a map
    name: str  # for messages
    profile: bytes | None = None  # of the image's colours; None: sRGB
    attend: Attend | None = None  # computes where the network looks


class Kind(NamedTuple):
    """A kind of output."""

    noun: str  # in the plural
    settings: tuple[str, ...]  # that it takes: threshold, crop, background, point
    render: "Callable[[Output, Scene], np.ndarray]"  # uint8 [H, W] or [H, W, 3 or 4]
    has_alpha: bool = False  # transparent in parts, unless there is a background
    needs_image: bool = True  # beside the map
    keeps_metadata: bool = True  # of the image: profile, resolution, EXIF
    moves: bool = True  # it can be made of the frames of a video


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
    text: str = ""  # differs if any of these does; "" for plain maps

    @property
    def noun(self) -> str:
        """Return the name of the kind, in the plural."""
        return OUTPUTS[self.kind].noun

    @property
    def needs_image(self) -> bool:
        """Return whether the image is needed beside its map."""
        return OUTPUTS[self.kind].needs_image

    @property
    def has_alpha(self) -> bool:
        """Return whether the output is transparent in parts."""
        return OUTPUTS[self.kind].has_alpha and self.background is None

    @property
    def moves(self) -> bool:
        """Return whether it can be made of all frames of a video: crops differ in size."""
        return OUTPUTS[self.kind].moves and not self.crop

    def finds_object(self, saliency: np.ndarray) -> bool:
        """Return whether anything is salient in a map."""
        return bool(saliency.max() >= (self.threshold or OBJECT_LEVEL))


MAPS = Output()


def render(
    output: Output,
    saliency: np.ndarray,
    image: np.ndarray | None,
    name: object,
    *,
    profile: bytes | None = None,
    attend: Attend | None = None,
) -> np.ndarray:
    """Return the pixels of an output, uint8.

    Args:
      output: what to make.
      saliency: float32 [H, W] in 0–1.
      image: uint8 RGB or RGBA [H, W, C]; None for a map.
      name: of the output, for messages.
      profile: the ICC profile of the image's colours; None: sRGB.
      attend: computes where the network looks, for a sheet.

    Returns:
      [h, w] for a map, [h, w, 4] for a transparent cut-out, else [h, w, 3]; h and w are those of
      the map unless it is cropped.

    Raises:
      UserError: the map is not finite or not in 0–1, or a point lies outside of the image.
    """
    to_levels(saliency, str(name))  # NaN would pass for an alpha
    if image is None and output.needs_image:
        raise UserError(f"{output.noun} need the picture beside its map.")
    scene = Scene(saliency, image, str(name), profile, attend)
    return OUTPUTS[output.kind].render(output, scene)

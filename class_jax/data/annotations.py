"""Masks that are drawn from the outlines in annotation files of labelme and COCO."""

import base64
import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from class_jax.data.decode import MAX_PIXELS, decode
from class_jax.data.masks import ANY, Classes, Reading, to_mask
from class_jax.errors import UserError
from class_jax.text import list_names

DRAWN = "drawn from outlines in an annotation file"
CIRCLE = np.linspace(0, 2 * np.pi, 256, endpoint=False)  # angles of the corners of a circle


class Outline(NamedTuple):
    """The outline of an object, and the words that name its class."""

    classes: tuple[str, ...]
    # Corners (x, y), float64 [N, 2], or lengths of runs of 0 and 1 in turns, down the columns.
    shape: np.ndarray


class Drawing(NamedTuple):
    """The mask of an image as outlines, which are joined."""

    file: Path
    height: int  # and width: 0 if the file does not say
    width: int
    outlines: tuple[Outline, ...]
    left_out: int = 0  # points, lines and boxes

    def draw(self, size: tuple[int, int] = (0, 0)) -> Reading:
        """Return the mask; UserError if its size is impossible, or not that of its runs.

        Args:
          size: the image's height and width, where the file does not say them.
        """
        height, width = (self.height, self.width) if self.height or self.width else size
        if not 0 < height * width <= MAX_PIXELS:
            raise UserError(f"{self.file}: there is no image of {width}x{height} pixels.")
        mask = np.zeros((height, width), bool)
        for _, shape in self.outlines:
            if shape.ndim == 2:
                fill_polygon(mask, shape)
            elif shape.sum() == mask.size:
                values = np.repeat(np.arange(len(shape)) % 2 == 1, shape)
                mask |= values.reshape(mask.shape, order="F")
            else:
                raise UserError(f"{self.file}: runs that are not {width}x{height} long.")
        return Reading(to_mask(mask), (DRAWN,))


def fill_polygon(mask: np.ndarray, corners: np.ndarray) -> None:
    """Set the pixels of a bool mask [H, W] whose centres lie in a polygon, by the even-odd rule."""
    height, width = mask.shape
    start, end = corners, np.roll(corners, -1, axis=0)
    ends = np.sort([start[:, 1], end[:, 1]], axis=0)
    first, last = np.clip(np.ceil(ends - 0.5), 0, height).astype(int)  # rows that an edge crosses
    edges = np.repeat(np.arange(len(corners)), last - first)
    rows = np.concatenate([np.arange(*pair) for pair in zip(first, last, strict=True)])
    x, y = start[edges].T
    run, rise = (end - start)[edges].T
    columns = np.clip(np.ceil(x + (rows + 0.5 - y) * run / rise - 0.5), 0, width).astype(int)
    # A pixel is inside if an odd number of edges lie to its left.
    top, bottom = first.min(), last.max()
    toggles = np.zeros((bottom - top, width + 1), np.uint8)
    np.bitwise_xor.at(toggles, (rows - top, columns), 1)
    mask[top:bottom] |= np.bitwise_xor.accumulate(toggles, axis=1)[:, :width].astype(bool)


def choose_classes(drawings: Mapping[str, Drawing], salient: Classes) -> dict[str, Drawing]:
    """Return the drawings of the salient classes; of all classes if none are named.

    Raises:
      UserError: no drawing has a named class.
    """
    wanted = {str(item) for item in salient} - {ANY}
    if not wanted:
        return dict(drawings)
    known = {outline.classes for drawing in drawings.values() for outline in drawing.outlines}
    if missing := wanted - {word for classes in known for word in classes}:
        raise UserError(
            f"config.data.salient: there is no class {list_names(sorted(missing))}, but "
            f"{list_names(sorted(' '.join(reversed(classes)) for classes in known)) or 'none'}."
        )
    return {
        name: drawing._replace(outlines=tuple(o for o in drawing.outlines if wanted & {*o.classes}))
        for name, drawing in drawings.items()
    }


def read_drawings(
    files: Mapping[str, Path], salient: Classes
) -> tuple[dict[str, Drawing], dict[str, str]]:
    """Read files of labelme; return the drawings of salient classes, and why others are broken.

    Raises:
      UserError: as `choose_classes`.
    """
    drawings, broken = {}, {}
    for name, path in files.items():
        try:
            drawings[name] = read_labelme(path)
        except UserError as error:
            broken[name] = str(error).rstrip(".")
    return choose_classes(drawings, salient), broken


def read_labelme(path: Path) -> Drawing:
    """Read a labelme file, which holds the outlines of one image.

    Labels that begin with "_" mean no object.

    Raises:
      UserError: the file cannot be read, or is not a labelme file.
    """
    with _open(path, "labelme") as content:
        height, width = (int(content.get(key) or 0) for key in ("imageHeight", "imageWidth"))
        outlines, left_out = [], 0
        for entry in content["shapes"]:
            if (shape := _labelme_shape(entry, height, width)) is None:
                left_out += 1
            elif not str(entry["label"]).startswith("_"):
                outlines.append(Outline((str(entry["label"]),), shape))
    return Drawing(path, height, width, tuple(outlines), left_out)


def _labelme_shape(entry: Any, height: int, width: int) -> np.ndarray | None:
    """Return a labelme shape; None for one without an area."""
    kind = entry.get("shape_type") or "polygon"
    if kind not in ("polygon", "rectangle", "circle", "mask"):
        return None
    corners = _corners(entry["points"])
    if kind == "polygon":
        return corners if len(corners) > 2 else None
    (left, top), (right, bottom) = corners[:2]
    if kind == "rectangle":
        return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    if kind == "circle":  # by its centre and a point on it
        radius = np.hypot(right - left, bottom - top)
        return corners[0] + radius * np.stack([np.cos(CIRCLE), np.sin(CIRCLE)], axis=1)
    part = np.asarray(decode(base64.b64decode(entry["mask"])).image) > 0
    whole = np.zeros((height, width), bool)
    whole[int(top) :, int(left) :][: part.shape[0], : part.shape[1]] = part
    changes = np.flatnonzero(np.diff(whole.ravel(order="F"), prepend=False, append=False))
    return np.diff(changes, prepend=0, append=whole.size)


def read_coco(path: Path) -> dict[str, Drawing]:
    """Read a COCO file; return the masks of its images by their `file_name`.

    An image without annotations has an empty mask.

    Raises:
      UserError: the file cannot be read, is not a COCO file, or holds only boxes.
    """
    with _open(path, "COCO") as content:
        names = {entry["id"]: str(entry["name"]) for entry in content.get("categories", ())}
        outlines: dict[Any, list[Outline]] = {entry["id"]: [] for entry in content["images"]}
        left_out = dict.fromkeys(outlines, 0)
        for entry in content["annotations"]:
            number, shapes = entry["category_id"], list(_coco_shapes(entry.get("segmentation")))
            classes = (str(number), names.get(number, str(number)))
            outlines[entry["image_id"]] += [Outline(classes, shape) for shape in shapes]
            left_out[entry["image_id"]] += not shapes
        drawings: dict[str, Drawing] = {}
        for entry in content["images"]:
            number, name = entry["id"], str(entry["file_name"]).replace("\\", "/")
            high, wide = (int(entry.get(key) or 0) for key in ("height", "width"))
            drawn = Drawing(path, high, wide, tuple(outlines[number]), left_out[number])
            if same := drawings.get(name):  # listed twice, as in files that were joined
                joined = (*same.outlines, *drawn.outlines)
                drawn = drawn._replace(outlines=joined, left_out=same.left_out + drawn.left_out)
            drawings[name] = drawn
    if any(left_out.values()) and not any(outlines.values()):
        raise UserError(f"{path} holds boxes but no outlines, so no masks can be drawn.")
    return drawings


def _coco_shapes(segmentation: Any) -> Iterator[np.ndarray]:
    """Yield the polygons of an annotation, or its runs."""
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        runs = list(_unpack_counts(counts)) if isinstance(counts, str) else counts
        if len(runs) and min(runs) >= 0:
            yield np.asarray(runs, np.int64)
        return
    for polygon in segmentation or ():
        if len(polygon) >= 6:
            yield _corners(np.reshape(polygon, (-1, 2)))


def _unpack_counts(text: str) -> Iterator[int]:
    """Yield the lengths that COCO packs into text: 5 bits a letter, as differences."""
    counts: list[int] = []
    value = shift = 0
    for letter in (ord(letter) - 48 for letter in text):
        value |= (letter & 31) << shift
        shift += 5
        if letter & 32:  # more follows
            continue
        if letter & 16:  # negative
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        yield counts[-1]
        value = shift = 0


def _corners(points: Collection[Any]) -> np.ndarray:
    """Return points as float64 [N, 2]; ValueError for others."""
    corners = np.asarray(points, np.float64).reshape(-1, 2)
    if not np.isfinite(corners).all():
        raise ValueError("a coordinate that is not finite")
    return corners


@contextlib.contextmanager
def _open(path: Path, tool: str) -> Iterator[Any]:
    """Yield the content of an annotation file; UserError if it is not as the tool writes it."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}).") from error
    try:
        yield content
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"{path} is not an annotation file of {tool} ({error!r}).") from error

"""Masks that are drawn from the polygons in annotation files of labelme and COCO."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from class_jax.data.decode import MAX_PIXELS
from class_jax.data.masks import ANY, Classes, Reading, to_mask
from class_jax.errors import UserError
from class_jax.text import list_names

ANNOTATION = ".json"  # suffix of the files
DRAWN = "drawn from polygons in an annotation file"
NO_POLYGONS = "with annotations that are no polygons, which are left out"


class Drawing(NamedTuple):
    """The mask of an image as polygons, which are joined."""

    file: Path
    height: int
    width: int
    polygons: tuple[np.ndarray, ...] = ()  # corners (x, y), float64 [N, 2]
    left_out: bool = False  # there are annotations without polygons

    def draw(self) -> Reading:
        """Return the mask; UserError if there is no image of its size."""
        if not 0 < self.height * self.width <= MAX_PIXELS:
            size = f"{self.width}x{self.height}"
            raise UserError(f"{self.file}: there is no image of {size} pixels.")
        mask = np.zeros((self.height, self.width), bool)
        for corners in self.polygons:
            fill_polygon(mask, corners)
        return Reading(to_mask(mask), (DRAWN, NO_POLYGONS) if self.left_out else (DRAWN,))


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


def read_labelme(path: Path, salient: Classes = ()) -> Drawing:
    """Read a labelme file, which holds the polygons of one image.

    Args:
      path: the file.
      salient: labels that are salient; if there are none, all but those that begin with "_".

    Raises:
      UserError: the file cannot be read, or is not a labelme file.
    """
    wanted = _names_of(salient)
    with _open(path, "labelme") as content:
        shapes = [
            entry
            for entry in content["shapes"]
            if (entry["label"] in wanted if wanted else not str(entry["label"]).startswith("_"))
        ]
        polygons = _polygons_of(
            entry["points"] for entry in shapes if entry.get("shape_type") in (None, "polygon")
        )
        size = int(content["imageHeight"]), int(content["imageWidth"])
    return Drawing(path, *size, polygons, len(polygons) < len(shapes))


def read_coco(path: Path, salient: Classes = ()) -> dict[str, Drawing]:
    """Read a COCO file; return the masks of its images by their `file_name`.

    An image without annotations has an empty mask.

    Args:
      path: the file.
      salient: names or numbers of the classes that are salient; if there are none, all.

    Raises:
      UserError: the file cannot be read, is not a COCO file, or has no such class or no polygon.
    """
    wanted = _names_of(salient)
    with _open(path, "COCO") as content:
        classes = {item["id"]: str(item["name"]) for item in content.get("categories", ())}
        if missing := wanted - {*classes.values(), *map(str, classes)}:
            raise UserError(
                f"config.data.salient: there is no class {list_names(sorted(missing))}, but "
                f"{list_names(sorted(classes.values())) or 'none'}."
            )
        names = {i["id"]: str(i["file_name"]).replace("\\", "/") for i in content["images"]}
        polygons: dict[str, list[tuple[np.ndarray, ...]]] = {name: [] for name in names.values()}
        for item in content["annotations"]:
            number, shape = item["category_id"], item.get("segmentation")
            if not wanted or wanted & {str(number), classes.get(number)}:
                found = _polygons_of(shape if isinstance(shape, list) else ())
                polygons[names[item["image_id"]]].append(found)
        sizes = {names[i["id"]]: (int(i["height"]), int(i["width"])) for i in content["images"]}
    if any(polygons.values()) and not any(any(found) for found in polygons.values()):
        raise UserError(f"{path} holds annotations but no polygons: no masks can be drawn.")
    return {
        name: Drawing(path, *sizes[name], sum(found, ()), not all(found))
        for name, found in polygons.items()
    }


def _names_of(salient: Classes) -> set[str]:
    return {str(item) for item in salient} - {ANY}


def _polygons_of(parts: Iterable[Any]) -> tuple[np.ndarray, ...]:
    """Return lists of numbers as corners; ValueError for others. Points and lines are left out."""
    polygons = [np.reshape(part, (-1, 2)).astype(np.float64) for part in parts]
    if not all(np.isfinite(corners).all() for corners in polygons):
        raise ValueError("a coordinate that is not finite")
    return tuple(corners for corners in polygons if len(corners) > 2)


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

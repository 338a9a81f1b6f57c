"""Outlines of objects in the files of the published sources: corners (x, y), float64 [N, 2]."""

import io
from collections.abc import Collection
from typing import Any

import numpy as np
import scipy.io

SMALL = 0.02  # share of an image: smaller objects of COCO do not stand out
SURFACES = {"dining table", "bed", "couch"}  # in COCO: what objects lie on


def read_outlines(kind: str, content: Any, height: int, width: int) -> list[np.ndarray]:
    """Return the outlines of an image of a height and width, in the content of a file.

    Its kind is "matlab"; "yolo", a text of lines of a class and x, y, x, y … in 0–1; "coco", its
    polygons; or empty, without outlines.
    """
    if not kind:
        return []
    if kind == "coco":
        return content
    if kind == "yolo":
        lines = [line.split()[1:] for line in content.decode().splitlines()]
        return [np.reshape(line, (-1, 2)).astype(float) * (width, height) for line in lines if line]
    entry = scipy.io.loadmat(io.BytesIO(content))
    outlines = []
    for item in entry["object"].ravel() if "object" in entry else [entry]:
        # The contour, [2, N], begins at its box: top, bottom, left, right, from 1.
        top, _, left, _ = item["box_coord"].astype(float).ravel()
        outlines.append(item["obj_contour"].T.astype(float) + np.array([left - 1, top - 1]))
    return outlines


def load_polygons(content: dict[str, Any]) -> dict[str, list[np.ndarray]]:
    """Return the polygons in the content of a file of COCO, by the names of its images."""
    names = {item["id"]: item["file_name"] for item in content["images"]}
    found: dict[str, list[np.ndarray]] = {name: [] for name in names.values()}
    for item in content["annotations"]:
        polygons = [part for part in item["segmentation"] if len(part) >= 6]
        found[names[item["image_id"]]] += [np.reshape(p, (-1, 2)).astype(float) for p in polygons]
    return found


def cut_coco(
    content: dict[str, Any], names: Collection[str], *, category: int | None
) -> dict[str, Any]:
    """Return COCO's annotations of some images, and only of what stands out in them.

    That is an object of a category (None: of any but SURFACES) that covers SMALL of the image,
    and a smaller one whose centre lies in the box of such an object.
    """
    images = {item["id"]: item for item in content["images"] if item["file_name"] in names}
    kinds = {item["id"]: item["name"] for item in content["categories"]}
    objects: dict[int, list[Any]] = {number: [] for number in images}
    for entry in content["annotations"]:
        kind = entry["category_id"]
        if entry["image_id"] in images and not entry["iscrowd"] and kinds[kind] not in SURFACES:
            objects[entry["image_id"]] += [entry] if category in (None, kind) else []
    chosen = []
    for number, entries in objects.items():
        least = SMALL * images[number]["height"] * images[number]["width"]
        large = [entry for entry in entries if entry["area"] >= least]
        chosen += [one for one in entries if one in large or any(_lies_in(one, o) for o in large)]
    return {**content, "images": list(images.values()), "annotations": chosen}


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


def _lies_in(entry: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether the centre of an object's box lies in another's."""
    x, y, width, height = entry["bbox"]
    left, top, across, down = other["bbox"]
    return left <= x + width / 2 <= left + across and top <= y + height / 2 <= top + down

"""Maps for the images of a set, written and then measured against the masks."""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from class_jax.data.images import map_levels, write_map
from class_jax.data.sources import Example, Source
from class_jax.errors import UserError
from class_jax.evaluation.protocols import PYSOD, Figures, Measurement, measure

Predict = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class SetScores:
    """What a method scores on a set by a protocol."""

    set_name: str
    method: str
    protocol: str
    total: Measurement  # over all images that could be read
    per_image: dict[str, Figures]  # by name, in the set's order
    failed: dict[str, str]  # name → why it could not be read, or its map not be written


def map_path(maps_dir: Path, name: str) -> Path:
    """Where the map of an image lies."""
    return maps_dir / f"{name}.png"


def evaluate_set(
    set_name: str,
    source: Source,
    predict: Predict,
    maps_dir: Path,
    *,
    batch_size: int,
    method: str = "CLASS",
) -> SetScores:
    """Write the map of every image of a set, and measure what was written.

    Args:
      set_name: for tables.
      source: the images and masks; what cannot be read is left out, and named in the result.
      predict: gives float32 maps [H, W] in 0–1 for uint8 images [H, W, 3], at their own sizes.
      maps_dir: where `<name>.png` are written, 8-bit grey; created.
      batch_size: most images that `predict` gets at once.
      method: for tables.

    Raises:
      UserError: nothing could be read, a map is not a map, or the maps cannot be written.
    """
    total = Measurement.nothing()
    per_image: dict[str, Figures] = {}
    failed: dict[str, str] = {}
    with _progress_bar(set_name, len(source)) as bar:
        for batch in _batches(_readable(source, failed, bar), batch_size):
            maps = predict([example["image"] for example in batch])
            for example, saliency in zip(batch, maps, strict=True):
                bar.update()
                try:
                    written = _write(maps_dir, example["name"], saliency)
                except UserError as error:
                    failed[example["name"]] = str(error)
                    continue
                measurement = measure(written, example["mask"])
                per_image[example["name"]] = measurement.figures()
                total += measurement
    if not total.images:
        raise UserError(_nothing_readable(set_name, failed))
    return SetScores(set_name, method, PYSOD, total, per_image, failed)


def _progress_bar(set_name: str, total: int) -> tqdm:
    return tqdm(
        total=total,
        desc=set_name,
        unit="image",
        mininterval=0.5 if sys.stderr.isatty() else 10.0,
    )


def _readable(source: Source, failed: dict[str, str], bar: tqdm) -> Iterator[Example]:
    """The examples in the set's order; those that cannot be read go to `failed`."""
    for index, name in enumerate(source.names):
        try:
            example = source[index]
        except UserError as error:
            failed[name] = str(error)
            bar.update()
            continue
        yield example


def _batches(examples: Iterator[Example], batch_size: int) -> Iterator[list[Example]]:
    """Lists of `batch_size`, the last one shorter."""
    batch: list[Example] = []
    for example in examples:
        batch.append(example)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _write(maps_dir: Path, name: str, saliency: np.ndarray) -> np.ndarray:
    """Write a map as 8 bits, and give what was written."""
    levels = map_levels(saliency, name)
    write_map(map_path(maps_dir, name), levels)
    return levels


def _nothing_readable(set_name: str, failed: dict[str, str]) -> str:
    if not failed:
        return f"the set {set_name} holds no image: nothing to evaluate."
    first = next(iter(failed.values()))
    return f"none of the {len(failed)} images of {set_name} could be done; the first: {first}"

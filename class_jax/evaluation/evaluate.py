"""Maps for the images of a set, written as they are needed for scoring."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from class_jax.data.images import map_levels, read_fingerprint, write_map
from class_jax.data.sources import Example, Source
from class_jax.errors import UserError
from class_jax.evaluation.scoring import Ready, Task

Predict = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def map_tasks(source: Source, maps_dir: Path, origin: Callable[[str], str]) -> list[Task]:
    """The images of a set, each with the place of its map.

    Args:
      source: the images and masks.
      maps_dir: where the map of image `name` is `<name>.png`.
      origin: what tells a map from that of any other network or image, for an image's identity.
    """
    return [
        Task(name, maps_dir / f"{name}.png", source.mask_reader(i), origin(source.fingerprint(i)))
        for i, name in enumerate(source.names)
    ]


def with_maps(
    tasks: Sequence[Task],
    source: Source,
    predict: Predict,
    *,
    batch_size: int,
    which: Sequence[int] | None = None,
) -> Iterator[Ready]:
    """Give each task once its map is there; maps of the same origin are not made again.

    Args:
      tasks: those of `map_tasks`.
      source: the same images; what cannot be read is named.
      predict: gives float32 maps [H, W] in 0–1 for uint8 images [H, W, 3], at their own sizes.
      batch_size: most images that `predict` gets at once.
      which: the numbers of the tasks that are wanted; all by default.
    """
    which = range(len(tasks)) if which is None else which
    for start in range(0, len(which), batch_size):
        indices = which[start : start + batch_size]
        problems: dict[int, str] = {}
        missing = [i for i in indices if read_fingerprint(tasks[i].map) != tasks[i].stamp]
        examples = {i: each for i in missing if (each := _read(source, i, problems))}
        maps = predict([example["image"] for example in examples.values()]) if examples else ()
        for i, saliency in zip(examples, maps, strict=True):
            try:
                levels = map_levels(saliency, tasks[i].name)
                write_map(tasks[i].map, levels, origin=tasks[i].stamp)
            except UserError as error:
                problems[i] = str(error)
        yield from ((tasks[i], problems.get(i)) for i in indices)


def _read(source: Source, index: int, problems: dict[int, str]) -> Example | None:
    """An example; one that cannot be read goes to `problems`."""
    try:
        return source[index]
    except UserError as error:
        problems[index] = str(error)
        return None

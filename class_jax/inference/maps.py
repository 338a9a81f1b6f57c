"""Plan saliency maps (which images, into which files), then make them in batches."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from class_jax.data.folders import IMAGE_SUFFIXES, file_fingerprint, find_images
from class_jax.data.images import map_levels, read_fingerprint, read_image, write_map
from class_jax.data.sources import Source
from class_jax.errors import UserError
from class_jax.inference.predictor import Predictor, PreparedImage
from class_jax.text import list_lines, printable

ACCEPTED = ", ".join(sorted(IMAGE_SUFFIXES))


class MapJob(NamedTuple):
    """A map to make."""

    target: Path  # the file of the map
    read: Callable[[], np.ndarray]  # gives the image, uint8 [H, W, 3]; UserError if it cannot
    fingerprint: str  # of the image


class MapResults(NamedTuple):
    """The outcome of making maps."""

    written: int
    kept: int  # maps of the same network and image that were there already
    foreign: list[Path]  # files that were not made here, left as they are
    failed: dict[Path, str]  # target → why its map could not be made


def plan_image_maps(path: Path, output: Path) -> tuple[list[MapJob], list[str]]:
    """Plan the map of an image file, or the maps of all images below a folder.

    For `a/b.jpg` below the folder `path` the map is `a/b.png` below `output`. A single image's map
    is `output` itself if that ends as an image does, else a file in the folder `output`.

    Args:
      path: an image or a folder; absolute.
      output: an image file or a folder; absolute.

    Returns:
      The jobs, and a sentence for each sub-folder that cannot be listed.

    Raises:
      UserError: nothing there, a file that is no image by its name, a folder without images, an
        output that is a file but must be a folder, a map that would replace one of the images, or
        two images with the same map.
    """
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder.")
    problems: list[str] = []
    if path.is_dir():
        if _is_image_file(output):
            raise UserError(f"{path} is a folder, so the output must be one too, not {output}.")
        check_output(output)
        images = find_images(path, problems)
        targets = _plan_folder(images, path, output)
        if not targets:
            raise UserError(f"{path} holds no images ({ACCEPTED}).{list_lines(problems)}")
    else:
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise UserError(f"{path} is not an image by its name: expected {ACCEPTED}.")
        target = output if _is_image_file(output) else output / f"{path.stem}.png"
        check_output(target.parent)
        targets = {target: path}
    _check_images_survive(targets)
    jobs = [
        MapJob(target, functools.partial(read_image, image), file_fingerprint(image))
        for target, image in targets.items()
    ]
    return jobs, problems


def plan_source_maps(source: Source, folder: Path) -> list[MapJob]:
    """Plan the maps of a set, `<name>.png` below `folder`, in its order."""
    return [
        MapJob(
            folder / f"{name}.png",
            functools.partial(_read_example, source, index),
            source.fingerprint(index),
        )
        for index, name in enumerate(source.names)
    ]


def make_maps(
    jobs: Sequence[MapJob], predictor: Predictor, *, overwrite: bool, title: str
) -> MapResults:
    """Make the maps that are missing; one that fails does not stop the others.

    Args:
      jobs: the maps to make.
      predictor: the network.
      overwrite: replace files that were not made here, too.
      title: the label of the progress bar.
    """
    todo: list[MapJob] = []
    foreign: list[Path] = []
    for job in jobs:
        found = read_fingerprint(job.target) if job.target.is_file() else ""
        if found is None and not overwrite:
            foreign.append(job.target)
        elif found != predictor.fingerprint(job.fingerprint):
            todo.append(job)
    failed: dict[Path, str] = {}
    outcomes = tqdm(
        _predict(todo, predictor),
        total=len(todo),
        desc=printable(title),
        unit="image",
        disable=len(todo) <= 1,
    )
    for job, saliency in outcomes:
        try:
            if isinstance(saliency, UserError):
                raise saliency
            levels = map_levels(saliency, job.target)
            write_map(job.target, levels, origin=predictor.fingerprint(job.fingerprint))
        except UserError as error:
            failed[job.target] = str(error)
    kept = len(jobs) - len(todo) - len(foreign)
    return MapResults(len(todo) - len(failed), kept, foreign, failed)


def check_output(folder: Path) -> None:
    """Raise UserError if the folder is a file, in a file, or not writable."""
    existing = folder
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise UserError(f"{existing} is a file, and a folder is needed for the output.")
    if not os.access(existing, os.W_OK):
        raise UserError(f"{folder} cannot be written to: choose another folder for the output.")


def _predict(
    jobs: Sequence[MapJob], predictor: Predictor
) -> Iterator[tuple[MapJob, np.ndarray | UserError]]:
    """Yield jobs with their maps, or with the error if an image cannot be read."""
    batch: list[tuple[MapJob, PreparedImage]] = []
    for job in jobs:
        try:
            batch.append((job, predictor.prepare(job.read())))
        except UserError as error:
            yield job, error
        if len(batch) == predictor.batch_size:
            yield from _predict_batch(batch, predictor)
            batch = []
    if batch:
        yield from _predict_batch(batch, predictor)


def _predict_batch(
    batch: Sequence[tuple[MapJob, PreparedImage]], predictor: Predictor
) -> Iterator[tuple[MapJob, np.ndarray]]:
    """Yield jobs with their maps, computed together."""
    maps = predictor.maps([image for _, image in batch])
    yield from zip((job for job, _ in batch), maps, strict=True)


def _read_example(source: Source, index: int) -> np.ndarray:
    """Read the image of an example; UserError if image or mask cannot be read."""
    return source[index]["image"]


def _is_image_file(path: Path) -> bool:
    """Return whether a path names an image and is not a folder."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()


def _plan_folder(images: Sequence[Path], folder: Path, output: Path) -> dict[Path, Path]:
    """Return target → image; UserError if two images have the same target."""
    targets: dict[Path, Path] = {}
    for image in images:
        # A map of an earlier run, if the output lies in the input.
        if image.is_relative_to(output) and read_fingerprint(image) is not None:
            continue
        target = output / image.relative_to(folder).with_suffix(".png")
        if target in targets:
            raise UserError(
                f"{targets[target]} and {image} would both write {target}: rename one of them."
            )
        targets[target] = image
    return targets


def _check_images_survive(targets: dict[Path, Path]) -> None:
    """Raise UserError if a map would replace one of the images, by any link."""
    images = {os.path.realpath(image) for image in targets.values()}
    for target, image in targets.items():
        if os.path.realpath(target) in images:
            raise UserError(
                f"the map of {image} would replace the image {target}: choose another output."
            )

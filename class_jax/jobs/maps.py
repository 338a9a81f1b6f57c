"""Make planned outputs in batches."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from class_jax.data.images import UPRIGHT, Original, Picture, load_original, write_picture
from class_jax.errors import UserError
from class_jax.jobs.plan import Job, MapJob
from class_jax.jobs.video.films import FilmJob, make_film
from class_jax.pictures.outputs import ATTENTION, MAPS, Output, render
from class_jax.pictures.predictor import Predictor, map_fingerprint
from class_jax.text import printable


class MapResults(NamedTuple):
    """The outcome of making maps."""

    written: int
    failed: dict[Path, str]  # target → why its map could not be made
    guesses: Counter[str]  # how images were read, where that was a guess


def make_maps(
    jobs: Sequence[Job],
    predictor: Predictor,
    *,
    network: str,
    title: str,
    output: Output = MAPS,
) -> MapResults:
    """Make maps or other outputs; one that fails does not stop the others.

    Args:
      jobs: the outputs to make; films come after images.
      predictor: the network.
      network: its fingerprint.
      title: the label of the progress bar.
      output: what to make of images and their maps.
    """
    results = MapResults(0, {}, Counter())
    written = 0
    images = [job for job in jobs if isinstance(job, MapJob)]
    bar = tqdm(total=len(images), desc=printable(title), unit="image", disable=len(images) <= 1)
    with bar:
        for job, saliency in predictor.map_all(_read(images, predictor, results, bar)):
            try:
                pixels, original = draw(job, saliency, output, predictor)
                write_picture(
                    job.target, pixels, map_fingerprint(network, job.fingerprint), like=original
                )
                written += 1
            except UserError as error:
                results.failed[job.target] = str(error)
            bar.update()
    for film in (job for job in jobs if isinstance(job, FilmJob)):
        try:
            results.guesses.update(make_film(film, predictor, output, network))
            written += 1
        except UserError as error:
            results.failed[film.target] = str(error)
    return results._replace(written=written)


def draw(
    job: MapJob, saliency: np.ndarray, output: Output, predictor: Predictor
) -> tuple[np.ndarray, Original | None]:
    """Return the pixels of an output, and the picture whose metadata they keep, if any.

    Raises:
      UserError: the picture cannot be read, or the output cannot be made of it.
    """
    if not output.needs_image or job.source is None:
        return render(output, saliency, None, job.target), None
    original = load_original(job.source)
    pixels = draw_pixels(original.pixels, saliency, output, predictor, job.target)
    return pixels, None if output.kind == ATTENTION else original


def draw_pixels(
    image: np.ndarray, saliency: np.ndarray, output: Output, predictor: Predictor, name: object
) -> np.ndarray:
    """Return an output of an image, uint8 [H, W, 3 or 4], and its map; `name`: see `render`.

    Raises:
      UserError: the output cannot be made of it.
    """
    if output.kind != ATTENTION:
        return render(output, saliency, image if output.needs_image else None, name)
    from class_jax.pictures.attention import draw_attention  # noqa: PLC0415 - imports JAX

    rgb = np.ascontiguousarray(image[..., :3])
    return draw_attention(predictor, rgb, saliency, output.point, name)


def _read(
    jobs: Iterable[MapJob], predictor: Predictor, results: MapResults, bar: tqdm
) -> Iterator[tuple[MapJob, Picture]]:
    """Yield jobs with their images, prepared; one that cannot be read is a failure, and done."""
    for job in jobs:
        try:
            picture = job.read(predictor.image_size)
            prepared = predictor.prepare(picture)
        except UserError as error:
            results.failed[job.target] = str(error)
            bar.update()
            continue
        results.guesses.update(guess for guess in picture.guesses if guess != UPRIGHT)
        yield job, prepared

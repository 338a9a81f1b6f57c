"""Make planned outputs with a network that is opened for them, a share in each process."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict
from tqdm import tqdm

from class_jax import parallel
from class_jax.data.decode import UPRIGHT
from class_jax.errors import UserError
from class_jax.jobs.marks import Job, write_marked
from class_jax.jobs.plan import Sorted
from class_jax.jobs.video.videos import make_video
from class_jax.networks.onnx_engine import OnnxEngine
from class_jax.networks.places import find, is_there, keep_trying
from class_jax.networks.trained import Trained
from class_jax.pictures.outputs import MAPS, Output
from class_jax.pictures.pipeline import make_each
from class_jax.pictures.predictor import Predictor
from class_jax.text import printable


class Results(NamedTuple):
    """The outcome of making outputs."""

    written: int
    failed: dict[Path, str]  # target → why it could not be made
    guesses: Counter[str]  # how images were read, where that was a guess
    empty: list[Path]  # targets of images in which nothing salient was found


class OpenedNetwork(NamedTuple):
    """A network, loaded only if there is something to do, and the outputs to make with it."""

    fingerprint: str  # of the network and of what is made
    sorted_jobs: list[Sorted]
    output: Output
    predictor: Predictor | None


def open_network(
    model: str | os.PathLike[str],
    config: ConfigDict,
    checkpoint: str,
    sort: Callable[[str], list[Sorted]],
    *,
    output: Output = MAPS,
) -> OpenedNetwork:
    """Find a network that all processes see, tell the user which, and load it if needed.

    `sort` sorts the planned outputs, given the fingerprint of the network and of what is made.

    Raises:
      UserError: no such network or checkpoint, or it is damaged.
    """
    parallel.check_same(is_there(model), "whether they see checkpoints")

    def attempt() -> OpenedNetwork:
        found = _find(model, config, checkpoint)
        fingerprint = found.fingerprint + output.text
        sorted_jobs = parallel.run_on_first(lambda: sort(fingerprint))
        if not any(jobs.todo for jobs in sorted_jobs):
            return OpenedNetwork(fingerprint, sorted_jobs, output, None)
        engine = parallel.run_on_all(found.engine)
        engine.expect(max(sum(map(len, jobs)) for jobs in sorted_jobs))
        return OpenedNetwork(fingerprint, sorted_jobs, output, Predictor(engine))

    # Several processes would not agree on another checkpoint.
    return attempt() if parallel.process_count() > 1 else keep_trying(attempt)


def _find(model: str | os.PathLike[str], config: ConfigDict, checkpoint: str) -> Trained:
    found = find(model, checkpoint).with_settings(config)
    parallel.log(f"checkpoint: {found.description}")
    return found


def open_predictor(model: str | os.PathLike[str], config: ConfigDict, checkpoint: str) -> Predictor:
    """Load a network for single images, and tell the user which; see `open_network`."""
    return keep_trying(lambda: Predictor(_find(model, config, checkpoint).engine()))


def make_shared(jobs: Sequence[Job], network: OpenedNetwork, *, title: str) -> Results:
    """Make outputs, a share in each process; return the results of all."""
    if not jobs:
        return Results(0, {}, Counter(), [])
    predictor = network.predictor
    assert predictor is not None
    own = [jobs[index] for index in parallel.local_indices(len(jobs))]
    if len(jobs) > 1:
        parallel.log(f"{title}: {len(jobs)} to make, on {predictor.device}")
    results = parallel.run_on_all(
        lambda: make_outputs(
            own, predictor, network=network.fingerprint, title=title, output=network.output
        )
    )
    if parallel.process_count() > 1:
        print(f"process {parallel.process_index()}: {results.written} {title}", file=sys.stderr)
    shares = parallel.all_gather(results)
    return Results(
        written=sum(share.written for share in shares),
        failed={path: why for share in shares for path, why in share.failed.items()},
        guesses=sum((share.guesses for share in shares), Counter()),
        empty=[path for share in shares for path in share.empty],
    )


def make_outputs(
    jobs: Sequence[Job],
    predictor: Predictor,
    *,
    network: str,
    title: str,
    output: Output = MAPS,
) -> Results:
    """Make outputs, videos after images; one that fails does not stop the others.

    `network` is the fingerprint of the predictor's network, `title` the label of the progress bar.
    """
    failed, guesses, empty = {}, Counter[str](), []
    images = [job for job in jobs if not job.moves]
    sources = ((job, job.source) for job in images)
    bar = tqdm(total=len(images), desc=printable(title), unit="image", disable=len(images) <= 1)
    if not isinstance(predictor.engine, OnnxEngine):
        bar.set_postfix_str("compiling, some seconds")
    with bar:
        still = output._replace(smooth=None)  # that is for videos
        for job, made in make_each(
            predictor, sources, still, lambda job: job.target if callable(job.source) else None
        ):
            try:
                if isinstance(made, UserError):
                    raise made
                write_marked(job.target, made.pixels, job.mark(network), made.like)
                guesses.update(guess for guess in made.guesses if guess != UPRIGHT)
                empty += [] if made.is_salient else [job.target]
            except UserError as error:
                failed[job.target] = str(error)
            bar.set_postfix_str("", refresh=False)
            bar.update()
    for job in (job for job in jobs if job.moves):
        try:
            notes, is_salient = make_video(job, predictor, output, network)
            guesses.update(notes)
            empty += [] if is_salient else [job.target]
        except UserError as error:
            failed[job.target] = str(error)
    return Results(len(jobs) - len(failed), failed, guesses, empty)

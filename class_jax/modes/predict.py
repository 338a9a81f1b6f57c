"""Mode predict: a saliency map for every image of the given files and folders."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from class_jax import parallel
from class_jax.errors import UserError
from class_jax.files import absolute
from class_jax.inference.maps import (
    MapJob,
    MapResults,
    Sorted,
    count_jobs,
    make_maps,
    plan_image_maps,
    sort_jobs,
)
from class_jax.inference.models import find_network, is_there, keep_trying
from class_jax.inference.predictor import Predictor
from class_jax.text import list_lines
from class_jax.workdir import Workdir


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Write a map for each image; return the exit status, 1 if some images were left out.

    Maps that the same network made of the same images are kept, so that an interrupted run goes on.

    Raises:
      UserError: nothing to read, nowhere to write, no checkpoint, or no image could be done.
    """
    if not flags.input:
        raise UserError("--mode predict needs --input=PATH, images or folders of images.")
    paths = [absolute(path) for path in flags.input]
    output = absolute(flags.output) if flags.output else workdir.predictions
    jobs, problems = parallel.run_on_first(lambda: plan_image_maps(paths, output))
    is_named_file = [job.target for job in jobs] == [output]
    network = open_network(
        flags.model or workdir.path, config, flags.checkpoint,
        lambda fingerprint: [sort_jobs(jobs, fingerprint, overwrite=is_named_file)],
    )  # fmt: skip
    (sorted_jobs,) = network.sorted_jobs
    if sorted_jobs.kept:
        parallel.log(f"{len(sorted_jobs.kept)} maps are there already")
    if sorted_jobs.foreign:
        listed = list_lines([job.target for job in sorted_jobs.foreign])
        parallel.log(f"left as they are, as they were not made here:{listed}")
    results = make_shared_maps(sorted_jobs.todo, network, title="maps")
    problems = [*results.failed.values(), *problems]
    if len(results.failed) == len(jobs):
        raise UserError(f"no map could be made:{list_lines(problems)}")
    parallel.log(f"{results.written} maps written to {output}")
    for guess, count in results.guesses.items():
        parallel.log(f"note: {count} of {results.written}: {guess}")
    for problem in problems:
        parallel.log(f"error: {problem}")
    return 1 if problems else 0


class OpenedNetwork(NamedTuple):
    """A network, loaded only if there is something to do, and the maps to make with it."""

    fingerprint: str
    sorted_jobs: list[Sorted]
    predictor: Predictor | None


def open_network(
    model: str | os.PathLike[str],
    config: ConfigDict,
    checkpoint: str,
    sort: Callable[[str], list[Sorted]],
) -> OpenedNetwork:
    """Find a network that all processes see, tell the user which, and load it if needed.

    Args:
      model: a workdir, an exported folder or an `.onnx` file.
      config: the configuration in force.
      checkpoint: of a workdir: "best", "latest" or a step.
      sort: sorts the planned maps, given the network's fingerprint.

    Raises:
      UserError: no such network or checkpoint, or it is damaged.
    """
    parallel.check_same(is_there(model), "whether they see checkpoints")

    def attempt() -> OpenedNetwork:
        found = find_network(model, config, checkpoint)
        sorted_jobs = parallel.run_on_first(lambda: sort(found.fingerprint))
        parallel.log(f"checkpoint: {found.description}")
        if not any(jobs.todo for jobs in sorted_jobs):
            return OpenedNetwork(found.fingerprint, sorted_jobs, None)
        engine = parallel.run_on_all(found.load)
        engine.expect(max(map(count_jobs, sorted_jobs)))
        predictor = Predictor(engine, keep_aspect=config.eval.keep_aspect)
        return OpenedNetwork(found.fingerprint, sorted_jobs, predictor)

    # Several processes would not agree on another checkpoint.
    return attempt() if parallel.process_count() > 1 else keep_trying(attempt)


def make_shared_maps(jobs: Sequence[MapJob], network: OpenedNetwork, *, title: str) -> MapResults:
    """Make maps, a share in each process; return the results of all."""
    if not jobs:
        return MapResults(0, {}, Counter())
    predictor = network.predictor
    assert predictor is not None
    own = [jobs[index] for index in parallel.local_indices(len(jobs))]
    parallel.log(f"{len(jobs)} {title} to make, on {predictor.device}")
    results = parallel.run_on_all(
        lambda: make_maps(own, predictor, network=network.fingerprint, title=title)
    )
    if parallel.process_count() > 1:
        print(f"process {parallel.process_index()}: {results.written} {title}", file=sys.stderr)
    shares = parallel.all_gather(results)
    return MapResults(
        written=sum(share.written for share in shares),
        failed={path: why for share in shares for path, why in share.failed.items()},
        guesses=sum((share.guesses for share in shares), Counter()),
    )

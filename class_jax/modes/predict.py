"""Mode predict: a saliency map for every image of the given files and folders."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from ml_collections import ConfigDict

from class_jax import parallel
from class_jax.errors import UserError
from class_jax.files import absolute
from class_jax.inference.maps import MapJob, MapResults, make_maps, plan_image_maps, sort_jobs
from class_jax.inference.predictor import FoundNetwork, Predictor, find_network
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
    found = find_shared_network(config, workdir, flags.checkpoint)
    is_named_file = [job.target for job in jobs] == [output]
    sorted_jobs = parallel.run_on_first(
        lambda: sort_jobs(jobs, found.fingerprint, overwrite=is_named_file)
    )
    if sorted_jobs.kept:
        parallel.log(f"{len(sorted_jobs.kept)} maps are there already")
    if sorted_jobs.foreign:
        listed = list_lines([job.target for job in sorted_jobs.foreign])
        parallel.log(f"left as they are, as they were not made here:{listed}")
    results = make_shared_maps(sorted_jobs.todo, config, workdir, found, title="maps")
    problems = [*results.failed.values(), *problems]
    if len(results.failed) == len(jobs):
        raise UserError(f"no map could be made:{list_lines(problems)}")
    parallel.log(f"{results.written} maps written to {output}")
    for guess, count in results.guesses.items():
        parallel.log(f"note: {count} of {results.written}: {guess}")
    for problem in problems:
        parallel.log(f"error: {problem}")
    return 1 if problems else 0


def find_shared_network(config: ConfigDict, workdir: Workdir, checkpoint: str) -> FoundNetwork:
    """Find a checkpoint that all processes see, and tell the user which."""
    parallel.check_same(workdir.checkpoints.exists(), "whether they see checkpoints")
    found = find_network(config, workdir, checkpoint)
    parallel.log(f"checkpoint: {found.description}")
    return found


def make_shared_maps(
    jobs: Sequence[MapJob],
    config: ConfigDict,
    workdir: Workdir,
    network: FoundNetwork,
    *,
    title: str,
) -> MapResults:
    """Make maps, a share in each process; return the results of all.

    The network is loaded only if there is something to do.
    """
    if not jobs:
        return MapResults(0, {}, Counter())
    own = [jobs[index] for index in parallel.local_indices(len(jobs))]

    def make() -> MapResults:
        predictor = Predictor.from_run(config, workdir, step=network.step)
        parallel.log(f"{len(jobs)} {title} to make, on {predictor.device}")
        return make_maps(own, predictor, network=network.fingerprint, title=title)

    results = parallel.run_on_all(make)
    if parallel.process_count() > 1:
        print(f"process {parallel.process_index()}: {results.written} {title}", file=sys.stderr)
    shares = parallel.all_gather(results)
    return MapResults(
        written=sum(share.written for share in shares),
        failed={path: why for share in shares for path, why in share.failed.items()},
        guesses=sum((share.guesses for share in shares), Counter()),
    )

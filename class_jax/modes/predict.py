"""Mode predict: a saliency map for every image of a file or folder."""

import argparse
import sys
from collections.abc import Sequence

from ml_collections import ConfigDict

from class_jax import parallel
from class_jax.errors import UserError
from class_jax.files import absolute
from class_jax.inference.maps import MapJob, MapResults, make_maps, plan_image_maps
from class_jax.inference.predictor import Predictor
from class_jax.text import list_lines
from class_jax.workdir import Workdir


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Write a map for each image; return the exit status, 1 if some images failed.

    Maps that the same network made of the same images are kept, so that an interrupted run goes on.

    Raises:
      UserError: nothing to read, nowhere to write, no checkpoint, or no image could be done.
    """
    if not flags.input:
        raise UserError("--mode predict needs --input=PATH, an image or a folder of images.")
    path = absolute(flags.input)
    output = absolute(flags.output) if flags.output else workdir.predictions
    jobs, problems = parallel.run_on_first(lambda: plan_image_maps(path, output))
    predictor = load_predictor(config, workdir, flags.checkpoint)
    is_named_file = [job.target for job in jobs] == [output]
    results = make_shared_maps(jobs, predictor, overwrite=is_named_file, title="maps")
    problems += [results.failed[job.target] for job in jobs if job.target in results.failed]
    if len(results.failed) == len(jobs):
        raise UserError(f"no map could be made:{list_lines(problems)}")
    if results.kept:
        parallel.log(f"{results.kept} maps are there already")
    if results.foreign:
        parallel.log(f"left as they are, as they were not made here:{list_lines(results.foreign)}")
    parallel.log(f"{results.written} maps written to {output}")
    for problem in problems:
        parallel.log(f"error: {problem}")
    return 1 if problems else 0


def load_predictor(config: ConfigDict, workdir: Workdir, checkpoint: str) -> Predictor:
    """Load the network and tell the user which checkpoint and devices are used."""
    parallel.check_same(workdir.checkpoints.exists(), "whether they see checkpoints")
    predictor = Predictor.from_run(config, workdir, checkpoint=checkpoint)
    parallel.log(f"checkpoint: {predictor.checkpoint}; on {predictor.device}")
    return predictor


def make_shared_maps(
    jobs: Sequence[MapJob], predictor: Predictor, *, overwrite: bool, title: str
) -> MapResults:
    """Make maps, a share in each process; return the results of all."""
    own = [jobs[index] for index in parallel.local_indices(len(jobs))]
    results = parallel.run_on_all(
        lambda: make_maps(own, predictor, overwrite=overwrite, title=title)
    )
    if parallel.process_count() > 1:
        count = results.written + results.kept
        print(f"process {parallel.process_index()}: {count} {title}", file=sys.stderr)
    shares = parallel.all_gather(results)
    return MapResults(
        written=sum(share.written for share in shares),
        kept=sum(share.kept for share in shares),
        foreign=[path for share in shares for path in share.foreign],
        failed={path: why for share in shares for path, why in share.failed.items()},
    )

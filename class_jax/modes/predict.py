"""Mode predict: a map for every picture of a file or folder."""

import argparse
import itertools
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from ml_collections import ConfigDict
from tqdm import tqdm

from class_jax import parallel
from class_jax.data.folders import file_fingerprint
from class_jax.data.images import map_levels, read_fingerprint, write_map
from class_jax.errors import UserError
from class_jax.inference.media import Jobs, plan_maps
from class_jax.inference.predictor import Predictor, Prepared
from class_jax.workdir import Workdir


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Write a map for each image; return the exit status."""
    return predict(
        config, workdir, source=flags.input, output=flags.output, checkpoint=flags.checkpoint
    )


def predict(
    config: ConfigDict,
    workdir: Workdir,
    *,
    source: str | None,
    output: str | None,
    checkpoint: str,
) -> int:
    """Write the maps; gives the exit status, 1 where some pictures could not be read.

    Maps that the same network made of the same pictures are left as they are, so that an
    interrupted run goes on.

    Raises:
      UserError: nothing to read, nowhere to write, no checkpoint, or no picture was readable.
    """
    if not source:
        raise UserError("--mode predict needs --input=PATH, an image or a folder of images.")
    target = Path(output).expanduser() if output else workdir.predictions
    # Absolute without following links: a link's own name says what is in it.
    source_path, target = (
        Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - `resolve` follows links
        for path in (Path(source), target)
    )
    jobs, problems = parallel.run_on_first(lambda: _planned(source_path, target))
    parallel.check_same(workdir.checkpoints.exists(), "whether they see checkpoints")
    predictor = Predictor.from_run(config, workdir, checkpoint=checkpoint)
    parallel.log(f"checkpoint: {predictor.checkpoint}; on {predictor.device}")
    targets = [*jobs]
    own = {
        targets[number]: jobs[targets[number]] for number in parallel.local_indices(len(targets))
    }
    failed = parallel.run_on_all(lambda: _do(own, predictor, target))
    all_failed = list(itertools.chain(*parallel.all_gather(failed)))
    problems += all_failed
    if len(all_failed) == len(jobs):
        raise UserError(" ".join(problems))
    for problem in problems:
        parallel.log(f"error: {problem}")
    return 1 if problems else 0


def _do(jobs: Jobs, predictor: Predictor, target: Path) -> list[str]:
    """Make the maps that are not there; gives a sentence for each that could not be made."""
    origins = {path: predictor.origin(file_fingerprint(picture)) for path, picture in jobs.items()}
    todo = _what_to_do(origins, jobs, asked_for=target)
    failed = _write_maps(todo, origins, predictor)
    print(f"{len(todo) - len(failed)} maps written to {target}", file=sys.stderr)
    return failed


def _planned(source: Path, target: Path) -> tuple[Jobs, list[str]]:
    """What there is to do, and a sentence for each folder that cannot be looked into."""
    problems: list[str] = []
    return plan_maps(source, target, problems), problems


def _what_to_do(origins: Mapping[Path, str], jobs: Jobs, *, asked_for: Path) -> Jobs:
    """The jobs that are left, and a line on those that are not."""
    found = {path: read_fingerprint(path) for path in jobs if path.is_file()}
    done = [path for path, origin in found.items() if origin == origins[path]]
    # Somebody's picture, or a map that somebody has worked on.
    foreign = [path for path, origin in found.items() if origin is None and path != asked_for]
    if done:
        print(f"{len(done)} maps are there already", file=sys.stderr)
    if foreign:
        print(
            f"left as they are, as they were not made here: {', '.join(map(str, foreign))}",
            file=sys.stderr,
        )
    return {path: jobs[path] for path in jobs if path not in {*done, *foreign}}


def _write_maps(jobs: Jobs, origins: dict[Path, str], predictor: Predictor) -> list[str]:
    """Predict and write in batches; gives a sentence for each map that could not be made."""
    problems: list[str] = []
    with tqdm(total=len(jobs), desc="predicting", unit="image", disable=len(jobs) == 1) as bar:
        for targets, batch in _batches(jobs, predictor, problems, bar):
            for target, saliency in zip(targets, predictor.maps(batch), strict=True):
                try:
                    write_map(target, map_levels(saliency, target), origin=origins[target])
                except UserError as error:
                    problems.append(str(error))
                bar.update()
    return problems


def _batches(
    jobs: Jobs, predictor: Predictor, problems: list[str], bar: tqdm
) -> Iterator[tuple[list[Path], list[Prepared]]]:
    """Pictures, some at a time; what cannot be read goes to `problems`."""
    targets: list[Path] = []
    batch: list[Prepared] = []
    for target, picture in jobs.items():
        try:
            batch.append(predictor.prepare(picture))
        except UserError as error:
            problems.append(str(error))
            bar.update()
            continue
        targets.append(target)
        if len(batch) == predictor.batch_size:
            yield targets, batch
            targets, batch = [], []
    if batch:
        yield targets, batch

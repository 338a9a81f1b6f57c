"""Mode eval: make the maps of sets of images with masks, then score them as mode score does."""

import argparse
from pathlib import Path

from ml_collections import ConfigDict

from class_jax import parallel
from class_jax.data.sources import Source
from class_jax.errors import UserError
from class_jax.evaluation.scoring import MapSet, Task
from class_jax.files import absolute
from class_jax.inference.maps import plan_source_maps
from class_jax.inference.predictor import Predictor
from class_jax.modes.predict import load_predictor, make_shared_maps
from class_jax.modes.score import score_maps
from class_jax.workdir import Workdir
from datasets.inputs import evaluation_source, folder_source

METHOD = "CLASS"


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Evaluate the configured sets, or the folder of --input; return the exit status."""
    return evaluate(
        config,
        workdir,
        source=flags.input,
        checkpoint=flags.checkpoint,
        protocol=flags.protocol,
    )


def evaluate(
    config: ConfigDict,
    workdir: Workdir,
    *,
    source: str | None,
    checkpoint: str,
    protocol: str = "pysod",
) -> int:
    """Evaluate a run: make the maps of all sets, then score them.

    Maps that the same network made of the same images are kept. Each of several processes makes a
    share of the maps; the first one scores them.

    Args:
      config: the configuration in force; its `eval.sets` are evaluated.
      workdir: the run; maps, tables and figures go to its folder `eval`.
      source: a folder of images with masks to evaluate instead of the configured sets.
      checkpoint: "best", "latest" or a step.
      protocol: "pysod", "matlab" or "both".

    Returns:
      The exit status: 0, or 1 if a set or an image could not be evaluated (each one is named).

    Raises:
      UserError: no checkpoint, or nothing could be evaluated.
    """
    predictor = load_predictor(config, workdir, checkpoint)
    sources, problems = parallel.run_on_first(lambda: _open_sets(config, source))
    map_sets = [
        _make_maps(name, opened, workdir.evaluation, predictor) for name, opened in sources.items()
    ]
    return parallel.run_on_first(
        lambda: score_maps(workdir.evaluation, protocol, map_sets, problems)
    )


def _open_sets(config: ConfigDict, folder: str | None) -> tuple[dict[str, Source], list[str]]:
    """Open `folder`, or the configured sets.

    Returns:
      The sets by name, and a sentence for each set or file that cannot be used.
    """
    sources: dict[str, Source] = {}
    problems: list[str] = []
    for name in [folder] if folder else config.eval.sets:
        try:
            opened: tuple[Source, tuple[str, ...]] = (
                folder_source(name, leaf="--input") if folder else evaluation_source(config, name)
            )
        except UserError as error:
            problems.append(str(error))
            continue
        sources[absolute(name).name] = opened[0]
        problems += opened[1]
    return sources, problems


def _make_maps(set_name: str, source: Source, folder: Path, predictor: Predictor) -> MapSet:
    """Make the maps of a set in `folder`, and return them to be scored."""
    jobs = plan_source_maps(source, folder / set_name / "maps")
    results = make_shared_maps(jobs, predictor, overwrite=True, title=f"maps of {set_name}")
    tasks: list[Task] = []
    failed: dict[str, str] = {}
    for index, (name, job) in enumerate(zip(source.names, jobs, strict=True)):
        if job.target in results.failed:
            failed[name] = results.failed[job.target]
        else:
            tasks.append(Task(name, job.target, source.mask_reader(index), job.read))
    return MapSet(set_name, METHOD, tasks, failed)

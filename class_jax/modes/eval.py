"""Mode eval: maps, scores, tables and figures for the configured sets or for a folder."""

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from class_jax import parallel
from class_jax.data.images import read_map
from class_jax.data.montage import Row
from class_jax.data.sources import Source
from class_jax.errors import UserError
from class_jax.evaluation.evaluate import map_tasks, with_maps
from class_jax.evaluation.examples import Show
from class_jax.evaluation.scores import Entry
from class_jax.evaluation.scoring import Scorer
from class_jax.inference.predictor import Predictor
from class_jax.modes.results import score_all
from class_jax.workdir import Workdir
from datasets.inputs import evaluation_source, folder_source

METHOD = "CLASS"


class Images(NamedTuple):
    """A set to evaluate, and a sentence for each of its files that cannot be used."""

    source: Source
    unusable: tuple[str, ...]


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Evaluate the configured sets, or those of --input; return the exit status."""
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
    """Evaluate a run; gives the exit status.

    Maps that the same network made of the same images are not made again, and what an interrupted
    evaluation has scored is taken up. Where there are several processes, each makes a share of the
    maps, and the first scores them all.

    Args:
      config: the configuration in force; its `eval.sets` are evaluated.
      workdir: the run; tables, maps and pictures go to its folder `eval`.
      source: a folder of images with masks to evaluate instead of the configured sets.
      checkpoint: "best", "latest" or a step.
      protocol: "pysod", "matlab" or "both".

    Returns:
      0, or 1 where a set or an image could not be evaluated (each is named).

    Raises:
      UserError: no checkpoint, or nothing at all could be evaluated.
    """
    parallel.check_same(workdir.checkpoints.exists(), "whether they see checkpoints")
    predictor = Predictor.from_run(config, workdir, checkpoint=checkpoint)
    parallel.log(f"checkpoint: {predictor.checkpoint}")
    names = [source] if source else config.eval.sets

    @functools.cache
    def opened(name: str) -> Images | UserError:
        return parallel.run_on_first(lambda: _opened(config, name, from_input=bool(source)))

    if parallel.process_count() > 1:
        sets = [(name, opened(name)) for name in names]
        parallel.run_on_all(lambda: _make_share(sets, workdir.evaluation, predictor))
    jobs = (
        functools.partial(_evaluate, name, opened, workdir.evaluation, predictor) for name in names
    )
    return parallel.run_on_first(lambda: score_all(workdir.evaluation, protocol, jobs))


def _opened(config: ConfigDict, name: str, *, from_input: bool) -> Images | UserError:
    """The images of a set; why there are none, where that is so."""
    try:
        if from_input:
            return Images(*folder_source(name, leaf="--input"))
        return Images(*evaluation_source(config, name))
    except UserError as error:
        return error


def _maps_folder(folder: Path, name: str) -> Path:
    return folder / Path(name).resolve().name / "maps"


def _make_share(
    sets: list[tuple[str, Images | UserError]], folder: Path, predictor: Predictor
) -> None:
    """Make this process's share of the maps of all sets; what cannot be done is left out."""
    for name, images in sets:
        if isinstance(images, UserError):
            continue  # the first process will name it, and single images too
        tasks = map_tasks(images.source, _maps_folder(folder, name), predictor.origin)
        own = parallel.local_indices(len(tasks))
        ready = with_maps(
            tasks, images.source, predictor.predict, batch_size=predictor.batch_size, which=own
        )
        made = sum(problem is None for _, problem in ready)
        print(f"process {parallel.process_index()}: {made} maps of {name}", file=sys.stderr)


def _evaluate(
    name: str,
    opened: Callable[[str], Images | UserError],
    folder: Path,
    predictor: Predictor,
    scorer: Scorer,
    problems: list[str],
) -> tuple[Entry, Show]:
    """Make the maps of a set, where they are not there, and score them as they come."""
    images = opened(name)
    if isinstance(images, UserError):
        raise images
    problems += images.unusable
    maps = _maps_folder(folder, name)
    tasks = map_tasks(images.source, maps, predictor.origin)
    ready = with_maps(tasks, images.source, predictor.predict, batch_size=predictor.batch_size)
    entry = scorer.score(maps.parent.name, METHOD, tasks, ready)
    return entry, functools.partial(_show, images.source, maps)


def _show(source: Source, maps: Path, name: str) -> Row:
    example = source[source.names.index(name)]
    return example["image"], example["mask"], read_map(maps / f"{name}.png")

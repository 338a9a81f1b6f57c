"""Mode eval: maps, scores, tables and figures for the configured sets or for a folder."""

import functools
import sys
from pathlib import Path

from ml_collections import ConfigDict

from class_jax.data.images import read_map
from class_jax.data.montage import Row
from class_jax.data.sources import Source
from class_jax.evaluation.evaluate import map_tasks, with_maps
from class_jax.evaluation.examples import Show
from class_jax.evaluation.scores import Entry
from class_jax.evaluation.scoring import Scorer
from class_jax.inference.predictor import Predictor
from class_jax.modes.inputs import evaluation_source, folder_source
from class_jax.modes.results import score_all
from class_jax.workdir import Workdir

METHOD = "CLASS"


def run(
    config: ConfigDict,
    workdir: Workdir,
    *,
    source: str | None,
    checkpoint: str,
    protocol: str = "pysod",
) -> int:
    """Evaluate a run; gives the exit status.

    Maps that the same network made of the same images are not made again, and what an interrupted
    evaluation has scored is taken up.

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
    predictor = Predictor.from_run(config, workdir, checkpoint=checkpoint)
    print(f"checkpoint: {predictor.checkpoint}", file=sys.stderr)
    jobs = (
        functools.partial(_evaluate, name, config, source, workdir.evaluation, predictor)
        for name in ([source] if source else config.eval.sets)
    )
    return score_all(workdir.evaluation, protocol, jobs)


def _evaluate(
    name: str,
    config: ConfigDict,
    source: str | None,
    folder: Path,
    predictor: Predictor,
    scorer: Scorer,
    problems: list[str],
) -> tuple[Entry, Show]:
    """Make the maps of a set and score them as they come."""
    images: Source
    if source:
        images, unusable = folder_source(source, leaf="--input")
    else:
        images, unusable = evaluation_source(config, name)
    problems += unusable
    set_name = Path(name).resolve().name
    maps = folder / set_name / "maps"
    tasks = map_tasks(images, maps, predictor.origin)
    ready = with_maps(tasks, images, predictor.predict, batch_size=predictor.batch_size)
    entry = scorer.score(set_name, METHOD, tasks, ready)
    return entry, functools.partial(_show, images, maps)


def _show(source: Source, maps: Path, name: str) -> Row:
    example = source[source.names.index(name)]
    return example["image"], example["mask"], read_map(maps / f"{name}.png")

"""Mode eval: maps, scores, tables and figures for the configured sets or for a folder."""

import functools
import sys
from pathlib import Path

from ml_collections import ConfigDict

from class_jax.data.images import read_map
from class_jax.data.montage import Row
from class_jax.data.sources import Source
from class_jax.errors import UserError
from class_jax.evaluation.evaluate import map_tasks, with_maps
from class_jax.evaluation.examples import Show
from class_jax.evaluation.scores import Entry, Ledger
from class_jax.evaluation.scoring import Scorer
from class_jax.inference.predictor import Predictor
from class_jax.modes.inputs import evaluation_source, folder_source
from class_jax.modes.results import finish, protocols_of, write_results
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
    protocols = protocols_of(protocol)
    folder = workdir.evaluation
    entries: list[Entry] = []
    shown: list[Show] = []
    problems: list[str] = []
    images: Source
    with Ledger(folder, protocols) as ledger, Scorer(protocols, ledger) as scorer:
        for name in [source] if source else config.eval.sets:
            try:
                if source:
                    images, unusable = folder_source(source, leaf="--input")
                else:
                    images, unusable = evaluation_source(config, name)
                problems += unusable
                set_name = Path(name).resolve().name
                maps = folder / set_name / "maps"
                entry = _evaluate(set_name, images, maps, predictor, scorer)
            except UserError as error:
                problems.append(str(error))
                continue
            entries.append(entry)
            shown.append(functools.partial(_show, images, maps))
            problems += entry.failed.values()
        if not entries:
            raise UserError(" ".join(problems))
        write_results(folder, entries, shown)
    print(f"maps, tables and figures are in {folder}", file=sys.stderr)
    return finish(problems)


def _evaluate(
    set_name: str, source: Source, maps: Path, predictor: Predictor, scorer: Scorer
) -> Entry:
    """Make the maps of a set and score them as they come."""
    tasks = map_tasks(source, maps, predictor.origin)
    ready = with_maps(tasks, source, predictor.predict, batch_size=predictor.batch_size)
    return scorer.score(set_name, METHOD, tasks, ready)


def _show(source: Source, maps: Path, name: str) -> Row:
    example = source[source.names.index(name)]
    return example["image"], example["mask"], read_map(maps / f"{name}.png")

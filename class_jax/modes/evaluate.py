"""Mode eval: maps, scores, table and examples for the configured sets or for a folder."""

import math
import sys
from pathlib import Path

from ml_collections import ConfigDict

from class_jax.data.sources import Source
from class_jax.errors import UserError
from class_jax.evaluation.evaluate import SetScores, evaluate_set
from class_jax.evaluation.examples import write_examples
from class_jax.evaluation.report import format_table, write_results_csv
from class_jax.inference.predictor import Predictor
from class_jax.modes.inputs import evaluation_source, folder_source
from class_jax.workdir import Workdir


def run(config: ConfigDict, workdir: Workdir, *, source: str | None, checkpoint: str) -> int:
    """Evaluate a run; gives the exit status.

    Args:
      config: the configuration in force; its `eval.sets` are evaluated.
      workdir: the run; tables, maps and pictures go to its folder `eval`.
      source: a folder of images with masks to evaluate instead of the configured sets.
      checkpoint: "best", "latest" or a step.

    Returns:
      0, or 1 where a set or an image could not be evaluated (each is named).

    Raises:
      UserError: no checkpoint, or nothing at all could be evaluated.
    """
    predictor = Predictor.from_run(config, workdir, checkpoint=checkpoint)
    print(f"checkpoint: {predictor.checkpoint}", file=sys.stderr)
    rows: list[SetScores] = []
    problems: list[str] = []
    images: Source
    for name in [source] if source else config.eval.sets:
        try:
            if source:
                images, unusable = folder_source(source, leaf="--input")
            else:
                images, unusable = evaluation_source(config, name)
            problems += unusable
            row = _evaluate(Path(name).resolve().name, images, predictor, workdir)
        except UserError as error:
            problems.append(str(error))
        else:
            rows.append(row)
            problems += row.failed.values()
    if not rows:
        raise UserError(" ".join(problems))
    _report(rows, workdir)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _evaluate(name: str, source: Source, predictor: Predictor, workdir: Workdir) -> SetScores:
    """Write a set's maps and its sheet of examples, and give its scores."""
    folder = workdir.evaluation / name
    scores = evaluate_set(
        name, source, predictor.predict, folder / "maps", batch_size=predictor.batch_size
    )
    write_examples(folder / "examples.png", source, scores, folder / "maps")
    undefined = [image for image, row in scores.per_image.items() if math.isnan(row["S"])]
    if undefined:
        print(
            f"note: PySODMetrics gives no S for {', '.join(undefined)}, whose masks lie in the "
            f"last row or column, and so none for {name}",
            file=sys.stderr,
        )
    return scores


def _report(rows: list[SetScores], workdir: Workdir) -> None:
    folder = workdir.evaluation
    write_results_csv(folder / "results.csv", rows)
    print(format_table(rows))
    print(f"maps, results.csv and examples are in {folder}", file=sys.stderr)

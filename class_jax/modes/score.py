"""Mode score: measure any method's maps, and write the tables and figures of score and eval."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from class_jax.errors import UserError
from class_jax.evaluation.figures import write_curves, write_examples
from class_jax.evaluation.pairing import Masks, MethodMaps, build_map_set, find_maps, find_masks
from class_jax.evaluation.protocols import PROTOCOLS
from class_jax.evaluation.scoring import MapSet, Scorer, SetScores, Task
from class_jax.evaluation.tables import format_table, write_tables
from class_jax.files import absolute
from class_jax.inference.maps import check_output
from class_jax.text import list_lines, list_names
from class_jax.workdir import Workdir


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Score methods' maps against masks; return the exit status.

    It is 1 if some files could not be read.

    Raises:
      UserError: nothing to score, nowhere to write, or masks without a map.
    """
    del config
    if not flags.predictions or not flags.masks:
        raise UserError(
            "--mode score needs --predictions=FOLDER (of maps; once for each method) and "
            "--masks=FOLDER."
        )
    folders = [absolute(path) for path in flags.predictions]
    masks = find_masks(absolute(flags.masks))
    methods = find_maps(folders, masks)
    output = absolute(flags.output) if flags.output else workdir.local / "score"
    _check_output(output, [masks.folder, *folders])
    _check_missing(methods, masks, allow_missing=flags.allow_missing)
    map_sets = [build_map_set(maps, masks) for maps in methods]
    return score_maps(output, flags.protocol, map_sets, [])


def score_maps(
    folder: Path, protocol: str, map_sets: Sequence[MapSet], problems: Sequence[str]
) -> int:
    """Score maps, write all tables and figures, and name what could not be done.

    Args:
      folder: where tables and figures go.
      protocol: "pysod", "matlab" or "both".
      map_sets: the maps of methods on sets.
      problems: what could not be done before, a sentence each.

    Returns:
      The exit status: 0, or 1 if there are problems.

    Raises:
      UserError: nothing could be scored.
    """
    problems = list(problems)
    scores: list[list[SetScores]] = []  # for each map set, by protocol
    tasks: list[Sequence[Task]] = []
    with Scorer(PROTOCOLS if protocol == "both" else (protocol,)) as scorer:
        for maps in map_sets:
            try:
                scores.append(scorer.score(maps))
            except UserError as error:
                problems.append(str(error))
                continue
            tasks.append(maps.tasks)
            problems += scores[-1][0].failed.values()
    if not scores:
        raise UserError(
            problems[0] if len(problems) == 1 else f"nothing could be scored:{list_lines(problems)}"
        )
    rows = [row for of_set in scores for row in of_set]
    write_tables(folder, rows)
    write_curves(folder, rows)
    write_examples(folder / "examples.png", [of_set[0] for of_set in scores], tasks)
    _note_undefined(rows)
    print(format_table(rows))
    print(f"tables and figures are in {folder}", file=sys.stderr)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _note_undefined(scores: Sequence[SetScores]) -> None:
    """Name the images for which PySODMetrics defines no S."""
    for row in scores:
        undefined = [image for image, figures in row.per_image.items() if math.isnan(figures["S"])]
        if undefined:
            print(
                f"note: PySODMetrics gives no S for {list_names(undefined)}, whose masks lie in "
                f"the last row or column, and so none for {row.set_name} by {row.protocol}",
                file=sys.stderr,
            )


def _check_output(folder: Path, inputs: Sequence[Path]) -> None:
    """Raise UserError if results cannot go to `folder`."""
    check_output(folder)
    for path in inputs:
        if folder.resolve().is_relative_to(path.resolve()):
            raise UserError(
                f"--output={folder} lies in {path}, whose images are scored: choose another folder."
            )


def _check_missing(methods: Sequence[MethodMaps], masks: Masks, *, allow_missing: bool) -> None:
    """Name files without a partner; UserError if masks lack maps unless allowed."""
    for maps in methods:
        if maps.surplus:
            print(
                f"note: {maps.method}: {len(maps.surplus)} maps have no mask and are left out: "
                f"{list_names(maps.surplus)}",
                file=sys.stderr,
            )
    missing = [
        f"{maps.method} has no map for {len(maps.missing)} of the {len(masks.files)} masks of "
        f"{masks.set_name}: {list_names(maps.missing)}"
        for maps in methods
        if maps.missing
    ]
    if missing and not allow_missing:
        raise UserError(
            f"{'; '.join(missing)}. Add them, or score the others with --allow_missing."
        )
    for sentence in missing:
        print(f"note: {sentence}", file=sys.stderr)

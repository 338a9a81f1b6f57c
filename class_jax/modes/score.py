"""Mode score: the tables and figures of eval for any method's maps."""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from class_jax.data.images import read_image, read_map, read_mask
from class_jax.data.montage import Row
from class_jax.errors import UserError
from class_jax.evaluation.examples import Show
from class_jax.evaluation.pairing import (
    Masks,
    MethodMaps,
    find_maps,
    find_masks,
    score_tasks,
)
from class_jax.evaluation.scores import Entry
from class_jax.evaluation.scoring import Scorer
from class_jax.inference.media import check_output
from class_jax.modes.results import score_all
from class_jax.text import list_names
from class_jax.workdir import Workdir


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Score any method's maps against masks; return the exit status."""
    del config
    return score_folders(
        workdir,
        predictions=flags.predictions,
        masks=flags.masks,
        output=flags.output,
        protocol=flags.protocol,
        allow_missing=flags.allow_missing,
    )


def score_folders(
    workdir: Workdir,
    *,
    predictions: Sequence[str] | None,
    masks: str | None,
    output: str | None,
    protocol: str,
    allow_missing: bool,
) -> int:
    """Score maps against masks; gives the exit status, 1 where some could not be read.

    Args:
      workdir: its folder `score` is the default output.
      predictions: folders of maps, one a method, which is named by its folder.
      masks: folder of masks; maps belong to those of the same stem.
      output: where tables and figures go.
      protocol: "pysod", "matlab" or "both".
      allow_missing: go on where masks have no map.

    Raises:
      UserError: nothing to score, nowhere to write, or masks without a map.
    """
    if not predictions or not masks:
        raise UserError(
            "--mode score needs --predictions=FOLDER (of maps; once for each method) and "
            "--masks=FOLDER."
        )
    truth = find_masks(Path(masks).expanduser())
    methods = find_maps([Path(folder).expanduser() for folder in predictions], truth)
    folder = Path(output).expanduser().absolute() if output else workdir.local / "score"
    _check_output(folder, [truth.folder, *(Path(name).expanduser() for name in predictions)])
    _check_missing(methods, truth, allow_missing=allow_missing)
    return score_all(folder, protocol, [functools.partial(_score, maps, truth) for maps in methods])


def _score(
    maps: MethodMaps, masks: Masks, scorer: Scorer, problems: list[str]
) -> tuple[Entry, Show]:
    del problems  # what is unpaired was said before
    entry = scorer.score(masks.set_name, maps.method, score_tasks(maps, masks))
    return entry, functools.partial(_show, maps, masks)


def _check_output(folder: Path, inputs: Sequence[Path]) -> None:
    check_output(folder)
    for name in inputs:
        if folder.resolve().is_relative_to(name.resolve()):
            raise UserError(
                f"--output={folder} lies in {name}, whose pictures are scored: name another folder."
            )


def _check_missing(methods: Sequence[MethodMaps], masks: Masks, *, allow_missing: bool) -> None:
    """Name what has no partner; UserError where masks have no map and that is not allowed."""
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


def _show(maps: MethodMaps, masks: Masks, name: str) -> Row:
    image = masks.images.get(name)
    pixels = None
    if image:
        try:
            pixels = read_image(image)
        except UserError:
            pixels = None  # it was not asked for
    return pixels, read_mask(masks.files[name]), read_map(maps.maps[name])

"""Mode score: measure any method's maps, and write the tables and figures of score and eval."""

import argparse
import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from class_jax.data.check import check_masks
from class_jax.data.masks import load_mask
from class_jax.errors import UserError
from class_jax.evaluation.comparison import compare_methods
from class_jax.evaluation.figures import draw_breakdown, draw_curves, write_figure
from class_jax.evaluation.pairing import find_highest, find_maps, keep_common, keep_levels
from class_jax.evaluation.printed import format_table, note_sets
from class_jax.evaluation.protocols import PROTOCOLS, PUBLISHED
from class_jax.evaluation.scoring import MapSet, Scorer, SetScores
from class_jax.evaluation.sets import find_masks
from class_jax.evaluation.sheets import check_names, choose_images, write_examples, write_gallery
from class_jax.evaluation.tables import write_tables
from class_jax.files import absolute
from class_jax.jobs.targets import check_output
from class_jax.parallel import log
from class_jax.runs.workdir import Workdir
from class_jax.text import list_lines, list_names, printable

EIGHT_BITS, SIXTEEN_BITS = 255, 65535  # highest levels


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Score methods' maps against the masks of sets; return the exit status.

    It is 1 if some files could not be read.

    Raises:
      UserError: nothing to score, nowhere to write, masks without a map, or maps of wrong depth.
    """
    if flags.map_max is not None and flags.map_max < 1:
        raise UserError(f"--map_max={flags.map_max}: expected a level of 1 or more.")
    folders = [absolute(path) for path in flags.predictions]
    salient = config.data.salient
    sets = find_masks([absolute(path) for path in flags.masks])
    methods = find_maps(folders, sets, salient=salient, highest=flags.map_max)
    output = absolute(flags.output) if flags.output else workdir.local / "score"
    check_output(output)
    check_apart(output, [*(masks.folder for masks in sets), *folders])
    _check_missing(methods, allow_missing=flags.allow_missing)
    if flags.allow_missing:
        methods = keep_common(methods)
    for maps in methods:
        _check_depth(maps, flags.map_max)
    for masks in sets:
        _print_notes(masks.notes)
        readers = [functools.partial(load_mask, m, salient=salient) for m in masks.files.values()]
        check = check_masks(masks.set_name, readers)
        for line in check.lines:
            log(line)
        if not check.scale:
            methods = [keep_levels(m) if m.set_name == masks.set_name else m for m in methods]
    check_names(flags.gallery or (), methods)
    return score_maps(output, flags.protocol, methods, metrics=flags.metrics, gallery=flags.gallery)


def score_maps(
    folder: Path,
    protocol: str,
    map_sets: Sequence[MapSet],
    problems: Sequence[str] = (),
    *,
    metrics: str = PUBLISHED,
    gallery: Sequence[str] | None = None,
) -> int:
    """Score maps, write all tables and figures, and name what could not be done.

    Args:
      folder: where tables and figures go.
      protocol: "pysod", "matlab" or "both".
      map_sets: the maps of methods on sets.
      problems: what could not be done before, a sentence each.
      metrics: "published" or "all".
      gallery: names of images for a sheet; none: they are picked. None: no sheet.

    Returns:
      The exit status: 0, or 1 if there are problems.

    Raises:
      UserError: nothing could be scored.
    """
    scored: list[list[SetScores]] = []  # of each map set that could be scored, by protocol
    scored_maps: list[MapSet] = []
    problems = list(problems)
    with Scorer(tuple(PROTOCOLS) if protocol == "both" else (protocol,), metrics=metrics) as scorer:
        for maps in map_sets:
            try:
                scored.append([row.analyze() for row in scorer.score(maps)])
            except UserError as error:
                problems.append(str(error))
                continue
            scored_maps.append(maps)
            problems.extend(scored[-1][0].failed.values())
    if not scored:
        raise UserError(
            problems[0] if len(problems) == 1 else f"nothing could be scored:{list_lines(problems)}"
        )
    firsts = [of_set[0] for of_set in scored]
    rows = [row for of_set in scored for row in of_set]
    comparisons = compare_methods(rows)
    write_tables(folder, rows, comparisons)
    for kind in ("pr", "f"):
        write_figure(folder / f"{kind}_curves.png", draw_curves(rows, kind))
    write_figure(folder / "breakdown.png", draw_breakdown(rows))
    write_examples(folder / "examples.png", firsts, scored_maps)
    if gallery is not None:
        write_gallery(folder, choose_images(firsts, gallery), scored_maps)
    _print_notes((*note_sets(firsts), *_note_undefined(rows)))
    print(format_table(rows))
    hint = "; comparison.md says which differences are more than noise" if comparisons else ""
    log(f"tables and figures are in {printable(str(folder))}{hint}")
    for problem in problems:
        log(f"error: {problem}")
    return 1 if problems else 0


def _print_notes(lines: Sequence[str]) -> None:
    for line in lines:
        log(f"note: {line}")


def _note_undefined(scores: Sequence[SetScores]) -> Iterator[str]:
    """Name the images for which PySODMetrics defines no S."""
    for row in scores:
        undefined = [image for image, figures in row.per_image.items() if math.isnan(figures["S"])]
        if undefined:
            yield (
                f"PySODMetrics gives no S for {list_names(undefined)}, whose masks lie in "
                f"the last row or column, and so none for {row.set_name} by {row.protocol}"
            )


def check_apart(folder: Path, inputs: Sequence[Path]) -> None:
    """Raise UserError if results would lie among the images that are scored."""
    for path in inputs:
        if folder.resolve().is_relative_to(path.resolve()):
            raise UserError(
                f"--output={folder} lies in {path}, whose images are read: choose another folder."
            )


def _check_missing(methods: Sequence[MapSet], *, allow_missing: bool) -> None:
    """Name files without a partner; UserError if masks lack maps unless allowed."""
    missing = []
    for maps in methods:
        _print_notes(maps.notes)
        if maps.missing:
            missing.append(
                f"{maps.method} has no map for {len(maps.missing)} of the {maps.size} masks of "
                f"{maps.set_name}: {list_names(maps.missing)}"
            )
    if missing and not allow_missing:
        raise UserError(
            f"{'; '.join(missing)}. Add them, or score the others with --allow_missing."
        )
    _print_notes(missing)


def _check_depth(maps: MapSet, top: int | None) -> None:
    """Raise UserError for maps of 8 bits in 16-bit files: their levels would be 257 times less."""
    highest = find_highest(maps)
    if not highest:
        return
    if top is None and highest <= EIGHT_BITS:
        raise UserError(
            f"the maps of {maps.method} hold values up to {highest} in 16 bits: save them as 8 "
            "bits, or give the level that stands for 1, --map_max=255, for example."
        )
    top = top or SIXTEEN_BITS
    if highest < top / 2:
        log(
            f"warning: the maps of {maps.method} on {maps.set_name} reach {highest} of {top}: is "
            "that the level that stands for 1? --map_max=N says it"
        )

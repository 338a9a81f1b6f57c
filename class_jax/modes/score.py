"""Mode score: measure any method's maps, and write the tables and figures of score and eval."""

import argparse
import functools
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from class_jax.data.check import check_masks
from class_jax.data.images import load_mask
from class_jax.data.masks import Classes
from class_jax.errors import UserError
from class_jax.evaluation.comparison import compare_methods
from class_jax.evaluation.figures import write_breakdown, write_curves
from class_jax.evaluation.measuring import CONSTANT, INVERTED
from class_jax.evaluation.pairing import (
    MaskReader,
    Masks,
    MethodMaps,
    build_map_set,
    find_highest,
    find_maps,
    find_masks,
    keep_common,
)
from class_jax.evaluation.protocols import PROTOCOLS, PUBLISHED
from class_jax.evaluation.scoring import MapSet, Scorer, SetScores
from class_jax.evaluation.sheets import (
    check_names,
    choose_images,
    write_examples,
    write_gallery,
)
from class_jax.evaluation.tables import format_table, write_tables
from class_jax.files import absolute
from class_jax.jobs.targets import check_output
from class_jax.runs.workdir import Workdir
from class_jax.text import list_lines, list_names, printable

EIGHT_BITS, SIXTEEN_BITS = 255, 65535  # highest levels


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Score methods' maps against the masks of sets; return the exit status.

    It is 1 if some files could not be read.

    Raises:
      UserError: nothing to score, nowhere to write, masks without a map, or maps of wrong depth.
    """
    folders = [absolute(path) for path in flags.predictions]
    sets = find_masks([absolute(path) for path in flags.masks])
    methods = find_maps(folders, sets)
    output = absolute(flags.output) if flags.output else workdir.local / "score"
    check_output(output)
    check_apart(output, [*(masks.folder for masks in sets), *folders])
    _check_missing(methods, allow_missing=flags.allow_missing)
    if flags.allow_missing:
        methods = _keep_common(methods)
    for maps in methods:
        _check_depth(maps, flags.map_max)
    readers = {masks.set_name: _check_masks(masks, config.data.salient) for masks in sets}
    map_sets = [
        build_map_set(maps, readers[maps.masks.set_name], highest=flags.map_max) for maps in methods
    ]
    check_names(flags.gallery or (), map_sets)
    return score_maps(
        output, flags.protocol, map_sets, metrics=flags.metrics, gallery=flags.gallery
    )


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
    write_curves(folder, rows)
    write_breakdown(folder / "breakdown.png", rows)
    write_examples(folder / "examples.png", firsts, scored_maps)
    if gallery is not None:
        write_gallery(folder, choose_images(firsts, gallery), scored_maps)
    _print_all([*_note_guesses(firsts), *_note_undefined(rows)])
    print(format_table(rows))
    hint = "; comparison.md says which differences are more than noise" if comparisons else ""
    print(f"tables and figures are in {printable(str(folder))}{hint}", file=sys.stderr)
    _print_all(f"error: {problem}" for problem in problems)
    return 1 if problems else 0


def _print_all(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _note_guesses(scores: Sequence[SetScores]) -> Iterator[str]:
    """Say how each method's maps were read where that was a guess, and what is doubtful."""
    for row in scores:
        for guess, count in row.map_guesses.items():
            if guess not in (CONSTANT, INVERTED):
                of = f"{row.method} on {row.set_name}"
                yield f"note: {of}: {count} of {row.total.images} maps {guess}"
        yield from (f"warning: {row.set_name}: {doubt}" for doubt in row.doubts())


def _note_undefined(scores: Sequence[SetScores]) -> list[str]:
    """Name the images for which PySODMetrics defines no S."""
    lines = []
    for row in scores:
        undefined = [image for image, figures in row.per_image.items() if math.isnan(figures["S"])]
        if undefined:
            lines.append(
                f"note: PySODMetrics gives no S for {list_names(undefined)}, whose masks lie in "
                f"the last row or column, and so none for {row.set_name} by {row.protocol}"
            )
    return lines


def check_apart(folder: Path, inputs: Sequence[Path]) -> None:
    """Raise UserError if results would lie among the images that they are of."""
    for path in inputs:
        if folder.resolve().is_relative_to(path.resolve()):
            raise UserError(
                f"--output={folder} lies in {path}, whose images are read: choose another folder."
            )


def _check_masks(masks: Masks, salient: Classes) -> MaskReader:
    """Read and describe the masks of a set; return how each of them is read."""
    _print_all(f"note: {line}" for line in masks.left_out)
    read = functools.partial(load_mask, salient=salient)
    check = check_masks(masks.set_name, [functools.partial(read, f) for f in masks.files.values()])
    _print_all(check.lines)
    return functools.partial(read, scale=check.scale)


def _check_missing(methods: Sequence[MethodMaps], *, allow_missing: bool) -> None:
    """Name files without a partner; UserError if masks lack maps unless allowed."""
    missing = []
    for maps in methods:
        _print_all(f"note: {line}" for line in (*maps.left_out, *_note_names(maps)))
        if maps.surplus:
            print(
                f"note: {maps.method}: {len(maps.surplus)} maps have no mask and are left out: "
                f"{list_names(maps.surplus)}",
                file=sys.stderr,
            )
        if maps.missing:
            missing.append(
                f"{maps.method} has no map for {len(maps.missing)} of the {len(maps.masks.files)} "
                f"masks of {maps.masks.set_name}: {list_names(maps.missing)}"
            )
    if missing and not allow_missing:
        raise UserError(
            f"{'; '.join(missing)}. Add them, or score the others with --allow_missing."
        )
    for sentence in missing:
        print(f"note: {sentence}", file=sys.stderr)


def _note_names(maps: MethodMaps) -> list[str]:
    """Say that names of maps and masks were found to belong together, if they differ."""
    others = [name for name, path in maps.maps.items() if path.stem != name.rpartition("/")[2]]
    if not others:
        return []
    map_name, mask_name = maps.maps[others[0]].name, maps.masks.files[others[0]].name
    return [
        f"{maps.method} on {maps.masks.set_name}: {len(others)} maps have other names than their "
        f"masks: {map_name} is taken as that of {mask_name}"
    ]


def _keep_common(methods: Sequence[MethodMaps]) -> list[MethodMaps]:
    """Keep the images that all methods have, and say how many of a set those are."""
    kept = keep_common(methods)
    for maps in {maps.masks.set_name: maps for maps in kept}.values():
        total = len(maps.masks.files)
        if len(maps.maps) < total:
            print(
                f"note: {maps.masks.set_name}: scored on the {len(maps.maps)} of {total} images "
                "that all methods have a map of",
                file=sys.stderr,
            )
    return kept


def _check_depth(maps: MethodMaps, map_max: int | None) -> None:
    """Raise UserError for maps of 8 bits in 16-bit files: their levels would be 257 times less."""
    highest = find_highest(maps)
    if not highest:
        return
    if map_max is None and highest <= EIGHT_BITS:
        raise UserError(
            f"the maps of {maps.method} hold values up to {highest} in 16 bits: save them as 8 "
            "bits, or give the level that stands for 1, --map_max=255, for example."
        )
    if highest < (map_max or SIXTEEN_BITS) / 2:
        print(
            f"warning: the maps of {maps.method} on {maps.masks.set_name} reach {highest} of "
            f"{map_max or SIXTEEN_BITS}: is that the level that stands for 1? --map_max=N says it",
            file=sys.stderr,
        )

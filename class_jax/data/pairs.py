"""Pairs of image and mask files: matched by name, checked by decoding."""

import dataclasses
import functools
from pathlib import Path

from class_jax.data.check import Facts, describe, inspect_all
from class_jax.data.folders import describe_left_out, find_images, index_by_stem
from class_jax.data.layouts import NO_OUTLINES, Layout, split_flat
from class_jax.data.matching import group_by_object, match_names
from class_jax.data.sources import Pair, PairSource
from class_jax.errors import BrokenFilesError
from class_jax.text import list_lines, list_names

CHECK_SIDE = 352  # pixels; a check decodes large JPEGs at a scale of twice that


@dataclasses.dataclass(frozen=True)
class Findings:
    """Pairs that can be used, a line for each file that cannot, and lines about the others."""

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # of all pairs that were found, broken ones too
    left_out: tuple[str, ...] = ()  # a line for each kind of file that is not read


def match_pairs(layout: Layout, *, ignored_masks: frozenset[str] = frozenset()) -> Findings:
    """Pair the images and masks of a layout by their path below its folders, without suffix.

    Additions that all masks' names share are ignored; masks of one object each are joined.
    `ignored_masks` are names of files in the folder of masks that are known to be wrong.
    """
    images, masks = find_images(layout.images), find_images(layout.masks)
    if layout.is_flat:
        parts = split_flat(images.images)
        images, masks = (images._replace(images=part) for part in parts)
    image_files, doubled = index_by_stem(images.images, layout.images)
    wanted_masks = [path for path in masks.images if path.name not in ignored_masks]
    mask_files, doubled_masks = index_by_stem(wanted_masks, layout.masks)
    groups = group_by_object(image_files, mask_files)
    matches = match_names(image_files, groups)
    lonely = sorted(image_files.keys() - doubled_masks.keys() - matches.keys())
    extra = sorted(groups.keys() - matches.values() - doubled.keys())
    problems = [
        *(*images.problems, *masks.problems, *doubled.values(), *doubled_masks.values()),
        *(f"image {image_files[name]} has no mask" for name in lonely),
        *(f"mask {mask_files[groups[name][0]]} has no image" for name in extra),
    ]
    paired = {name: tuple(mask_files[m] for m in groups[matches[name]]) for name in sorted(matches)}
    guessed = [name for name in paired if layout.is_flat or groups[matches[name]] != [name]]
    remarks = [
        f"note: {len(guessed)} pairs are guessed from their names: the mask of "
        f"{image_files[name].name} is {list_names(path.name for path in paired[name])}"
        for name in guessed[:1]
    ]
    left_out = describe_left_out({*images.left_out, *masks.left_out})
    return Findings(
        tuple(Pair(name, image_files[name], files) for name, files in paired.items()),
        tuple(dict.fromkeys(problems)),
        tuple(remarks),
        tuple(paired),
        tuple(f"note: {line}" for line in left_out),
    )


def check_pairs(findings: Findings, source: PairSource, *, name: str) -> Findings:
    """Decode the pairs of a source, so that a broken file is found now and not hours later.

    The remarks begin with a summary of the data set, under its name.
    """
    read = functools.partial(source.read, side=CHECK_SIDE)
    results = inspect_all(read, len(source.names), title="checking images and masks")
    check = describe(name, results, unit="pairs")
    checked = list(zip(findings.pairs, results, strict=True))
    return dataclasses.replace(
        findings,
        pairs=tuple(p._replace(scale=check.scale) for p, f in checked if isinstance(f, Facts)),
        problems=(*findings.problems, *(found for _, found in checked if isinstance(found, str))),
        remarks=(*check.lines, *findings.remarks),
    )


def check_usable(findings: Findings, root: Path, *, skip_broken: bool) -> tuple[str, ...]:
    """Return the remarks and what is left out, broken files too if `skip_broken`.

    Raises:
      BrokenFilesError: there are problems and not `skip_broken`, or no pair at all.
    """
    count, broken = len(findings.problems), list_lines(findings.problems)
    listed = "\n".join((broken, *findings.left_out))
    if not findings.pairs:
        hint = "" if findings.names else f" {NO_OUTLINES}"
        raise BrokenFilesError(
            f"{root} holds no image with a mask that can be used.{hint}{listed}", skippable=False
        )
    if count and not skip_broken:
        raise BrokenFilesError(
            f"{root}: {count} files are broken or have no partner:{listed}", skippable=True
        )
    skipped = (f"{root}: {count} files are left out:{broken}",) if count else ()
    return (*findings.remarks, *findings.left_out, *skipped)

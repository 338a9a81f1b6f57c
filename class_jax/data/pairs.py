"""Pairs of image and mask files: matched by name, checked by decoding."""

import dataclasses
import functools
from pathlib import Path

from class_jax.data.check import ImageFacts, MaskFacts, describe, inspect_all
from class_jax.data.folders import Found, describe_left_out, find_images, index_by_stem
from class_jax.data.layouts import Layout, split_flat
from class_jax.data.matching import match_names
from class_jax.data.sources import Pair, PairSource
from class_jax.errors import BrokenFilesError, UserError
from class_jax.text import list_lines

CHECK_SIDE = 352  # pixels; a check decodes large JPEGs at a scale of twice that


@dataclasses.dataclass(frozen=True)
class Findings:
    """Pairs that can be used, a line for each file that cannot, and lines about the others."""

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # of all pairs that were found, broken ones too


def match_pairs(layout: Layout, *, ignored_masks: frozenset[str] = frozenset()) -> Findings:
    """Pair the images and masks of a layout by their path below its folders, without suffix.

    What all masks' names have in addition is ignored. `ignored_masks` are file names in the folder
    of masks that are known to be wrong.
    """
    images, masks = _find_files(layout)
    image_files, doubled = index_by_stem(images.images, layout.images)
    wanted_masks = [path for path in masks.images if path.name not in ignored_masks]
    mask_files, doubled_masks = index_by_stem(wanted_masks, layout.masks)
    matches = match_names(image_files, mask_files)
    problems = dict.fromkeys(
        (*images.problems, *masks.problems, *doubled.values(), *doubled_masks.values())
    )
    lonely = [name for name in image_files.keys() - doubled_masks.keys() if name not in matches]
    problems |= dict.fromkeys(f"image {image_files[name]} has no mask" for name in sorted(lonely))
    extra = sorted(mask_files.keys() - matches.values() - doubled.keys())
    problems |= dict.fromkeys(f"mask {mask_files[name]} has no image" for name in extra)
    pairs = [Pair(name, image_files[name], mask_files[mask]) for name, mask in matches.items()]
    left_out = describe_left_out({*images.left_out, *masks.left_out})
    remarks = [f"note: {line}" for line in left_out]
    if layout.is_flat and pairs:
        pair = pairs[0]
        remarks.append(
            f"note: in one folder: {pair.mask.name} is taken as {pair.image.name}'s mask"
        )
    elif others := [pair for pair in pairs if matches[pair.name] != pair.name]:
        remarks.append(
            f"note: {len(others)} pairs have different names: mask {others[0].mask.name} is taken "
            f"as {others[0].image.name}'s"
        )
    return Findings(tuple(sorted(pairs)), tuple(problems), tuple(remarks), tuple(sorted(matches)))


def _find_files(layout: Layout) -> tuple[Found, Found]:
    images = find_images(layout.images)
    if not layout.is_flat:
        return images, find_images(layout.masks)
    return tuple(images._replace(images=part) for part in split_flat(images.images))  # type: ignore[return-value]


def check_pairs(findings: Findings, source: PairSource, *, name: str) -> Findings:
    """Decode every pair, so that a broken file is found now and not hours later.

    Args:
      findings: whose pairs are checked.
      source: reads these pairs.
      name: of the data set, for the summary among the remarks.
    """
    inspect = functools.partial(_inspect, source)
    results = inspect_all(inspect, len(source.names), title="checking images and masks")
    good = [pair for pair, facts in zip(findings.pairs, results, strict=True) if facts[0] is None]
    broken = [problem for problem, _ in results if problem]
    facts = [facts for _, facts in results if facts]
    lines = []
    if facts:
        images, masks = zip(*facts, strict=True)
        lines = describe(name, masks, images, unit="pairs")
    problems, remarks = (*findings.problems, *broken), (*lines, *findings.remarks)
    return Findings(tuple(good), problems, remarks, findings.names)


def _inspect(
    source: PairSource, index: int
) -> tuple[str | None, tuple[ImageFacts, MaskFacts] | None]:
    """Return what is wrong with a pair, or its facts."""
    try:
        return None, source.inspect(index, CHECK_SIDE)
    except UserError as error:
        return str(error).rstrip("."), None


def check_usable(findings: Findings, root: Path, *, skip_broken: bool) -> tuple[str, ...]:
    """Return the remarks, with what is left out if `skip_broken`.

    Raises:
      BrokenFilesError: there are problems and not `skip_broken`, or no pair at all.
    """
    count = len(findings.problems)
    listed = list_lines(findings.problems)
    if not findings.pairs:
        raise BrokenFilesError(
            f"{root} holds no image with a mask that can be used.{listed}", skippable=False
        )
    if count and not skip_broken:
        raise BrokenFilesError(
            f"{root}: {count} files are broken or have no partner:{listed}", skippable=True
        )
    if not count:
        return findings.remarks
    return (*findings.remarks, f"{root}: {count} files are left out:{listed}")

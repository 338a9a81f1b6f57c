"""Pairs of image and mask files: matched by name, checked by decoding."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from class_jax.data.annotations import Drawing, choose_classes, read_coco, read_drawings
from class_jax.data.check import Facts, describe, inspect_all
from class_jax.data.folders import Found, describe_left_out, find_images, index_by_stem
from class_jax.data.layouts import ANNOTATION, Layout, folders_in, layouts_in, split_flat
from class_jax.data.masks import Classes
from class_jax.data.matching import group_by_object, match_names
from class_jax.data.sources import Pair, PairSource, Truth
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


def match_pairs(
    layout: Layout, *, salient: Classes = (), ignored_masks: frozenset[str] = frozenset()
) -> Findings:
    """Pair the images and masks of a layout by their path below its folders, without suffix.

    Additions that all masks' names share are ignored; masks of one object each are joined. Masks
    may be files of labelme, or one of COCO.

    Args:
      layout: the two folders.
      salient: classes of annotation files that are salient; all if none are named.
      ignored_masks: file names in the folder of masks that are known to be wrong.

    Raises:
      UserError: no annotation has a class of `salient`, or a file of COCO cannot be read.
    """
    if layout.masks.is_file():
        return _match_listed(layout, salient)
    images, masks = _find_files(layout)
    files = [*images.images, *masks.images]
    if layout.is_flat and not any(path.parent == layout.images for path in files):
        return _match_folders(layout, images)
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
    others = [name for name in paired if groups[matches[name]] != [name]]
    remarks = _note_names(layout, others, image_files, paired)
    truths: Mapping[str, Truth]
    truths = {name: group if len(group) > 1 else group[0] for name, group in paired.items()}
    if masks.images and masks.images[0].suffix.lower() == ANNOTATION:
        outlines = {name: group[0] for name, group in paired.items()}
        truths, broken = read_drawings(outlines, salient)
        remarks += _note_no_areas(truths)
        problems += broken.values()
    return Findings(
        tuple(Pair(name, image_files[name], mask) for name, mask in truths.items()),
        tuple(dict.fromkeys(problems)),
        tuple(remarks),
        tuple(paired),
        (*_note_left_out(images, masks), *_note_others(layout.masks, masks)),
    )


def _match_folders(layout: Layout, found: Found) -> Findings:
    """Pair the image in each folder of a layout with the masks of its objects, beside it."""
    pairs, problems = [], list(found.problems)
    for folder in folders_in(layout.images):
        for part in layouts_in(folder):
            masks = tuple(find_images(part.masks).images)
            for image in find_images(part.images).images:
                if masks:
                    pairs.append(Pair(folder.name, image, masks))
                else:
                    problems.append(f"image {image} has no mask")
    names = tuple(pair.name for pair in pairs)
    return Findings(tuple(pairs), tuple(problems), (), names, tuple(_note_left_out(found)))


def _match_listed(layout: Layout, salient: Classes) -> Findings:
    """Pair the images that a file of COCO lists, by their paths or else their names."""
    drawings = choose_classes(read_coco(layout.masks), salient)
    found = find_images(layout.images)
    by_path = {path.relative_to(layout.images).as_posix(): path for path in found.images}
    counts = Counter(path.name for path in found.images)
    by_name = {path.name: path for path in found.images if counts[path.name] == 1}
    pairs, problems = [], list(found.problems)
    for listed, drawing in drawings.items():
        image = by_path.get(listed) or by_name.get(listed.rpartition("/")[2])
        if image is None:
            problems.append(f"{layout.masks} lists {listed}, which is not in {layout.images}")
        else:
            name = image.relative_to(layout.images).with_suffix("").as_posix()
            pairs.append(Pair(name, image, drawing))
    left_out = [*_note_left_out(found), *_note_no_areas(drawings)]
    if others := len(found.images) - len(pairs):
        left_out.append(f"note: {others} images are not listed in {layout.masks.name}: left out")
    pairs.sort(key=lambda pair: pair.name)
    names = tuple(pair.name for pair in pairs)
    return Findings(tuple(pairs), tuple(problems), (), names, tuple(left_out))


def _note_no_areas(drawings: Mapping[str, Drawing]) -> list[str]:
    count = sum(drawing.left_out for drawing in drawings.values())
    return [f"note: {count} annotations are points, lines or boxes: left out"] if count else []


def _note_left_out(*found: Found) -> list[str]:
    left_out = {path for part in found for path in part.left_out}
    return [f"note: {line}" for line in describe_left_out(left_out)]


def _note_others(folder: Path, masks: Found) -> list[str]:
    """Say what to do with annotations of other tools, if a folder of masks holds nothing else."""
    if masks.images:
        return []
    counts = {suffix: len(find_images(folder, [suffix]).images) for suffix in (".txt", ".xml")}
    return [
        f"note: {count} {suffix} in {folder} are no masks: convert them to PNG, or to a file of "
        "COCO for config.data.masks=FILE.json"
        for suffix, count in counts.items()
        if count
    ]


def _note_names(
    layout: Layout,
    others: Sequence[str],
    images: Mapping[str, Path],
    masks: Mapping[str, Sequence[Path]],
) -> list[str]:
    """Say which mask was taken as which image's, where that was a guess, as for `others`."""
    chosen = list(masks) if layout.is_flat else others
    if not chosen:
        return []
    image = images[chosen[0]].name
    names = list_names(path.name for path in masks[chosen[0]])
    if layout.is_flat:
        return [f"note: in one folder: {names} is taken as {image}'s mask"]
    return [f"note: {len(others)} pairs have different names: mask {names} is taken as {image}'s"]


def _find_files(layout: Layout) -> tuple[Found, Found]:
    """Return the images and the masks, or files that may be of labelme in place of masks."""
    images = masks = find_images(layout.images)
    if layout.is_flat:
        parts = split_flat(images.images)
        images, masks = (images._replace(images=part) for part in parts)
    else:
        masks = find_images(layout.masks)
    if not masks.images:
        masks = masks._replace(images=find_images(layout.masks, [ANNOTATION]).images)
    return images, masks


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
        raise BrokenFilesError(
            f"{root} holds no image with a mask that can be used.{listed}", skippable=False
        )
    if count and not skip_broken:
        raise BrokenFilesError(
            f"{root}: {count} files are broken or have no partner:{listed}", skippable=True
        )
    skipped = (f"{root}: {count} files are left out:{broken}",) if count else ()
    return (*findings.remarks, *findings.left_out, *skipped)

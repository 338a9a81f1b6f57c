"""Pairs of image and mask files: matched by name, checked by decoding."""

import dataclasses
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from class_jax.data.folders import images_by_stem
from class_jax.data.sources import Pair, PairSource
from class_jax.errors import BrokenFilesError, UserError

NAMED_PROBLEMS = 10  # how many of them a message lists


@dataclasses.dataclass(frozen=True)
class Findings:
    """Pairs that can be used, and a sentence for each file that cannot."""

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...]


def match_pairs(
    images: Path, masks: Path, *, ignored_masks: frozenset[str] = frozenset()
) -> Findings:
    """Pair the images and masks of two folders by their path below them, without suffix.

    `ignored_masks` are file names in the folder of masks that are known to be wrong.
    """
    problems: list[str] = []
    image_files = images_by_stem(images, problems)
    mask_files = images_by_stem(masks, problems, ignored=ignored_masks)
    shared = sorted(image_files.keys() & mask_files.keys())
    problems += [
        f"image {image_files[name]} has no mask {masks / name}.*"
        for name in sorted(image_files.keys() - mask_files.keys())
    ]
    problems += [
        f"mask {mask_files[name]} has no image {images / name}.*"
        for name in sorted(mask_files.keys() - image_files.keys())
    ]
    pairs = tuple(Pair(name, image_files[name], mask_files[name]) for name in shared)
    return Findings(pairs, tuple(problems))


def check_pairs(findings: Findings) -> Findings:
    """Read every pair, so that a broken file is found now and not hours later."""
    source = PairSource(findings.pairs)

    def problem(index: int) -> str | None:
        try:
            source[index]
        except UserError as error:
            return str(error)
        return None

    with ThreadPoolExecutor() as pool:
        results = pool.map(problem, range(len(source)))
        bar = tqdm(
            results,
            total=len(source),
            desc="checking images and masks",
            unit="pair",
            disable=not sys.stderr.isatty(),
        )
        found = list(bar)
    good = tuple(pair for pair, what in zip(findings.pairs, found, strict=True) if what is None)
    return Findings(good, findings.problems + tuple(what for what in found if what is not None))


def usable_pairs(findings: Findings, root: Path, *, skip_broken: bool) -> PairSource:
    """The pairs as a source; with problems only if `skip_broken`, which prints how many.

    Raises:
      BrokenFilesError: problems and not `skip_broken`, or no pair at all.
    """
    count = len(findings.problems)
    listed = " ".join(_as_sentence(problem) for problem in findings.problems[:NAMED_PROBLEMS])
    if count > NAMED_PROBLEMS:
        listed += f" … and {count - NAMED_PROBLEMS} more."
    if not findings.pairs:
        raise BrokenFilesError(
            f"{root} holds no image with a mask that can be used. {listed}".strip(),
            skippable=False,
        )
    if count and not skip_broken:
        raise BrokenFilesError(
            f"{root}: {count} files are broken or unpaired: {listed}",
            skippable=True,
        )
    if count:
        print(f"{root}: {count} broken or unpaired files left out: {listed}", file=sys.stderr)
    return PairSource(findings.pairs)


def _as_sentence(problem: str) -> str:
    return problem if problem.endswith(".") else f"{problem}."

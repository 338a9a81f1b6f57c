"""The image sources that a configuration names."""

from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

import datasets
from class_jax.data.folders import find_layout
from class_jax.data.pairs import Findings, check_pairs, match_pairs, usable_pairs
from class_jax.data.sources import PairSource, Source, hold_out
from class_jax.data.synthetic.source import SyntheticSource
from class_jax.errors import UserError

HELD_OUT = "held_out"  # in config.eval.sets: the images that training validates on


class TrainingSources(NamedTuple):
    """What a run learns from, and what it is validated on, if anything."""

    train: Source
    held_out: Source | None


def training_sources(config: ConfigDict, *, skip_broken: bool) -> TrainingSources:
    """Open and verify the training set and the held-out images.

    Raises:
      UserError: nothing there, or broken or unpaired files and not `skip_broken`.
    """
    if config.data.train == "synthetic":
        return TrainingSources(
            _synthetic(config, held_out=False), _synthetic(config, held_out=True)
        )
    if config.data.train == "folder":
        return _folder_sources(config, skip_broken=skip_broken)
    source = datasets.open_set(config.data.train, config.data.root, skip_broken=skip_broken)
    return TrainingSources(source, None)


def evaluation_source(config: ConfigDict, name: str) -> tuple[Source, tuple[str, ...]]:
    """One of `config.eval.sets`, and a sentence for each of its files that cannot be used.

    A folder's files are not verified before: evaluation names what it cannot read, and does the
    rest.
    """
    if name != HELD_OUT:
        return _named_set(name, config.data.root)
    if config.data.train == "synthetic":
        return _synthetic(config, held_out=True), ()
    if config.data.train != "folder":
        raise UserError(
            f'config.eval.sets holds "{HELD_OUT}", but config.data.train = '
            f"{config.data.train} holds nothing out: name a data set instead."
        )
    if config.data.val_root:
        return folder_source(config.data.val_root, leaf="config.data.val_root")
    source, problems = folder_source(config.data.root, leaf="config.data.root")
    return source.subset(hold_out(source.names)[1]), problems


def _named_set(name: str, root: str) -> tuple[Source, tuple[str, ...]]:
    source = datasets.open_set(name, root, skip_broken=True)
    missing = datasets.pairs_of(name) - len(source)
    problem = (
        f"{name}: {missing} of its {len(source) + missing} pairs are missing or broken; "
        "--mode prepare names them."
    )
    return source, (problem,) if missing else ()


def folder_source(root: str, *, leaf: str) -> tuple[PairSource, tuple[str, ...]]:
    """A folder of images with masks, unverified, and what is unpaired in it."""
    findings = _matched(root, leaf=leaf)
    if not findings.pairs:
        return usable_pairs(findings, Path(root), skip_broken=True), ()
    return PairSource(findings.pairs), findings.problems


def _synthetic(config: ConfigDict, *, held_out: bool) -> SyntheticSource:
    number = config.data.num_val if held_out else config.data.num_train
    # Even seeds make training sets, odd ones what is held out: no run learns another's test.
    return SyntheticSource(
        number, seed=2 * config.seed + held_out, image_size=config.data.picture_size
    )


def _folder_sources(config: ConfigDict, *, skip_broken: bool) -> TrainingSources:
    def verified(root: str, leaf: str) -> tuple[PairSource, Findings]:
        matched = _matched(root, leaf=leaf)
        return usable_pairs(check_pairs(matched), Path(root), skip_broken=skip_broken), matched

    source, matched = verified(config.data.root, "config.data.root")
    if config.data.val_root:
        return TrainingSources(source, verified(config.data.val_root, "config.data.val_root")[0])
    # Decided before broken pairs are left out, as evaluation does, which finds them only later.
    names = [pair.name for pair in matched.pairs]
    held_out = {names[index] for index in hold_out(names)[1]}
    parts = [
        source.subset(i for i, name in enumerate(source.names) if (name in held_out) == wanted)
        for wanted in (False, True)
    ]
    if not all(parts):
        raise UserError(f"{config.data.root}: too few pairs can be used to hold one out.")
    return TrainingSources(*parts)


def _matched(root: str, *, leaf: str) -> Findings:
    if not root:
        raise UserError(f"{leaf} is not set: {leaf}=PATH names a folder of images and masks.")
    return match_pairs(*find_layout(Path(root).expanduser(), leaf=leaf))

"""The sources of images that a configuration names."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

import datasets
from class_jax.data.layouts import Layout, find_layout, split_parts
from class_jax.data.pairs import Findings, check_pairs, check_usable, match_pairs
from class_jax.data.sources import Pair, PairSource, Part, Source, hold_out
from class_jax.errors import UserError
from class_jax.files import absolute
from class_jax.text import list_names
from datasets.synthetic import SyntheticSource

HELD_OUT = "held_out"  # in config.eval.sets: the images that training validates on


class TrainingSources(NamedTuple):
    """Examples to train on and, if any, to validate on, and lines about them for the user."""

    train: Source
    held_out: Source | None
    remarks: tuple[str, ...] = ()
    mix: tuple[Part, ...] = ()  # of `train`, if its parts have weights
    backgrounds: Source | None = None  # images without an object


class EvaluationSource(NamedTuple):
    """Examples to evaluate on, a line for each file that cannot be used, and the set's check."""

    source: Source
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class Opener(NamedTuple):
    """Functions that open one kind of `config.data.train`."""

    train: Callable[[ConfigDict, bool], TrainingSources]  # whether broken files are left out
    held_out: Callable[[ConfigDict], EvaluationSource]


def training_sources(config: ConfigDict, *, skip_broken: bool) -> TrainingSources:
    """Open and check the training set and the held-out images.

    Raises:
      UserError: nothing there, or broken or unpaired files and not `skip_broken`.
    """
    return OPENERS.get(config.data.train, NAMED_SET).train(config, skip_broken)


def check_places(config: ConfigDict) -> None:
    """Raise UserError if no images to train on are where they should be; none is read."""
    data = config.data
    if data.train not in (*OPENERS, *datasets.SETS):
        datasets.open_set(data.train, data.root, skip_broken=False)  # says which there are
    if data.train in ("folder", "mix") and data.val_root:
        _layout(config, data.val_root, leaf="config.data.val_root")
    if data.train == "folder":
        _layout(config, data.root, leaf="config.data.root")
    for name, _ in map(parse_part, data.mix if data.train == "mix" else ()):
        _layout(config, str(absolute(data.root) / name), leaf=f"config.data.mix, {name}")


def evaluation_source(config: ConfigDict, name: str) -> EvaluationSource:
    """Open one of `config.eval.sets`; a folder is checked, and what is broken is left out."""
    opener = OPENERS.get(config.data.train, NAMED_SET)
    return opener.held_out(config) if name == HELD_OUT else _open_named(config, name)


def folder_source(
    config: ConfigDict, root: str, *, name: str, leaf: str, held_out: bool = False
) -> EvaluationSource:
    """Open and check a folder of images with masks, or the part of it that training holds out.

    Args:
      config: the configuration in force.
      root: the folder.
      name: of the set, for messages.
      leaf: configuration leaf or flag that named the folder, for messages.
      held_out: open the held-out part alone.

    Raises:
      UserError: no such folder, or no pair in it that can be used.
    """
    findings = _check_folder(config, root, name=name, leaf=leaf, held_out=held_out)
    if not findings.pairs:
        check_usable(findings, Path(root), skip_broken=True)
    remarks = (*findings.remarks, *findings.left_out)
    return EvaluationSource(_source(config, findings.pairs), findings.problems, remarks)


def _check_folder(
    config: ConfigDict, root: str, *, name: str, leaf: str, held_out: bool = False
) -> Findings:
    """Pair and decode the images and masks of a folder, or of the part that is held out."""
    layout, remarks = _layout(config, root, leaf=leaf)
    findings = match_pairs(layout)
    if held_out:
        chosen = hold_out(findings.names)
        pairs = tuple(pair for pair in findings.pairs if pair.name in chosen)
        findings = dataclasses.replace(findings, pairs=pairs)
    findings = check_pairs(findings, _source(config, findings.pairs), name=name)
    return dataclasses.replace(findings, remarks=(*remarks, *findings.remarks))


def _layout(config: ConfigDict, root: str, *, leaf: str) -> tuple[Layout, tuple[str, ...]]:
    """Find images and masks, in the folders that the configuration names if those exist.

    Returns:
      The layout, and a remark if those folders do not exist.
    """
    if not root:
        raise UserError(f"{leaf} is not set: {leaf}=PATH names a folder of images and masks.")
    folder = absolute(root)
    images, masks = config.data.images, config.data.masks
    remarks: tuple[str, ...] = ()
    found = (folder / images).is_dir() and (folder / masks).is_dir()
    if leaf != "config.data.root" and not found:
        # Another folder than that of the training may have another layout.
        remarks = (f"note: {root} has no {images or masks}, as config.data says: others are used",)
        images = masks = ""
    layout = find_layout(folder, leaf=leaf, images=images, masks=masks)
    if len(parts := split_parts(layout)) > 1:  # named as one by the user
        names = list_names(part.images.name for part in parts)
        remarks += (f"note: {layout.images} holds {names}: all are used",)
    return layout, remarks


def _source(config: ConfigDict, pairs: Iterable[Pair]) -> PairSource:
    settings = config.data
    return PairSource(tuple(pairs), salient=settings.salient, fit_masks=settings.fit_masks)


def _open_named(config: ConfigDict, name: str) -> EvaluationSource:
    root = config.data.root
    source = datasets.open_set(name, root, skip_broken=True)
    total = datasets.pairs_of(name)
    missing = total - len(source.names)
    problem = f"{name}: {missing} of its {total} pairs are missing or broken; prepare names them."
    return EvaluationSource(source, (problem,) if missing else (), datasets.check_of(name, root))


def _train_on_named(config: ConfigDict, skip_broken: bool) -> TrainingSources:
    name, root = config.data.train, config.data.root
    source = datasets.open_set(name, root, skip_broken=skip_broken)
    return TrainingSources(source, None, datasets.check_of(name, root))


def _refuse_held_out(config: ConfigDict) -> EvaluationSource:
    raise UserError(
        f'config.eval.sets holds "{HELD_OUT}", but config.data.train = {config.data.train} holds '
        "nothing out: name a data set instead."
    )


def _synthetic(config: ConfigDict, *, held_out: bool) -> SyntheticSource:
    number = config.data.num_val if held_out else config.data.num_train
    # Training sets have even seeds and held-out ones odd: no run trains on another's test set.
    return SyntheticSource(
        number, seed=2 * config.seed + held_out, image_size=config.data.picture_size
    )


def _train_on_synthetic(config: ConfigDict, skip_broken: bool) -> TrainingSources:
    del skip_broken  # nothing is read
    return TrainingSources(_synthetic(config, held_out=False), _synthetic(config, held_out=True))


def _hold_out_synthetic(config: ConfigDict) -> EvaluationSource:
    return EvaluationSource(_synthetic(config, held_out=True))


def _train_on_folders(config: ConfigDict, skip_broken: bool) -> TrainingSources:
    """Check the folders of training and validation; without the latter, hold a tenth out."""
    root = config.data.root
    found, remarks = _find_usable(config, root, leaf="config.data.root", skip_broken=skip_broken)
    validation, notes = _open_validation(config, found.pairs, skip_broken=skip_broken)
    if validation:
        return TrainingSources(_source(config, found.pairs), validation, remarks + notes)
    # By all names, broken ones too: a file that breaks moves no other one to the other part.
    chosen = hold_out(found.names)
    train, held_out = (
        _source(config, (pair for pair in found.pairs if (pair.name in chosen) == wanted))
        for wanted in (False, True)
    )
    if train.names and held_out.names:
        return TrainingSources(train, held_out, remarks)
    raise UserError(f"{root}: too few pairs can be used to hold one out.")


def _find_usable(
    config: ConfigDict, root: str, *, leaf: str, skip_broken: bool, name: str = ""
) -> tuple[Findings, tuple[str, ...]]:
    """Check a folder of images with masks; return what was found, and remarks."""
    found = _check_folder(config, root, name=name or Path(root).name or root, leaf=leaf)
    return found, check_usable(found, Path(root), skip_broken=skip_broken)


def _open_validation(
    config: ConfigDict, trained: Iterable[Pair], *, skip_broken: bool
) -> tuple[PairSource | None, tuple[str, ...]]:
    """Check the folder of validation, if there is one; return its pairs, and remarks.

    Raises:
      UserError: an image in it is trained on, too, or as `training_sources`.
    """
    if not (root := config.data.val_root):
        return None, ()
    leaf = "config.data.val_root"
    found, remarks = _find_usable(config, root, leaf=leaf, skip_broken=skip_broken)
    known = {key(pair.image) for pair in trained for key in (os.path.realpath, _digest)}
    if both := [pair.image for pair in found.pairs if os.path.realpath(pair.image) in known]:
        raise UserError(
            f"config.data.val_root = {root}: {len(both)} of its images are in config.data.root, "
            f"and would be trained on: {list_names(both)}. Without val_root a tenth is held out."
        )
    copies = [pair.image.name for pair in found.pairs if _digest(pair.image) in known]
    listed = f"{len(copies)} images of {root} are trained on, too: {list_names(copies)}"
    return _source(config, found.pairs), remarks + (f"warning: {listed}",) * bool(copies)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _hold_out_of_folders(config: ConfigDict) -> EvaluationSource:
    """Open the folder of validation; without one, the part of the training's that is held out."""
    part = "val_root" if config.data.val_root else "root"
    root, leaf = config.data[part], f"config.data.{part}"
    return folder_source(config, root, name=HELD_OUT, leaf=leaf, held_out=part == "root")


def _train_on_mix(config: ConfigDict, skip_broken: bool) -> TrainingSources:
    """Check several folders below the root, each a part with a weight, and the validation's."""
    pairs: list[Pair] = []
    mix: list[Part] = []
    remarks: tuple[str, ...] = ()
    for text in config.data.mix:
        name, weight = parse_part(text)
        found, notes = _check_part(config, name, skip_broken=skip_broken)
        pairs += [pair._replace(name=f"{name}/{pair.name}") for pair in found.pairs]
        mix.append(Part(len(found.pairs), weight))
        remarks += notes
    if not pairs:
        raise UserError("config.data.mix is empty: it names folders below config.data.root.")
    backgrounds = None
    if config.data.backgrounds:
        found, _ = _check_part(config, config.data.backgrounds, skip_broken=skip_broken)
        backgrounds = _source(config, found.pairs)
    held_out, notes = _open_validation(config, pairs, skip_broken=skip_broken)
    source = _source(config, pairs)
    return TrainingSources(source, held_out, remarks + notes, tuple(mix), backgrounds)


def _check_part(
    config: ConfigDict, name: str, *, skip_broken: bool
) -> tuple[Findings, tuple[str, ...]]:
    """Check a folder below the root; return what was found, and remarks."""
    folder, leaf = str(absolute(config.data.root) / name), f"config.data.mix, {name}"
    return _find_usable(config, folder, leaf=leaf, skip_broken=skip_broken, name=name)


def parse_part(text: str) -> tuple[str, float]:
    """Return folder and weight of an entry of config.data.mix: "name*0.5" → ("name", 0.5).

    Raises:
      UserError: the weight is no number above 0.
    """
    name, star, weight = text.partition("*")
    try:
        value = float(weight) if star else 1.0
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UserError(
            f'config.data.mix holds "{text}": expected the name of a folder, or NAME*WEIGHT with a '
            "weight above 0."
        )
    return name, value


def _hold_out_of_mix(config: ConfigDict) -> EvaluationSource:
    open_part = _hold_out_of_folders if config.data.val_root else _refuse_held_out
    return open_part(config)


# By `config.data.train`; any other value is the name of a data set.
OPENERS = {
    "synthetic": Opener(_train_on_synthetic, _hold_out_synthetic),
    "folder": Opener(_train_on_folders, _hold_out_of_folders),
    "mix": Opener(_train_on_mix, _hold_out_of_mix),
}
NAMED_SET = Opener(_train_on_named, _refuse_held_out)

"""Mode prepare: download, unpack and check what the configuration names."""

import argparse
import sys
from collections.abc import Sequence

from ml_collections import ConfigDict
from PIL import Image

import datasets
from class_jax.data.sheet import draw_outlines
from class_jax.data.sources import Source
from class_jax.errors import BrokenFilesError, UserError
from class_jax.files import atomic_write
from class_jax.runs.workdir import Workdir
from class_jax.text import list_lines
from datasets.inputs import HELD_OUT, training_sources

SHEET = "check.png"
SHOWN = 8  # pairs on the sheet


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Prepare the training set and the sets to evaluate; return the exit status.

    Returns:
      0; 1 if a set is not available, 2 if one has broken files. Each is named, and the others are
      ready.

    Raises:
      UserError: nothing could be prepared.
    """
    problems: list[UserError] = []
    ready = 0
    for name in (config.data.train, *config.eval.sets):
        try:
            for line in _prepare(config, name, workdir, skip_broken=flags.skip_broken):
                print(line)
                ready += 1
        except UserError as error:
            problems.append(error)
    if not ready:
        if len(problems) == 1:
            raise problems[0]
        raise UserError(f"nothing could be prepared:{list_lines(problems)}")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
        if isinstance(problem, BrokenFilesError) and problem.skippable:
            print("Fix them, or leave them out with --skip_broken.", file=sys.stderr)
    if any(isinstance(problem, BrokenFilesError) for problem in problems):
        return 2
    return 1 if problems else 0


def _prepare(
    config: ConfigDict, name: str, workdir: Workdir, *, skip_broken: bool
) -> Sequence[str]:
    """Prepare a set and return lines that say what is ready."""
    if name == HELD_OUT:
        return ()  # comes with the training set
    if name != config.data.train:
        source = datasets.open_set(name, config.data.root, skip_broken=skip_broken)
        remarks = datasets.check_of(name, config.data.root)
        return (*remarks, f"{name}: {len(source.names)} examples are ready")
    sources = training_sources(config, skip_broken=skip_broken)
    train, held_out = sources.train, sources.held_out
    lines = [*sources.remarks, f"{name}: {len(train.names)} examples to train on are ready"]
    if held_out:
        lines.append(f"{HELD_OUT}: {len(held_out.names)} examples are ready")
    return [*lines, f"pairs with their masks' outlines: {_write_sheet(train, workdir)}"]


def _write_sheet(source: Source, workdir: Workdir) -> str:
    """Write a sheet of some pairs, so that a wrong pairing is seen, and return its path."""
    total = len(source.names)
    chosen = range(0, total, max(1, total // SHOWN))[:SHOWN]
    examples = [source.load(index, 256) for index in chosen]
    workdir.create()
    path = workdir.local / SHEET
    with atomic_write(path) as partial:
        Image.fromarray(draw_outlines(examples)).save(partial, format="PNG")
    return str(path)

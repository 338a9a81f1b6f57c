"""Mode prepare: download, unpack and verify what the configuration names."""

import argparse
import sys

from ml_collections import ConfigDict

import datasets
from class_jax.errors import BrokenFilesError, UserError
from class_jax.workdir import Workdir
from datasets.inputs import HELD_OUT, training_sources


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Prepare the configured data sets; return the exit status."""
    del workdir
    return prepare(config, skip_broken=flags.skip_broken)


def prepare(config: ConfigDict, *, skip_broken: bool) -> int:
    """Prepare the training set and the sets to evaluate; gives the exit status.

    Returns:
      0; 1 where a set could not be had, 2 where one has broken files. Each is named, and the
      others are ready.

    Raises:
      UserError: nothing could be prepared.
    """
    problems: list[UserError] = []
    ready = 0
    for name in (config.data.train, *config.eval.sets):
        try:
            for line in _prepared(config, name, skip_broken=skip_broken):
                print(line)
                ready += 1
        except UserError as error:
            problems.append(error)
    if not ready:
        raise UserError(" ".join(map(str, problems)))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if any(isinstance(problem, BrokenFilesError) for problem in problems):
        return 2
    return 1 if problems else 0


def _prepared(config: ConfigDict, name: str, *, skip_broken: bool) -> list[str]:
    """What is ready now, a line each."""
    if name == HELD_OUT:
        return []  # comes with the training set
    if name != config.data.train:
        source = datasets.open_set(name, config.data.root, skip_broken=skip_broken)
        return [f"{name}: {len(source)} examples are ready"]
    sources = training_sources(config, skip_broken=skip_broken)
    lines = [f"{name}: {len(sources.train)} examples to train on are ready"]
    if sources.held_out:
        lines.append(f"{HELD_OUT}: {len(sources.held_out)} examples are ready")
    return lines

"""Mode eval: make the maps of sets of images with masks, then score them as mode score does."""

import argparse
import dataclasses
import functools
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from class_jax import parallel
from class_jax.data.sources import PairSource, Source
from class_jax.errors import UserError
from class_jax.evaluation.measuring import Task
from class_jax.evaluation.scoring import MapSet
from class_jax.evaluation.sets import shorten_paths
from class_jax.files import absolute, atomic_write
from class_jax.jobs.marks import Job
from class_jax.jobs.plan import Sorted, plan_source_maps, sort_jobs
from class_jax.jobs.run import OpenedNetwork, make_shared, open_network
from class_jax.jobs.targets import check_output
from class_jax.modes.score import check_apart, score_maps
from class_jax.networks.places import find
from class_jax.runs.workdir import Workdir
from class_jax.text import list_lines
from datasets.inputs import EvaluationSource, evaluation_source, folder_source

METHOD = "CLASS"
ORIGIN = "source.txt"  # names the folder whose maps and tables lie beside it


def run(
    flags: argparse.Namespace, config: ConfigDict, workdir: Workdir, *, skip_broken: bool = False
) -> int:
    """Make the maps of the configured sets, or of the folders of --input, then score them.

    Maps that the same network made of the same images are kept. Each process makes a share of them.

    Args:
      flags: those of the mode.
      config: the configuration in force.
      workdir: the run.
      skip_broken: broken files of the sets were reported before, and do not count.

    Returns:
      The exit status: 0, or 1 if a set or an image could not be evaluated (each one is named).

    Raises:
      UserError: no checkpoint, or nothing could be evaluated.
    """
    inputs, output = flags.input or (), absolute(flags.output) if flags.output else None
    find(flags.model, flags.checkpoint)  # before images are read
    # In the folders' own spelling, which messages repeat.
    paths = dict(zip(shorten_paths([absolute(path) for path in inputs]), inputs, strict=True))
    sets, problems = parallel.run_on_first(
        lambda: _open_sets(config, paths, skip_broken=skip_broken)
    )
    tables = output or workdir.evaluation
    folders = {name: tables / name for name in sets}
    if inputs and output is None:
        origins = {name: absolute(paths[name]) for name in sets}
        folders = parallel.run_on_first(lambda: _own_folders(workdir.evaluation, origins))
        tables /= "+".join(folder.name for folder in folders.values())
    parallel.run_on_first(lambda: check_output(tables))
    if output:
        check_apart(output, [absolute(path) for path in inputs])
    plans = [plan_source_maps(s.source, folders[name] / "maps") for name, s in sets.items()]
    sort = functools.partial(_sort_all, plans)
    network = open_network(flags.model, config, flags.checkpoint, sort)
    planned = zip(sets.items(), plans, network.sorted_jobs, strict=True)
    map_sets = [
        _make_maps(name, s.source, jobs, todo.todo, network) for (name, s), jobs, todo in planned
    ]
    return parallel.run_on_first(
        lambda: score_maps(tables, flags.protocol, map_sets, problems, metrics=flags.metrics)
    )


def _sort_all(plans: Sequence[Sequence[Job]], fingerprint: str) -> list[Sorted]:
    """Sort the planned maps of all sets; UserError if files of others are in their place."""
    found = [sort_jobs(jobs, fingerprint, overwrite=False) for jobs in plans]
    foreign = [str(job.target) for jobs in found for job in jobs.foreign]
    if foreign:
        raise UserError(
            f"these files are not maps that were made here, and would be replaced: choose another "
            f"folder for the output:{list_lines(foreign)}"
        )
    return found


def _open_sets(
    config: ConfigDict, paths: Mapping[str, str], *, skip_broken: bool
) -> tuple[dict[str, EvaluationSource], list[str]]:
    """Open the folders, given by name, or the configured sets; return what cannot be used, too."""
    sets: dict[str, EvaluationSource] = {}
    problems: list[str] = []
    for name in paths or config.eval.sets:
        try:
            if paths:
                sets[name] = folder_source(config, paths[name], name=name, leaf="--input")
            else:
                sets[name] = evaluation_source(config, name)
        except UserError as error:
            problems.append(str(error))
            continue
        problems.extend(() if skip_broken else sets[name].problems)
        for remark in sets[name].remarks:
            parallel.log(remark)
    if not sets:
        raise UserError(" ".join(problems))
    return sets, problems


def _own_folders(base: Path, origins: Mapping[str, Path]) -> dict[str, Path]:
    """Return a folder for each input, another one if that of its name is of other images."""
    folders = {}
    for name, path in origins.items():
        folder = base / name.replace("/", "-")
        origin = folder / ORIGIN
        content = os.fsencode(f"{path}\n")
        if origin.exists() and origin.read_bytes() != content:
            folder = folder.with_name(f"{folder.name}-{zlib.crc32(content):08x}")
        with atomic_write(folder / ORIGIN) as partial:
            partial.write_bytes(content)
        folders[name] = folder
    return folders


def _make_maps(
    set_name: str,
    source: Source,
    jobs: Sequence[Job],
    todo: Sequence[Job],
    network: OpenedNetwork,
) -> MapSet:
    """Make the missing maps of a set, and return all of them for scoring."""
    results = make_shared(todo, network, title=f"maps of {set_name}")
    tasks: list[Task] = []
    failed: dict[str, str] = {}
    for index, (name, job) in enumerate(zip(source.names, jobs, strict=True)):
        if job.target in results.failed:
            failed[name] = results.failed[job.target]
        else:
            tasks.append(Task(name, job.target, _reader(source, index)))
    return MapSet(set_name, METHOD, tasks, failed)


def _reader(source: Source, index: int) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return a picklable function that reads one example, without the others of a long set."""
    if isinstance(source, PairSource):
        source, index = dataclasses.replace(source, pairs=(source.pairs[index],)), 0
    return functools.partial(_read, source, index)


def _read(source: Source, index: int, **_: bool) -> tuple[np.ndarray, np.ndarray]:
    example = source.load(index)
    return example["mask"], example["image"]

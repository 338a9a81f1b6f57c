"""Measure the maps of a set by several processes and sum their figures in the set's order."""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, Self, TypeVar

import numpy as np
from tqdm import tqdm

from class_jax.errors import UserError
from class_jax.evaluation.breakdowns import PROPERTIES, Group, break_down
from class_jax.evaluation.measuring import Outcome, Task, measure_task
from class_jax.evaluation.protocols import PUBLISHED, Figures, Measurement
from class_jax.evaluation.statistics import Statistics, summarize
from class_jax.text import printable

# Cores that this process may use, where the system says so.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
FEW = 64  # images that one process measures before others could start

T = TypeVar("T")
Key = TypeVar("Key")


class MapSet(NamedTuple):
    """The maps of a method on a set."""

    set_name: str
    method: str
    tasks: Sequence[Task]
    failed: Mapping[str, str] = {}  # name → why an image of the set has no map
    size: int = 0  # masks of the set, if some of them are not measured
    missing: Sequence[str] = ()  # masks without a map
    notes: Sequence[str] = ()  # on what is left out, and on names that differ


@dataclasses.dataclass(eq=False)
class SetScores:
    """The scores of a method on a set by one protocol."""

    set_name: str
    method: str
    protocol: str
    total: Measurement  # over all images that were measured
    per_image: dict[str, Figures]  # in the set's order
    failed: dict[str, str]  # name → why it has no scores
    has_salient: bool  # whether any mask has a salient pixel: else scores say nothing
    map_guesses: Counter[str]  # how maps were read
    set_size: int = 0  # masks of the set, if some of them were not measured
    # Until analyzed: of each image, in the order of `per_image`, [N, K], and its mask, [N, P].
    sample: tuple[Measurement, np.ndarray] | None = None
    statistics: Statistics = dataclasses.field(default_factory=Statistics)  # once analyzed
    breakdown: Sequence[Group] = ()

    def analyze(self) -> Self:
        """Return the scores with their uncertainty and breakdown, and without the sample."""
        assert self.sample is not None
        statistics, breakdown = summarize(self.sample[0]), break_down(*self.sample)
        return dataclasses.replace(self, sample=None, statistics=statistics, breakdown=breakdown)


def group_by(rows: Iterable[T], key: Callable[[T], Key]) -> dict[Key, list[T]]:
    """Return the rows of each key, in their order."""
    groups: dict[Key, list[T]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


class Scorer(contextlib.AbstractContextManager):
    """A pool of processes that scores sets of maps by protocols."""

    def __init__(
        self, protocols: Sequence[str], *, metrics: str = PUBLISHED, processes: int | None = None
    ) -> None:
        """Store the settings; no process is started yet.

        Args:
          protocols: some of PROTOCOLS.
          metrics: "published" or "all".
          processes: how many measure at once; None: one for a few images, otherwise one per core.
        """
        self._protocols, self._metrics, self._processes = tuple(protocols), metrics, processes
        self._properties: dict[tuple[str, str], np.ndarray] = {}  # by set and image
        self._pool: ProcessPoolExecutor | None = None

    def __exit__(self, *exception: object) -> None:
        """End the processes and drop the work that they have not begun."""
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def score(self, maps: MapSet) -> list[SetScores]:
        """Measure the maps of a method on a set; return the scores by protocol.

        Measurements are added in the order of the tasks, so the scores are the same to the last
        bit for any number of processes.

        Raises:
          UserError: no map could be measured.
        """
        label, failed, guesses = maps[:2], dict(maps.failed), Counter[str]()
        scores = [
            SetScores(*label, zero.protocol, zero, {}, failed, False, guesses, maps.size)
            for zero in (Measurement.zero(protocol, self._metrics) for protocol in self._protocols)
        ]
        images: list[list[np.ndarray]] = [[] for _ in scores]
        for task, outcome in zip(maps.tasks, self._show_progress(maps), strict=True):
            if isinstance(outcome, str):
                failed[task.name] = outcome
                continue
            guesses.update(outcome.guesses)
            if outcome.properties is not None:
                self._properties[maps.set_name, task.name] = outcome.properties
            for row, of_row, measurement in zip(scores, images, outcome.measurements, strict=True):
                row.total += measurement
                row.per_image[task.name] = measurement.figures()
                of_row.append(measurement.kept())
        if not scores[0].per_image:
            first = next(iter(failed.values()), "the set holds no image.")
            title = ", ".join(label)
            raise UserError(f"{title}: none of the {len(failed)} images could be done: {first}")
        described = [self._properties[maps.set_name, name] for name in scores[0].per_image]
        properties = np.stack(described)
        for row, of_row in zip(scores, images, strict=True):
            row.has_salient = bool(properties[:, PROPERTIES.index("area")].any())
            measured = dataclasses.replace(row.total, images=1, sums=np.stack(of_row))
            row.sample = measured, properties
        return scores

    def _show_progress(self, maps: MapSet) -> Iterator[Outcome]:
        """Yield the outcomes in the order of the tasks, beside a progress bar."""
        processes = self._processes or (1 if len(maps.tasks) <= FEW else CORES)
        waits = f"starting {processes} processes" if processes > 1 and not self._pool else None
        interval = 0.5 if sys.stderr.isatty() else 10.0  # seconds
        title, outcomes = printable(", ".join(maps[:2])), self._measure(maps, processes)
        with tqdm(
            outcomes, title, len(maps.tasks), unit="image", mininterval=interval, postfix=waits
        ) as bar:
            for outcome in bar:
                bar.set_postfix_str("", refresh=False)
                yield outcome

    def _measure(self, maps: MapSet, processes: int) -> Iterator[Outcome]:
        """Yield the outcomes in the order of the tasks."""
        measure = partial(measure_task, protocols=self._protocols, metrics=self._metrics)
        # A mask is described, which takes its image, for the first method only.
        tasks = [
            task._replace(describe=(maps.set_name, task.name) not in self._properties)
            for task in maps.tasks
        ]
        if processes == 1:
            return map(measure, tasks)
        # Not forked: JAX has threads, which a forked process would lack.
        spawn = multiprocessing.get_context("spawn")
        pool = self._pool or ProcessPoolExecutor(processes, spawn, _initialize_process)
        self._pool = pool

        def submit() -> Iterator[Outcome]:
            if hasattr(signal, "pthread_sigmask"):  # not on Windows
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # processes inherit it
            return pool.map(measure, tasks)

        # Processes are started by a thread, which no Ctrl-C interrupts, and never get one.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(submit).result()


def _initialize_process() -> None:
    """Ignore Ctrl-C, and end when the process that started this one has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        """Wait for the parent's end."""
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()

"""Measure the maps of a set by several processes and sum their figures in the set's order."""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import NamedTuple, Self

import numpy as np
from tqdm import tqdm

from class_jax.errors import UserError
from class_jax.evaluation.breakdowns import GroupScores, break_down
from class_jax.evaluation.measuring import (
    CONSTANT,
    INVERTED,
    Outcome,
    Request,
    Task,
    measure_task,
)
from class_jax.evaluation.protocols import (
    NUM_THRESHOLDS,
    PROTOCOLS,
    PUBLISHED,
    Figures,
    Measurement,
)
from class_jax.evaluation.statistics import Interval, Sample, Statistics, summarize
from class_jax.text import printable

FEW = 64  # images that are measured sooner than processes are started
AHEAD = 8  # images in flight per process: enough to keep it busy, and memory stays bounded


class MapSet(NamedTuple):
    """The maps of a method on a set."""

    set_name: str
    method: str
    tasks: Sequence[Task]
    failed: Mapping[str, str] = {}  # name → why an image of the set has no map
    highest: int | None = None  # the level of the maps that stands for 1, if not the format's
    size: int = 0  # masks of the set, if some of them are not measured


@dataclasses.dataclass(frozen=True, eq=False)
class SetScores:
    """The scores of a method on a set by one protocol."""

    set_name: str
    method: str
    protocol: str
    total: Measurement  # over all images that were measured
    per_image: dict[str, Figures]  # by name, in the set's order
    failed: dict[str, str]  # name → why an image was not measured
    has_salient: bool  # whether any mask has a salient pixel: without one, scores say nothing
    map_guesses: Counter[str]  # how maps were read, if that was a guess
    set_size: int = 0  # masks of the set, if some of them were not measured
    sample: Sample | None = None  # in the order of `per_image`; large, and dropped once summarised
    statistics: Statistics | None = None
    breakdown: Sequence[GroupScores] = ()

    def intervals(self) -> dict[str, Interval]:
        """Return the 95 % interval of each figure, none before the sample is analyzed."""
        return self.statistics.intervals() if self.statistics else {}

    def doubts(self) -> Iterator[str]:
        """Yield remarks on maps that are constant or look inverted."""
        images = self.total.images
        if count := self.map_guesses[CONSTANT]:
            yield f"{count} of {images} maps of {self.method} {CONSTANT}"
        if (count := self.map_guesses[INVERTED]) > images / 2:
            mae = self.total.figures()["MAE"]
            yield f"{self.method} is inverted? MAE {mae:.2f}, and of the inverse {1 - mae:.2f}"
        elif count:
            yield f"{count} of {images} maps of {self.method} {INVERTED}"

    def analyze(self) -> Self:
        """Return the scores with their uncertainty and breakdown, and without the sample."""
        assert self.sample is not None
        statistics, breakdown = summarize(self.sample), break_down(self.sample)
        return dataclasses.replace(self, sample=None, statistics=statistics, breakdown=breakdown)


class _Tally:
    """The measurements of a set by one protocol, as they come in."""

    def __init__(self, protocol: str, metrics: str, images: int) -> None:
        """Start with nothing, and with room for the curves of `images`."""
        self.protocol, self.kept = protocol, PROTOCOLS[protocol].KEPT
        self.total = Measurement.zero(protocol, metrics)
        self.per_image: dict[str, Figures] = {}
        self.curves = np.empty((images, len(self.kept), NUM_THRESHOLDS), np.float32)

    def add(self, name: str, measurement: Measurement) -> None:
        """Add the measurement of an image."""
        self.total += measurement
        self.curves[len(self.per_image)] = [measurement.sums[name] for name in self.kept]
        self.per_image[name] = measurement.figures()

    def sample(self, properties: np.ndarray) -> Sample:
        """Return the images' measurements, with the properties of their masks."""
        rows = list(self.per_image.values())
        figures = {name: np.array([row[name] for row in rows]) for name in self.total.names}
        return Sample(self.protocol, figures, self.curves[: len(rows)], properties)


class Scorer:
    """A pool of processes that scores sets of maps by protocols."""

    def __init__(
        self,
        protocols: Sequence[str],
        *,
        metrics: str = PUBLISHED,
        processes: int | None = None,
    ) -> None:
        """Store the settings; no process is started yet.

        Args:
          protocols: some of PROTOCOLS.
          metrics: "published" or "all".
          processes: how many measure at once; None: one for a few images, otherwise one per core.
        """
        self._protocols = tuple(protocols)
        self._metrics = metrics
        self._processes = processes
        self._properties: dict[tuple[str, str], np.ndarray] = {}  # by set and image
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        """Return the scorer."""
        return self

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
        tallies = [_Tally(p, self._metrics, len(maps.tasks)) for p in self._protocols]
        failed = dict(maps.failed)
        has_salient = False
        guesses: Counter[str] = Counter()
        title = f"{maps.set_name}, {maps.method}"
        outcomes = _show_progress(self._measure(maps), title, len(maps.tasks))
        for task, outcome in zip(maps.tasks, outcomes, strict=True):
            if isinstance(outcome, str):
                failed[task.name] = outcome
                continue
            has_salient |= outcome.has_salient
            guesses.update(outcome.guesses)
            if outcome.properties is not None:
                self._properties[maps.set_name, task.name] = outcome.properties
            for tally in tallies:
                tally.add(task.name, outcome.by_protocol[tally.protocol])
        if len(failed) == len(maps.tasks) + len(maps.failed):
            raise UserError(_explain_nothing(title, failed))
        names = tallies[0].per_image
        properties = np.stack([self._properties[maps.set_name, name] for name in names])
        return [
            SetScores(
                maps.set_name,
                maps.method,
                tally.protocol,
                tally.total,
                tally.per_image,
                failed,
                has_salient,
                guesses,
                maps.size,
                tally.sample(properties),
            )
            for tally in tallies
        ]

    def _measure(self, maps: MapSet) -> Iterator[Outcome]:
        """Yield the outcomes in the order of the tasks."""
        tasks = maps.tasks
        processes = self._processes or (1 if len(tasks) <= FEW else _count_cores())
        if processes == 1:
            yield from (measure_task(*self._prepare(task, maps)) for task in tasks)
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                processes,
                # Not forked: JAX has threads, which a forked process would lack.
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_initialize_process,
            )
        in_flight: deque[Future[Outcome]] = deque()
        for task in tasks:
            if len(in_flight) == AHEAD * processes:
                yield in_flight.popleft().result()
            with _hold_interrupts():  # it may start a process
                job = self._pool.submit(measure_task, *self._prepare(task, maps))
            in_flight.append(job)
        while in_flight:
            yield in_flight.popleft().result()

    def _prepare(self, task: Task, maps: MapSet) -> tuple[Task, Request]:
        """Return a task and its request; a mask is described for the first method only."""
        describe = (maps.set_name, task.name) not in self._properties
        request = Request(self._protocols, self._metrics, maps.highest, describe)
        return task if describe else task._replace(image=None), request


@contextlib.contextmanager
def _hold_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back for a moment; processes that start meanwhile never get it."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


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


def _count_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _show_progress(outcomes: Iterator[Outcome], title: str, total: int) -> Iterator[Outcome]:
    """Yield the outcomes beside a progress bar."""
    interval = 0.5 if sys.stderr.isatty() else 10.0  # seconds
    return iter(
        tqdm(outcomes, total=total, desc=printable(title), unit="image", mininterval=interval)
    )


def _explain_nothing(title: str, failed: Mapping[str, str]) -> str:
    """Return the sentence for a set without any measured map."""
    if not failed:
        return f"{title}: the set holds no image, and there is nothing to score."
    first = next(iter(failed.values()))
    return f"{title}: none of the {len(failed)} images could be done; the first: {first}"

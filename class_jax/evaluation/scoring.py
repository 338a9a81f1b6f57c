"""Measuring the maps of a set: streamed once each, in order, spread over processes."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self

from tqdm import tqdm

from class_jax.data.images import read_map
from class_jax.data.memory import keep_freed_memory
from class_jax.data.sources import MaskReader
from class_jax.errors import UserError
from class_jax.evaluation.protocols import measure
from class_jax.evaluation.scores import Entry, Ledger, Outcome
from class_jax.text import printable

FEW = 64  # images that are measured sooner than processes are started
AHEAD = 8  # images in hand for each process: enough to keep it busy, few enough for any memory


class Task(NamedTuple):
    """An image to be scored."""

    name: str
    map: Path
    mask: MaskReader
    stamp: str  # changes where map or mask do


# A task whose map is there now, or the reason why there will be none.
Ready = tuple[Task, str | None]


class Scorer:
    """Measures sets of maps by protocols, keeping its processes from one set to the next.

    Used as a context, which ends the processes.
    """

    def __init__(self, protocols: Sequence[str], ledger: Ledger) -> None:
        """`protocols`: of PROTOCOLS; `ledger`: where scores are kept as they come."""
        self._protocols = tuple(protocols)
        self._ledger = ledger
        self._processes = _cores()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        """The scorer itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End the processes; what they have not begun is dropped."""
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def score(
        self,
        set_name: str,
        method: str,
        tasks: Sequence[Task],
        ready: Iterable[Ready] | None = None,
    ) -> Entry:
        """Measure the maps of a method on a set; those that an interrupted command left are kept.

        Sums are taken in the order of the tasks, so that figures do not depend on the number of
        processes.

        Args:
          set_name: for tables.
          method: for tables.
          tasks: all images of the set.
          ready: the same tasks, each once its map is there; by default all maps are.

        Raises:
          UserError: nothing could be measured.
        """
        entry = self._ledger.entry(set_name, method, [task.stamp for task in tasks])
        done = len(entry.rows)
        if done:
            print(f"{set_name}, {method}: {done} images were scored before", file=sys.stderr)
        with _progress_bar(f"{set_name}, {method}", len(tasks), done) as bar:
            todo = self._skipped(ready or ((task, None) for task in tasks), done)
            for task, outcome in self._measured(todo, len(tasks) - done):
                entry.add(task.name, task.stamp, outcome)
                bar.update()
                self._ledger.save_now_and_then()
        if len(entry.failed) == len(entry.rows):
            raise UserError(_nothing_measured(f"{set_name}, {method}", entry.failed))
        return entry

    @staticmethod
    def _skipped(ready: Iterable[Ready], done: int) -> Iterator[Ready]:
        """All but the first `done`, whose maps are made all the same."""
        for index, each in enumerate(ready):
            if index >= done:
                yield each

    def _measured(self, ready: Iterable[Ready], count: int) -> Iterator[tuple[Task, Outcome]]:
        """Outcomes in order; no more than AHEAD images a process are in hand."""
        if count <= FEW or self._processes == 1:
            for task, problem in ready:
                yield task, problem or _measure_files(task.map, task.mask, self._protocols)
            return
        in_hand: deque[tuple[Task, str | Future[Outcome]]] = deque()
        for task, problem in ready:
            in_hand.append((task, problem or self._submit(task)))
            if len(in_hand) > AHEAD * self._processes:
                yield _finished(*in_hand.popleft())
        while in_hand:
            yield _finished(*in_hand.popleft())

    def _submit(self, task: Task) -> Future[Outcome]:
        # Spawned: JAX has threads, which a forked process would lack.
        self._pool = self._pool or ProcessPoolExecutor(
            self._processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_process,
        )
        # A process that is started here inherits what is blocked: Ctrl-C is this one's affair.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return self._pool.submit(_measure_files, task.map, task.mask, self._protocols)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _finished(task: Task, outcome: str | Future[Outcome]) -> tuple[Task, Outcome]:
    return task, outcome if isinstance(outcome, str) else outcome.result()


def _measure_files(map_path: Path, mask: MaskReader, protocols: Sequence[str]) -> Outcome:
    """What a map scores by each protocol, or the sentence that says why it cannot be measured."""
    try:
        levels, truth = read_map(map_path), mask()
    except UserError as error:
        return str(error)
    return {protocol: measure(levels, truth, protocol) for protocol in protocols}


def _start_process() -> None:
    """Leave Ctrl-C to the process that started this one, and end when that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    keep_freed_memory()


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _progress_bar(title: str, total: int, done: int) -> tqdm:
    return tqdm(
        total=total,
        initial=done,
        desc=printable(title),
        unit="image",
        mininterval=0.5 if sys.stderr.isatty() else 10.0,
    )


def _nothing_measured(what: str, failed: dict[str, str]) -> str:
    if not failed:
        return f"{what}: the set holds no image, and there is nothing to score."
    first = next(iter(failed.values()))
    return f"{what}: none of the {len(failed)} images could be done; the first: {first}"

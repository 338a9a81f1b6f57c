"""Several processes, on one machine or many, that run the same program as one.

JAX joins them, carries values between them and ends all if one is lost (docs/reliability.md). Each
computes on its own devices. Process 0 does what must be done once (preparing data, locking the
workdir) and broadcasts the result; if one process fails, all of them stop.
"""

import contextlib
import pickle
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
from etils import epath

from class_jax.errors import UserError, sentence_of
from class_jax.text import first_line, printable

T = TypeVar("T")

JOIN_SECONDS = 300  # to wait for the other processes at the start
LOST_SECONDS = 100  # of silence, after which JAX regards a process as lost and ends the others
LEAVE_SECONDS = 30  # to wait for the other processes at the end
FILE_SECONDS = 90  # network disks show another machine's new files late


class Failure(NamedTuple):
    """An error in one process, sent to the others instead of a value."""

    message: str
    fixable: bool  # a user's mistake or an interruption, not a fault of the program


def start(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Join the other processes.

    Args:
      coordinator: "host:port", an address of process 0 that all can reach; None: find all three
        in the environment of a TPU pod, Slurm, Kubernetes or Open MPI.
      num_processes: the number of processes.
      process_id: the index of this one, from 0.

    Raises:
      UserError: JAX refuses. If a process does not come in time, JAX ends the others itself.
    """
    import jax  # noqa: PLC0415 - a single process may need none of it

    if coordinator and process_id == 0:
        _check_port(coordinator)
    if coordinator and num_processes != 1:
        waits = f"process {process_id} of {num_processes} waits for the others at {coordinator}"
        print(f"{waits}, for {JOIN_SECONDS // 60} minutes at most", file=sys.stderr)
    # Signals are answered at the end of a step, by all processes at the same one.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        with _let_ctrl_c_end():
            jax.distributed.initialize(
                coordinator,
                num_processes,
                process_id,
                initialization_timeout=JOIN_SECONDS,
                heartbeat_timeout_seconds=LOST_SECONDS,
                shutdown_timeout_seconds=LEAVE_SECONDS,
                # Given by hand, the cluster has no say in which devices belong to which process.
                cluster_detection_method="deactivate" if coordinator else None,
            )
    except Exception as error:  # its type depends on the kind of cluster that was looked for
        raise UserError(
            f"the other processes cannot be joined ({first_line(error)}): give an address of "
            "process 0, and to each process its own number below their count."
        ) from error


def _check_port(coordinator: str) -> None:
    """Raise UserError if another program serves the port: JAX 0.10 may crash then."""
    try:
        socket.create_server(("", int(coordinator.rpartition(":")[2]))).close()
    except OSError as error:
        raise UserError(
            f"{coordinator} cannot be used ({error.strerror}): give a free port of process 0."
        ) from error


@contextlib.contextmanager
def _let_ctrl_c_end() -> Iterator[None]:
    """Let Ctrl-C end this process inside JAX's waits, where Python's handler does not run.

    A handler that a run has set, to save first, stays.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def process_count() -> int:
    """Return the number of processes."""
    return sys.modules["jax"].process_count() if _has_joined() else 1


def process_index() -> int:
    """Return the index of this process, from 0."""
    return sys.modules["jax"].process_index() if _has_joined() else 0


def _has_joined() -> bool:
    """Return whether this process has joined others; it has not where JAX was not imported."""
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def is_first() -> bool:
    """Return whether this is process 0, which prints and writes for all."""
    return process_index() == 0


def local_indices(total: int) -> range:
    """Return the indices, of `total`, assigned to this process."""
    return range(process_index(), total, process_count())


def log(text: str) -> None:
    """Print to standard error, in process 0 only."""
    if is_first():
        print(printable(text, keep="\n"), file=sys.stderr)


def all_gather(value: T) -> list[T]:
    """Return the values of all processes, in their order; blocks until all gave one.

    Raises:
      UserError: another process was lost, and JAX noticed.
    """
    if process_count() == 1:
        return [value]
    from jax.experimental import multihost_utils  # noqa: PLC0415 - imported by then

    data = np.frombuffer(pickle.dumps(value), np.uint8)
    with explain_failures(), _let_ctrl_c_end():
        longest = int(multihost_utils.process_allgather(np.int32(len(data))).max())
        # In powers of two: JAX compiles a program for each shape. A pickle says where it ends.
        padded = np.zeros(2 ** max(longest - 1, 1).bit_length(), np.uint8)
        padded[: len(data)] = data
        rows = multihost_utils.process_allgather(padded)
    return [pickle.loads(row.tobytes()) for row in rows]


@contextlib.contextmanager
def explain_failures() -> Iterator[None]:
    """Say in a sentence that a computation with the other processes failed.

    Raises:
      UserError: instead of what JAX raises when another process is lost.
    """
    import jax  # noqa: PLC0415 - imported by then

    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:  # which one differs with the device
        if process_count() == 1:
            raise
        raise UserError(
            f"process {process_index()} cannot compute with the others ({first_line(error)}): if "
            "one was lost, run the same command in all processes to go on."
        ) from error


def run_on_first(fn: Callable[[], T]) -> T:
    """Run `fn` on process 0 and broadcast the result.

    Raises:
      UserError: in the other processes, if a user's mistake or an interruption stopped process 0.
      RuntimeError: in the other processes, if a fault did. Process 0 raises what `fn` raised.
    """
    return _run(fn if is_first() else None)[0]


def run_on_all(fn: Callable[[], T]) -> T:
    """Run `fn` in every process; raise in all if it failed in one.

    Raises:
      UserError: a user's mistake or an interruption stopped another process.
      RuntimeError: a fault did. A process in which `fn` failed raises what `fn` raised.
    """
    results: list[T] = []  # stay in their process: only success is exchanged
    _run(lambda: results.append(fn()))
    return results[0]


def _run(fn: Callable[[], Any] | None) -> list[Any]:
    """Run `fn` where it is given; return the results of all processes, or raise, in all."""
    if process_count() == 1:
        return [fn() if fn else None]
    try:
        result = fn() if fn else None
    except BaseException as error:
        all_gather(_describe(error))
        raise
    results = all_gather(result)
    for process, outcome in enumerate(results):
        if isinstance(outcome, Failure):
            kind = UserError if outcome.fixable else RuntimeError
            raise kind(f"process {process} stopped: {outcome.message}")
    return results


def _describe(error: BaseException) -> Failure:
    """Return what the other processes need to know of an error."""
    sentence = sentence_of(error)
    if isinstance(error, KeyboardInterrupt):
        sentence = "it was interrupted; run the same command to resume."
    return Failure(sentence or str(error) or type(error).__name__, fixable=bool(sentence))


def check_same(value: object, name: str) -> None:
    """Raise UserError in all processes if they differ in `value`, called `name`."""
    for process, other in enumerate(all_gather(repr(value))):
        if other != repr(value):
            raise UserError(
                f"process {process} and process {process_index()} differ in {name}: all processes "
                "need the same command and see the same files."
            )


def check_shared(folder: epath.Path) -> None:
    """Raise UserError in all processes unless they share `folder`."""
    if process_count() == 1:
        return
    file = folder / f".seen-{run_on_first(lambda: uuid.uuid4().hex)}"
    try:
        run_on_first(file.touch)
        run_on_all(lambda: _wait_for_file(file))
    finally:
        if is_first():
            file.unlink(missing_ok=True)


def _wait_for_file(file: epath.Path) -> None:
    """Block until `file` is there; raise UserError if it is not in time."""
    deadline = time.monotonic() + FILE_SECONDS
    while not file.exists():
        if time.monotonic() > deadline:
            raise UserError(
                f"{file.parent} is not the folder that process 0 writes to: all processes need a "
                "folder that they share, on a common disk or in a bucket."
            )
        time.sleep(0.5)

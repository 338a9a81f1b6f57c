"""Several processes, on one machine or many, that run the same program as one.

Each process computes on its own devices. Process 0 does what must be done once (preparing data,
locking the workdir) and broadcasts the result; if one process fails, all of them stop.
"""

import contextlib
import os
import pickle
import signal
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from etils import epath

from class_jax.errors import UserError, sentence_of
from class_jax.handshake import Role, meet
from class_jax.watchdog import Watchdog

T = TypeVar("T")

JOIN_SECONDS = 300  # to wait for the other processes at the start
FILE_SECONDS = 90  # network disks show another machine's new files late
POLL_MS = 500  # of one wait for a key; signals are handled between two of them
SHUTDOWN_MS = 10_000  # to wait for the other processes at the end
MESSAGE_BYTES = 2**20  # of one value in the key-value store

_exchanges = 0  # so far: each exchange has keys of its own
_watchdog: Watchdog | None = None  # of several processes that were given by hand


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
      UserError: the others cannot be reached, or one did not come.
    """
    global _watchdog  # noqa: PLW0603 - a process joins the others once
    if coordinator and num_processes and process_id is not None:
        if num_processes > 1:
            print(
                f"process {process_id} of {num_processes} waits for the others at {coordinator}, "
                f"for {JOIN_SECONDS // 60} minutes at most",
                file=sys.stderr,
            )
        links = meet(coordinator, Role(process_id, num_processes), seconds=JOIN_SECONDS)
        _watchdog = Watchdog(process_id, links) if links else None
    import jax  # noqa: PLC0415 - a single process may need none of it

    # Signals are answered at the end of a step, by all processes at the same one.
    jax.config.update("jax_enable_preemption_service", False)
    # Python's handler does not run inside JAX's wait, but the system's default ends the process.
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=JOIN_SECONDS,
            # Given by hand, the cluster has no say in which devices belong to which process.
            cluster_detection_method="deactivate" if coordinator else None,
        )
    except Exception as error:  # its type depends on the kind of cluster that was looked for
        raise UserError(
            f"the other processes cannot be joined ({' '.join(str(error).split())})."
        ) from error
    finally:
        signal.signal(signal.SIGINT, handler)


def process_count() -> int:
    """Return the number of processes."""
    return _joined("num_processes") or 1


def process_index() -> int:
    """Return the index of this process, from 0."""
    return _joined("process_id") or 0


def _joined(name: str) -> Any:
    """Return a value of JAX's connection to the other processes; None if there is none."""
    # It has no public name. Where JAX was not imported, nothing was joined.
    distributed = sys.modules.get("jax._src.distributed")
    return getattr(distributed.global_state, name) if distributed else None


def is_first() -> bool:
    """Return whether this is process 0, which prints and writes for all."""
    return process_index() == 0


def local_indices(total: int) -> range:
    """Return the indices, of `total`, assigned to this process."""
    return range(process_index(), total, process_count())


def log(text: str) -> None:
    """Print to standard error, in process 0 only."""
    if is_first():
        print(text, file=sys.stderr)


def all_gather(value: T) -> list[T]:
    """Return the values of all processes, in their order; blocks until all gave one."""
    return _exchange(value, range(process_count()))


def run_on_first(fn: Callable[[], T]) -> T:
    """Run `fn` on process 0 and broadcast the result.

    Raises:
      UserError: in the other processes, if a user's mistake or an interruption stopped process 0.
      RuntimeError: in the other processes, if a fault did. Process 0 raises what `fn` raised.
    """
    return fn() if process_count() == 1 else _run(fn, range(1))[0]


def run_on_all(fn: Callable[[], T]) -> T:
    """Run `fn` in every process; raise in all if it failed in one.

    Raises:
      UserError: a user's mistake or an interruption stopped another process.
      RuntimeError: a fault did. A process in which `fn` failed raises what `fn` raised.
    """
    results: list[T] = []  # stay in their process: only success is exchanged
    _run(lambda: results.append(fn()), range(process_count()))
    return results[0]


def _run(fn: Callable[[], Any], processes: range) -> list[Any]:
    """Run `fn` in `processes`; return their results, or raise, in all."""
    try:
        result = fn() if process_index() in processes else None
    except BaseException as error:
        _exchange(_describe(error), processes)
        raise
    results = _exchange(result, processes)
    for process, outcome in zip(processes, results, strict=True):
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
    file, content = folder / ".seen-by-all", run_on_first(lambda: uuid.uuid4().hex)
    try:
        run_on_first(lambda: file.write_text(content))
        run_on_all(lambda: _wait_for_file(file, content))
    finally:
        if is_first():
            file.unlink(missing_ok=True)


def _wait_for_file(file: epath.Path, content: str) -> None:
    """Block until `file` has this content; raise UserError if it does not in time."""
    deadline = time.monotonic() + FILE_SECONDS
    while not (file.exists() and file.read_text() == content):
        if time.monotonic() > deadline:
            raise UserError(
                f"{file.parent} is not the folder that process 0 writes to: all processes need a "
                "folder that they share, on a common disk or in a bucket."
            )
        time.sleep(0.5)


def await_watchdog() -> None:
    """Wait until the loss of another process has ended this one, if its error comes of that."""
    if _watchdog:
        _watchdog.wait()


def shutdown(status: int) -> int:
    """Shut down: return the exit status, or leave without clean-up if this process failed.

    A failed process waits for the others briefly. Python's own exit would wait for ever: they may
    wait for this one in a computation, and are ended by the loss of the connection.
    """
    if _watchdog:
        _watchdog.say_farewell(status)
    client = _joined("client")
    if client is None or not status:
        return status
    with contextlib.suppress(Exception):
        client.wait_at_barrier("shutdown", SHUTDOWN_MS)
    if is_first():
        time.sleep(1)  # process 0 serves the connection: the others leave before it
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _exchange(value: Any, senders: range) -> list[Any]:
    """Return the values, pickled, of the processes `senders`, in all."""
    global _exchanges  # noqa: PLW0603 - all processes count alike, so that their keys agree
    client = _joined("client")
    if client is None:
        return [value]
    _exchanges += 1
    prefix = f"class_jax/{_exchanges}"
    if process_index() in senders:
        data = pickle.dumps(value)
        parts = [data[i : i + MESSAGE_BYTES] for i in range(0, len(data), MESSAGE_BYTES)]
        client.key_value_set(f"{prefix}/{process_index()}", str(len(parts)))
        for number, part in enumerate(parts):
            client.key_value_set_bytes(f"{prefix}/{process_index()}/{number}", part)
    return [_receive(client, f"{prefix}/{sender}") for sender in senders]


def _receive(client: Any, key: str) -> Any:
    """Return the value that another process sent under `key`, once it has."""
    count = int(_wait_for_key(client.blocking_key_value_get, key))
    get = client.blocking_key_value_get_bytes
    return pickle.loads(b"".join(_wait_for_key(get, f"{key}/{i}") for i in range(count)))


def _wait_for_key(get: Callable[[str, int], T], key: str) -> T:
    """Block until another process sets `key`, and return its value.

    Polls, because Python answers no signal inside `get`.
    """
    import jax  # noqa: PLC0415 - imported by then

    while True:
        try:
            return get(key, POLL_MS)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise

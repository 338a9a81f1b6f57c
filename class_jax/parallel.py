"""Several processes, on one machine or many, as one program: start, agreement, end.

Every process runs the same program on its own devices. What must be done once (preparing data,
locking the workdir) the first process does, and tells the others; where one fails, all stop.
"""

import contextlib
import os
import pickle
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import jax
from etils import epath
from jax._src import distributed  # for its key-value store, which has no public name

from class_jax.errors import UserError, sentence_of

T = TypeVar("T")

PATIENCE_AT_START = 300  # seconds to wait for the other processes
PATIENCE_FOR_NAME = 60  # seconds until the name of the first process's host must be known
PATIENCE_FOR_FILE = 90  # seconds: network disks show each other's new files late
TURN_MS = 500  # of waiting for another process, between which signals are answered
FAREWELL_MS = 10_000  # to wait for the others at the end
PIECE = 2**20  # bytes of one message

_asked = 0  # how many exchanges there were: each has keys of its own


class Failure(NamedTuple):
    """What a process has to say instead of a value."""

    message: str
    mistake: bool  # of the user, or an interruption; else a fault


def start(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Join the other processes.

    Args:
      coordinator: "host:port", an address of process 0 that all can reach; None: find all three
        in the environment of a TPU pod, Slurm, Kubernetes or Open MPI.
      num_processes: how many there are.
      process_id: which this is, from 0.

    Raises:
      UserError: the others cannot be reached.
    """
    if coordinator and num_processes:
        _check_address(coordinator, first=process_id == 0)
    if coordinator and num_processes and num_processes > 1:
        print(
            f"process {process_id} of {num_processes} waits for the others at {coordinator}, for "
            "five minutes at most",
            file=sys.stderr,
        )
    # Signals are answered at the end of a step, by all processes at the same one.
    jax.config.update("jax_enable_preemption_service", False)
    # Inside JAX's wait Python answers no signal: Ctrl-C ends the process there.
    answered = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=PATIENCE_AT_START,
            # By hand, a cluster that it runs on has no say, as in which devices are whose.
            cluster_detection_method="deactivate" if coordinator else None,
        )
    except Exception as error:  # of many types, by the way that the cluster was looked for
        raise UserError(
            f"the other processes cannot be joined ({' '.join(str(error).split())})."
        ) from error
    finally:
        signal.signal(signal.SIGINT, answered)


def _check_address(coordinator: str, *, first: bool) -> None:
    """Raise UserError where the processes could not meet there: JAX would end them by a signal."""
    host, _, port = coordinator.rpartition(":")
    try:
        if first:
            _try_to_serve(int(port))
        else:
            _wait_for(host.strip("[]"), int(port))
    except OSError as error:
        wanted = "a port that is free" if first else "an address of process 0"
        raise UserError(
            f"{coordinator} cannot be used ({error.strerror or error}): give "
            f"{wanted}, and start all processes within five minutes."
        ) from error


def _try_to_serve(port: int) -> None:
    """Raise OSError where the port is taken."""
    if socket.has_dualstack_ipv6():
        socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True).close()
    else:
        socket.create_server(("", port)).close()


def _wait_for(host: str, port: int) -> None:
    """Return once process 0 answers there; raise OSError where it does not in time."""
    start = time.monotonic()
    while True:
        try:
            return socket.create_connection((host, port), timeout=10).close()
        except OSError as error:
            unknown = isinstance(error, socket.gaierror)
            if time.monotonic() - start > (PATIENCE_FOR_NAME if unknown else PATIENCE_AT_START):
                raise
        time.sleep(0.2)


def process_count() -> int:
    """How many processes there are."""
    return distributed.global_state.num_processes or 1


def process_index() -> int:
    """Which of them this is, from 0."""
    return distributed.global_state.process_id or 0


def is_first() -> bool:
    """Whether this process speaks and writes for all."""
    return process_index() == 0


def local_indices(total: int) -> range:
    """Of `total` things, the numbers of those that this process does."""
    return range(process_index(), total, process_count())


def log(text: str) -> None:
    """Tell the user, once."""
    if is_first():
        print(text, file=sys.stderr)


def all_gather(value: T) -> list[T]:
    """What each process gave, in their order; waits for all. Values are pickled."""
    return _distributed(value, range(process_count()))


def run_on_first(work: Callable[[], T]) -> T:
    """What `work` gives in the first process, which alone does it; the others wait for it.

    Raises:
      UserError: the user's mistake kept the first process from it; RuntimeError for anything else.
        In the first process what it raised is raised.
    """
    if process_count() == 1:
        return work()
    try:
        outcome = work() if is_first() else None
    except BaseException as error:
        _distributed(_failure(error), range(1))
        raise
    (result,) = _distributed(outcome, range(1))
    _check_success(0, result)
    return cast("T", result)


def run_on_all(work: Callable[[], T]) -> T:
    """What `work` gives in this process, once it has succeeded in all.

    Raises:
      UserError: the user's mistake kept one of them from it; RuntimeError for anything else.
        Where it failed, what it raised is raised.
    """
    if process_count() == 1:
        return work()
    try:
        result = work()
    except BaseException as error:
        all_gather(_failure(error))
        raise
    for process, outcome in enumerate(all_gather(None)):
        _check_success(process, outcome)
    return result


def _failure(error: BaseException) -> Failure:
    """What the others are told of it."""
    sentence = sentence_of(error)
    if isinstance(error, KeyboardInterrupt):
        sentence = "it was interrupted, and the same command goes on."
    return Failure(sentence or str(error) or type(error).__name__, mistake=bool(sentence))


def _check_success(process: int, outcome: object) -> None:
    """Raise what stands in this process for another's failure."""
    if isinstance(outcome, Failure):
        kind = UserError if outcome.mistake else RuntimeError
        raise kind(f"process {process} stopped: {outcome.message}")


def check_same(value: object, what: str) -> None:
    """Raise UserError, in all processes, where they did not give the same."""
    for process, theirs in enumerate(all_gather(repr(value))):
        if theirs != repr(value):
            raise UserError(
                f"process {process} and process {process_index()} differ in {what}: "
                "start all of them alike."
            )


def shutdown(status: int) -> int:
    """The last thing that a process does; gives its exit status.

    A process that failed alone must not wait for the others, who may be waiting for it in a
    computation: without it the service that connects them ends them.
    """
    client = distributed.global_state.client
    if client is not None and status:
        with contextlib.suppress(Exception):
            client.wait_at_barrier("farewell", FAREWELL_MS)
        if is_first():
            time.sleep(1)  # the service that connects them ends with it: the others go first
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _distributed(value: T, speakers: range) -> list[T]:
    """The values of those processes that speak, told to all."""
    global _asked  # noqa: PLW0603 - the processes count alike, and the keys of no two calls meet
    client = distributed.global_state.client
    if client is None:
        return [value]
    _asked += 1
    if process_index() in speakers:
        data = pickle.dumps(value)
        pieces = [data[start : start + PIECE] for start in range(0, len(data), PIECE)]
        client.key_value_set(f"class_jax/{_asked}/{process_index()}", str(len(pieces)))
        for number, piece in enumerate(pieces):
            client.key_value_set_bytes(f"class_jax/{_asked}/{process_index()}/{number}", piece)
    return [_heard(client, f"class_jax/{_asked}/{speaker}") for speaker in speakers]


def _heard(client: Any, key: str) -> Any:
    """What another process says, once it does, though that be after hours of downloading."""
    pieces = int(_once_there(client.blocking_key_value_get, key))
    get = client.blocking_key_value_get_bytes
    parts = (_once_there(get, f"{key}/{number}") for number in range(pieces))
    return pickle.loads(b"".join(parts))


def _once_there(get: Callable[[str, int], T], key: str) -> T:
    """A value of the store. Asked for in turns: inside one, Python answers no signal."""
    while True:
        try:
            return get(key, TURN_MS)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


def check_shared(folder: epath.Path) -> None:
    """Raise UserError, in all processes, where one does not see what the first writes."""
    if process_count() == 1:
        return
    mark, content = run_on_first(lambda: _marked(folder))
    try:
        run_on_all(lambda: _wait_for_file(mark, content, folder))
    finally:
        if is_first():
            mark.unlink(missing_ok=True)


def _marked(folder: epath.Path) -> tuple[epath.Path, str]:
    mark, content = folder / ".seen-by-all", uuid.uuid4().hex
    mark.write_text(content)
    return mark, content


def _wait_for_file(mark: epath.Path, content: str, folder: epath.Path) -> None:
    deadline = time.monotonic() + PATIENCE_FOR_FILE
    while not (mark.exists() and mark.read_text() == content):
        if time.monotonic() > deadline:
            raise UserError(
                f"{folder} is not the first process's: all processes need one "
                "folder that they share, on a common disk or in a bucket."
            )
        time.sleep(0.5)

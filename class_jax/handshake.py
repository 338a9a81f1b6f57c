"""The meeting of several processes, before JAX joins them.

JAX ends a process by an abort, without a sentence, if another one never comes, if a foreign server
listens at the coordinator's address, or if two disagree on their number. So the processes meet
there first: process 0 listens, the others say who they are, and all go on once all are there. The
connections stay open, so that the loss of a process is noticed (`watchdog.py`).

Both sides send lines of JSON. Process 0 begins with a greeting, which tells it from other servers.
"""

import contextlib
import json
import selectors
import socket
import time
from typing import Any, NamedTuple

from class_jax.errors import UserError
from class_jax.text import list_names

GREETING = {"program": "class_jax", "protocol": 1}
GREETING_SECONDS = 30  # in which process 0 answers; a server that is silent longer is a foreign one
HELLO_SECONDS = 5  # in which a client says who it is
RESOLVE_SECONDS = 60  # to resolve the name of process 0's host
LINE_BYTES = 4096  # of one message
# A machine that is lost sends nothing: after 15 s of silence it is asked, three times in 15 s.
KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


class Role(NamedTuple):
    """One process among several."""

    process: int
    processes: int


class Link:
    """A connection to another process, which carries lines of JSON."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connection."""
        self._socket = connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):  # not on every system
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._lines = connection.makefile("rb")

    def send(self, **message: Any) -> None:
        """Send a message; OSError if the other process is gone."""
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, seconds: float | None = None) -> dict[str, Any] | None:
        """Return the next message, or None if the connection was closed.

        Raises:
          OSError: nothing came in time, or the connection was lost.
          ValueError: it is no message of this program.
        """
        self._socket.settimeout(seconds)
        line = self._lines.readline(LINE_BYTES)
        self._socket.settimeout(None)
        if not line:
            return None
        try:
            message = json.loads(line)
        except RecursionError as error:
            raise ValueError("nested without end") from error
        if not isinstance(message, dict):
            raise ValueError(f"{message} is no message")
        return message

    def is_closed(self) -> bool:
        """Return whether the other side has closed the connection; only before it sends more."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            return bool(selector.select(0))

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()


def meet(coordinator: str, role: Role, *, seconds: float) -> dict[int, Link]:
    """Block until all processes are there; return links: process 0's to all, others' to it.

    Args:
      coordinator: "host:port", an address of process 0.
      role: the number of this process, and of all.
      seconds: how long to wait for the others.

    Raises:
      UserError: they cannot meet there, one did not come in time, or they disagree.
    """
    host, _, port = coordinator.rpartition(":")
    deadline = time.monotonic() + seconds
    try:
        if role.process == 0:
            return _receive_all(int(port), role.processes, deadline)
        link = _connect(host.strip("[]"), int(port), deadline)
    except OSError as error:
        wanted = "a port that is free" if role.process == 0 else "an address of process 0"
        raise UserError(
            f"{coordinator} cannot be used ({error.strerror or error}): give {wanted}, and start "
            f"all processes within {seconds / 60:.0f} minutes."
        ) from error
    _introduce(link, coordinator, role, deadline)
    return {0: link}


def _receive_all(port: int, processes: int, deadline: float) -> dict[int, Link]:
    """Wait for all other processes, in process 0; OSError if the port cannot be used."""
    links: dict[int, Link] = {}
    try:
        with _listen(port) as server:
            while len(_drop_closed(links)) < processes - 1:
                server.settimeout(max(deadline - time.monotonic(), 0.01))
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    raise _name_missing(links, processes) from None
                _add(links, Link(connection), processes)
    except UserError as error:
        for link in links.values():
            _try_to_send(link, error=str(error))
        raise
    for link in links.values():  # only now: JAX's server takes over the port
        _try_to_send(link, error=None)
    return links


def _drop_closed(links: dict[int, Link]) -> dict[int, Link]:
    """Forget processes that were ended while the others were waited for; return what is left."""
    for process in [process for process, link in links.items() if link.is_closed()]:
        links.pop(process).close()
    return links


def _listen(port: int) -> socket.socket:
    """Open a server at all addresses of this machine; OSError if the port is taken."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _name_missing(links: dict[int, Link], processes: int) -> UserError:
    missing = list_names(process for process in range(1, processes) if process not in links)
    return UserError(
        f"{len(links) + 1} of {processes} processes came in time, and not process {missing}: start "
        "all of them, with an address of process 0 that they can reach."
    )


def _add(links: dict[int, Link], link: Link, processes: int) -> None:
    """Add a process that comes; ignore a client that is none.

    Raises:
      UserError: it was told of another number of processes, or its own number is taken.
    """
    try:
        link.send(**GREETING)
        hello = link.receive(HELLO_SECONDS) or {}
        process, count = int(hello["process"]), int(hello["processes"])
    except (OSError, ValueError, KeyError, TypeError):
        link.close()  # a port scanner, or a process that was ended meanwhile
        return
    before, links[process] = _drop_closed(links).get(process), link
    if count != processes:
        raise UserError(
            f"process {process} was started as one of {count} processes, and process 0 as one of "
            f"{processes}: all of them need the same number."
        )
    if before:  # it was not ended and started again: it is still there
        _try_to_send(before, error=f"another process came as process {process}, too.")
        raise UserError(f"two processes came as process {process}: each needs its own number.")


def _try_to_send(link: Link, **message: Any) -> None:
    with contextlib.suppress(OSError):  # it is gone, which the watchdog will notice
        link.send(**message)


def _connect(host: str, port: int, deadline: float) -> Link:
    """Connect to process 0 as soon as it listens; OSError if it does not in time."""
    start = time.monotonic()
    while True:
        try:
            return Link(socket.create_connection((host, port), timeout=10))
        except OSError as error:
            unknown = isinstance(error, socket.gaierror)
            limit = min(start + RESOLVE_SECONDS, deadline) if unknown else deadline
            if time.monotonic() > limit:
                raise
        time.sleep(0.2)


def _introduce(link: Link, coordinator: str, role: Role, deadline: float) -> None:
    """Tell process 0 who this is, and wait until all are there.

    Raises:
      UserError: no process 0 is there, or it refuses.
    """
    try:
        is_ours = link.receive(GREETING_SECONDS) == GREETING
    except (OSError, ValueError):
        is_ours = False
    if not is_ours:
        link.close()
        raise UserError(
            f"{coordinator} is served by another program: give an address of process 0, and a port "
            "that nothing else uses on its machine."
        )
    try:
        link.send(process=role.process, processes=role.processes)
        answer = link.receive(max(deadline - time.monotonic(), 1) + GREETING_SECONDS)
    except (OSError, ValueError):
        answer = None
    if answer is None:
        raise UserError("process 0 was ended before all processes were there: start all again.")
    if answer.get("error"):
        raise UserError(answer["error"])

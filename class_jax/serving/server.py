"""The server: it listens where it is told, counts what clients hold, and ends within seconds."""

import asyncio
import contextlib
import errno
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from class_jax.errors import UserError
from class_jax.serving.api import Api
from class_jax.serving.connection import Answer, BusyError, Connection, LeftError, Request

MOST_CONNECTIONS = 300
MOST_HELD = 256 * 2**20  # bytes of bodies and answers, announced or held
LINGER_SECONDS = 5  # to read what a refused client still sends, so that it sees the reason
LAST_SECONDS = 1  # the same, at the end
GRACE_SECONDS = 2  # at the end, for answers that are being sent
LEFT = 499  # the status in the log of a client that left


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
      host: a name or an address of this machine.
      port: 0 for any that is free.

    Raises:
      UserError: the port is in use or not allowed, or the host is not this machine.
    """
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=kind)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None)
        place, reason = f"port {port} of {host}", getattr(error, "strerror", error)
        sentence = f"{place} cannot be used ({reason}): choose one above 1023."
        if number == errno.EADDRINUSE:
            sentence = f"{place} is in use: choose another, or end the program that has it."
        elif isinstance(error, (socket.gaierror, UnicodeError)) or number == errno.EADDRNOTAVAIL:
            sentence = f"{host} is not an address of this machine; 127.0.0.1 is its own."
        raise UserError(sentence) from error


class Server:
    """Answers the requests of a socket by an API."""

    def __init__(self, api: Api) -> None:
        """Use an API."""
        self._api = api
        self._visits: dict[_Visit, asyncio.Task[Any]] = {}  # the oldest first
        self._is_ending = False

    async def run(
        self, listener: socket.socket, loaded: "Future[Any]", announce: Callable[[], None]
    ) -> int:
        """Answer requests until Ctrl-C or a signal to end, and return the signal.

        Args:
          listener: from `listen`.
          loaded: done when there is something to serve; its error ends the server.
          announce: called then.
        """
        with _note_signals() as stopped:
            sockets = await asyncio.start_server(self._serve, sock=listener)
            ready: asyncio.Future[Any] = asyncio.wrap_future(loaded)
            try:
                await asyncio.wait([ready, stopped], return_when=asyncio.FIRST_COMPLETED)
                if not stopped.done():
                    await ready
                    announce()
                return await stopped
            finally:
                sockets.close()
                await self._end()

    async def _end(self) -> None:
        """Answer 503 to those who wait; those who are being answered have seconds."""
        self._is_ending = True
        for visit, task in self._visits.items():
            if visit.answer is None:
                task.cancel()
        if self._visits:
            _, late = await asyncio.wait(self._visits.values(), timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the request of a connection, and log it."""
        visit, task = _Visit(Connection(reader, writer)), asyncio.current_task()
        assert task is not None
        has_room = len(self._visits) < MOST_CONNECTIONS or self._make_room()
        self._visits[visit] = task
        try:
            with contextlib.suppress(LeftError, asyncio.CancelledError):
                await self._converse(visit, has_room=has_room)
        finally:
            visit.finish()
            with contextlib.suppress(asyncio.CancelledError):
                seconds = LAST_SECONDS if self._is_ending else LINGER_SECONDS
                await visit.connection.close(linger=seconds)
            del self._visits[visit]

    def _make_room(self) -> bool:
        """Close the oldest connection on which nothing was asked; False if there is none."""
        silent = next((visit for visit in self._visits if visit.is_silent), None)
        if silent is not None:
            silent.is_over = True
            self._visits[silent].cancel()
        return silent is not None

    async def _converse(self, visit: "_Visit", *, has_room: bool) -> None:
        """Read a request and send its answer."""
        try:
            if not has_room:
                raise BusyError("too many are connected.")
            visit.request = await visit.connection.read_head()
            answer = self._api.begin(visit.request) or await self._make(visit, visit.request)
        except asyncio.CancelledError:
            if visit.request is None or not self._is_ending:
                raise
            answer = self._api.explain(BusyError("this server is being stopped."))
        except LeftError:
            raise
        except Exception as error:
            answer = self._api.explain(error)
        visit.answer, visit.held = answer, len(answer.body)
        await visit.connection.send(self._api.complete(visit.request, answer))
        visit.is_sent = True

    async def _make(self, visit: "_Visit", request: Request) -> Answer:
        """Return the image made of a request's body; drop the work if the client leaves."""
        if sum(other.held for other in self._visits) + 2 * request.length > MOST_HELD:
            raise BusyError("too many large files are being sent: try again in a moment.")
        visit.held = request.length
        work = self._api.submit(request, await visit.connection.read_body(request.length))
        made: asyncio.Future[Any] = asyncio.wrap_future(work)
        left: asyncio.Future[Any] = asyncio.ensure_future(visit.connection.wait_until_left())
        try:
            await asyncio.wait([made, left], return_when=asyncio.FIRST_COMPLETED)
            if not made.done():
                raise LeftError
            return made.result()
        finally:
            made.cancel()
            left.cancel()
            await asyncio.wait([left])  # only one task may read, and it does


class _Visit:
    """One connection, what it holds, and its line in the log."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.request: Request | None = None
        self.answer: Answer | None = None  # that is being sent
        self.is_sent = False
        self.held = 0  # bytes of its body or answer, announced or held
        self.is_over = False
        self._start = time.monotonic()

    @property
    def is_silent(self) -> bool:
        """Return whether nothing was asked, nor answered, so far."""
        return self.request is None and self.answer is None and not self.is_over

    def finish(self) -> None:
        """Print a line; nothing for a connection on which nothing was asked."""
        self.held, self.is_over = 0, True
        if self.request is None and self.answer is None:
            return
        asked = f"{self.request.method} {self.request.path}"[:200] if self.request else "-"
        status, size = LEFT, 0
        if self.answer and self.is_sent:
            status, size = self.answer.status, len(self.answer.body)
        when = time.strftime("%Y-%m-%d %H:%M:%S")
        seconds = time.monotonic() - self._start
        line = f'{when} {self.connection.client} "{asked}" {status} {size} {seconds:.2f}s'
        print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _note_signals() -> Iterator["asyncio.Future[int]"]:
    """Give a future that is done at Ctrl-C, SIGTERM or SIGHUP, with the signal's number."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if not stopped.done():
            stopped.set_result(number)

    def note(number: int, _: object) -> None:
        loop.call_soon_threadsafe(stop, number)

    with contextlib.ExitStack() as stack:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
                stack.callback(signal.signal, number, signal.signal(number, note))
        yield stopped

"""The server: it listens where it is told, counts what clients hold, and ends within seconds."""

import asyncio
import contextlib
import errno
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from class_jax.errors import UserError
from class_jax.serving.api import MOST_FORM, Api
from class_jax.serving.connection import Answer, Connection, LeftError, RefusedError, Request
from class_jax.serving.service import BusyError, Made

MOST_CONNECTIONS = 300
MOST_HELD = 256 * 2**20  # bytes of bodies and answers, announced or there
LINGER_SECONDS = 5  # for what a refused client still sends, so that it reads why
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
        raise UserError(_explain(error, host, port)) from error


def _explain(error: Exception, host: str, port: int) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: choose another, or end the program that has it."
    names = (socket.gaierror, UnicodeError)
    if isinstance(error, names) or number == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine: 127.0.0.1 is for this machine alone."
    reason = getattr(error, "strerror", error)
    return f"port {port} of {host} cannot be used ({reason}): choose one above 1023."


class Server:
    """Answers the requests of a socket by an API."""

    def __init__(self, api: Api) -> None:
        """Use an API."""
        self._api = api
        self._tasks: set[asyncio.Task[None]] = set()
        self._silent: dict[asyncio.Task[None], None] = {}  # before a request, oldest first
        self._sending: set[asyncio.Task[None]] = set()
        self._held = 0
        self._is_ending = False

    def run(
        self, listener: socket.socket, loaded: "Future[Any]", announce: Callable[[], None]
    ) -> int:
        """Answer requests until Ctrl-C or a signal to end, and return the signal.

        Args:
          listener: from `listen`.
          loaded: done when there is something to serve; its error ends the server.
          announce: called then.
        """
        return asyncio.run(self._run(listener, loaded, announce))

    async def _run(
        self, listener: socket.socket, loaded: "Future[Any]", announce: Callable[[], None]
    ) -> int:
        with _note_signals() as stopped:
            sockets = await asyncio.start_server(self._serve, sock=listener)
            ready: asyncio.Future[Any] = asyncio.wrap_future(loaded)
            try:
                await asyncio.wait([ready, stopped], return_when=asyncio.FIRST_COMPLETED)
                if not stopped.done():
                    await ready
                    announce()
                number = await stopped
            finally:
                sockets.close()
                await self._end()
        return number

    async def _end(self) -> None:
        """Answer 503 to those who wait; those who are being answered have seconds."""
        self._is_ending = True
        for task in self._tasks - self._sending:
            task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the request of a connection, and log it."""
        task, connection = asyncio.current_task(), Connection(reader, writer)
        assert task is not None
        start, log = time.monotonic(), _Log(connection.client)
        is_full = len(self._tasks) >= MOST_CONNECTIONS
        self._tasks.add(task)
        try:
            with contextlib.suppress(LeftError, asyncio.CancelledError):
                await self._converse(connection, log, is_full=is_full)
        finally:
            log.write(time.monotonic() - start)
            with contextlib.suppress(asyncio.CancelledError):
                await connection.close(linger=LAST_SECONDS if self._is_ending else LINGER_SECONDS)
            for group in (self._tasks, self._sending):
                group.discard(task)

    async def _converse(self, connection: Connection, log: "_Log", *, is_full: bool) -> None:
        """Read a request and send its answer."""
        request, hold = None, _Hold(self)
        with hold:
            try:
                request = log.request = await self._read_head(connection, is_full=is_full)
                answer = await self._answer(connection, request, hold)
            except asyncio.CancelledError:
                if request is None or not self._is_ending:
                    raise
                answer = self._api.explain(BusyError("this server is being stopped."))
            except (RefusedError, UserError) as error:
                answer = self._api.explain(error)
            except LeftError:
                raise
            except Exception as error:
                traceback.print_exception(error)
                answer = self._api.explain(error)
            log.answer = answer
            hold.change(len(answer.body))
            task = asyncio.current_task()
            assert task is not None
            self._sending.add(task)
            await connection.send(self._api.complete(request, answer))
            log.is_sent = True

    async def _read_head(self, connection: Connection, *, is_full: bool) -> Request:
        """Read a request's first lines; where too many connect, the oldest silent one goes."""
        if is_full and not self._silent:
            raise BusyError("too many are connected.")
        if is_full:
            next(iter(self._silent)).cancel()
        task = asyncio.current_task()
        assert task is not None
        self._silent[task] = None
        try:
            return await connection.read_head()
        finally:
            del self._silent[task]

    async def _answer(self, connection: Connection, request: Request, hold: "_Hold") -> Answer:
        """Return the answer to a request, reading its body if it is wanted."""
        if (answer := self._api.begin(request)) is not None:
            return answer
        length = MOST_FORM if request.length is None else request.length
        hold.change(length, is_new=True)
        body = await connection.read_body(length, most=MOST_FORM)
        return self._api.finish(await self._await(connection, self._api.submit(request, body)))

    async def _await(self, connection: Connection, work: "Future[Made]") -> Made:
        """Return what a future gives; drop it if the client leaves before."""
        made: asyncio.Future[Any] = asyncio.wrap_future(work)
        left: asyncio.Future[Any] = asyncio.ensure_future(connection.wait_until_left())
        try:
            await asyncio.wait([made, left], return_when=asyncio.FIRST_COMPLETED)
            if not made.done():
                raise LeftError
            return made.result()
        finally:
            made.cancel()
            left.cancel()
            await asyncio.wait([left])  # it reads, and only one may

    def hold(self, before: int, after: int, *, is_new: bool) -> None:
        """Count what a request holds; BusyError where a new one leaves less room than it takes."""
        if is_new and self._held + 2 * after > MOST_HELD:
            raise BusyError("too many large files are being sent: try again in a moment.")
        self._held += after - before


class _Hold:
    """The memory that one request holds of a server's."""

    def __init__(self, server: Server) -> None:
        self._server, self._bytes = server, 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.change(0)

    def change(self, count: int, *, is_new: bool = False) -> None:
        """Hold `count` bytes; BusyError if `is_new` and there is no room."""
        self._server.hold(self._bytes, count, is_new=is_new)
        self._bytes = count


class _Log:
    """A request's line in the log."""

    def __init__(self, client: str) -> None:
        self._client = client
        self.request: Request | None = None
        self.answer: Answer | None = None
        self.is_sent = False

    def write(self, seconds: float) -> None:
        """Print the line; nothing for a connection on which nothing was asked."""
        if self.request is None and self.answer is None:
            return
        asked = f"{self.request.method} {self.request.path}"[:200] if self.request else "-"
        status = self.answer.status if self.answer and self.is_sent else LEFT
        size = len(self.answer.body) if self.answer and self.is_sent else 0
        when = time.strftime("%Y-%m-%d %H:%M:%S")
        line = f'{when} {self._client} "{asked}" {status} {size} {seconds:.2f}s'
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

    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            before[number] = signal.signal(number, note)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

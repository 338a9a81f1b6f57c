"""The server: it listens where it is told, counts what clients hold, and ends within seconds."""

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from class_jax.errors import UserError, handle_signals
from class_jax.serving.api import Api
from class_jax.serving.visit import Answer, RefusedError, Visit

MOST_CONNECTIONS = 300
MOST_HELD = 256 * 2**20  # bytes of bodies and answers, announced or held
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
        return socket.create_server((address[0], port), family=kind)
    except (OSError, UnicodeError, OverflowError) as error:
        reason = str(getattr(error, "strerror", error)).partition(" (")[0]
        raise UserError(
            f"port {port} of {host} cannot be used ({reason}): choose another port from 1024 to "
            "65535, or an address of this machine; 127.0.0.1 is its own."
        ) from error


class Server:
    """Answers the requests of a socket by an API."""

    def __init__(self, api: Api) -> None:
        """Use an API."""
        self._api = api
        self._visits: dict[Visit, asyncio.Task[Any]] = {}  # the oldest first
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
        signals: asyncio.Queue[int] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        with handle_signals(lambda n, _: loop.call_soon_threadsafe(signals.put_nowait, n)):
            sockets = await asyncio.start_server(self._serve, sock=listener)
            ready, stopped = asyncio.wrap_future(loaded), asyncio.ensure_future(signals.get())
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
        """Answer the request of a connection, and print a line; nothing if none was made."""
        visit, task, start = Visit(reader, writer), asyncio.current_task(), time.monotonic()
        assert task is not None
        if len(self._visits) >= MOST_CONNECTIONS and not self._make_room():
            writer.close()
            return
        self._visits[visit] = task
        status, size = LEFT, 0
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                visit.answer = await self._find_answer(visit)
                visit.held = len(visit.answer.body)
                await visit.send(visit.answer)
                status, size = visit.answer.status, visit.held
        finally:
            visit.held = 0
            if visit.method or visit.answer:
                asked = f"{visit.method} {visit.path}"[:200] if visit.method else "-"
                when, seconds = time.strftime("%Y-%m-%d %H:%M:%S"), time.monotonic() - start
                line = f'{when} {visit.client} "{asked}" {status} {size} {seconds:.2f}s'
                print(line, file=sys.stderr, flush=True)
            with contextlib.suppress(asyncio.CancelledError):
                await visit.close()
            self._visits.pop(visit, None)

    def _make_room(self) -> bool:
        """Close the oldest connection on which nothing was asked; False if there is none."""
        for visit in self._visits:
            if not (visit.method or visit.answer):
                self._visits.pop(visit).cancel()
                return True
        return False

    async def _find_answer(self, visit: Visit) -> Answer:
        """Read a request, and return its answer; ConnectionError if the client leaves."""
        try:
            await visit.read_head()
            answer = self._api.begin(visit) or await self._make(visit)
        except ConnectionError:
            raise
        except asyncio.CancelledError:
            if not (visit.method and self._is_ending):
                raise
            answer = self._api.explain(RefusedError(503, "this server is being stopped."))
        except Exception as error:
            answer = self._api.explain(error)
        return self._api.complete(visit, answer)

    async def _make(self, visit: Visit) -> Answer:
        """Return the image made of a request's body, if there is room for it."""
        if sum(other.held for other in self._visits) + 2 * visit.length > MOST_HELD:
            raise RefusedError(503, "too many large files are being sent: try again in a moment.")
        visit.held = visit.length
        return await visit.wait(self._api.submit(visit, await visit.read_body()))

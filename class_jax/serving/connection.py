"""One request of one connection, HTTP/1.1 by h11: everything that a client does has a time limit.

Each connection is closed after its answer, so no request hides behind another one.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import NamedTuple

import h11

HEAD_SECONDS = 10  # for the lines before the body
STEP_SECONDS = 10  # without a byte from or for a client
SLOWEST = 2**17  # bytes a second, on the average, of bodies and answers
MOST_HEAD = 2**14  # bytes
PIECE = 2**16  # bytes

Headers = tuple[tuple[str, str], ...]


class LeftError(Exception):
    """The client has left, or was too slow to be waited for."""


class RefusedError(Exception):
    """A request is not answered as it was meant to be: a status and a sentence."""

    def __init__(self, status: int, sentence: str, headers: Headers = ()) -> None:
        """Store the status, the sentence and headers that belong to it."""
        super().__init__(sentence)
        self.status, self.headers = status, headers


class Request(NamedTuple):
    """The lines before the body."""

    method: str
    path: str
    query: str
    headers: dict[str, str]  # by names in lower case

    @property
    def length(self) -> int | None:
        """Return the length of the body in bytes; None if it is sent in pieces."""
        if "transfer-encoding" in self.headers:
            return None
        return int(self.headers.get("content-length", 0))


class Answer(NamedTuple):
    """A status, a body and its headers."""

    status: int
    body: bytes = b""
    headers: Headers = ()


class Connection:
    """A client's connection, for one request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use both directions of a connection."""
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
        # So that "drained" means handed over to the system, and closing waits for nobody.
        writer.transport.set_write_buffer_limits(0)
        self.client = str((writer.get_extra_info("peername") or ["?"])[0])
        self.is_answered = False  # an answer has begun
        self._is_head = False  # the answer has no body
        self._is_read = False  # the whole request

    async def read_head(self) -> Request:
        """Read the lines before the body.

        Raises:
          RefusedError: they are not HTTP, or too slow.
          LeftError: the client has left.
        """
        with _refuse_late("the request"):
            async with asyncio.timeout(HEAD_SECONDS):
                event = await self._next_event()
        if not isinstance(event, h11.Request):
            raise LeftError
        self._is_head = event.method == b"HEAD"
        path, _, query = event.target.decode("ascii").partition("?")
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
        request = Request(event.method.decode("ascii"), path, query, headers)
        self._is_read = request.length == 0
        return request

    async def read_body(self, length: int, *, most: int) -> bytes:
        """Read the body.

        Args:
          length: expected, in bytes.
          most: that is taken.

        Raises:
          RefusedError: it is too long or too slow.
          LeftError: the client has left.
        """
        if self._is_read:
            return b""
        if self._http.they_are_waiting_for_100_continue:
            await self._write(h11.InformationalResponse(status_code=100, headers=[]))
        content = bytearray()
        with _refuse_late("the body"):
            async with asyncio.timeout(STEP_SECONDS + length / SLOWEST):
                while isinstance(event := await self._next_piece(), h11.Data):
                    content += event.data
                    if len(content) > most:
                        raise RefusedError(413, describe_limit(most))
        self._is_read = True
        return bytes(content)

    async def wait_until_left(self) -> None:
        """Return when the client has left; drop what it still sends."""
        with contextlib.suppress(OSError):
            while await self._reader.read(PIECE):
                pass

    async def send(self, answer: Answer) -> None:
        """Send an answer; LeftError if the client is gone or too slow."""
        self.is_answered = True
        headers = [*answer.headers, ("connection", "close")]
        if answer.status != HTTPStatus.NO_CONTENT:
            headers.append(("content-length", str(len(answer.body))))
        phrase = HTTPStatus(answer.status).phrase
        try:
            async with asyncio.timeout(STEP_SECONDS + len(answer.body) / SLOWEST):
                await self._write(
                    h11.Response(status_code=answer.status, headers=headers, reason=phrase)
                )
                body = memoryview(b"" if self._is_head else answer.body)
                for start in range(0, len(body), PIECE):
                    await self._write(h11.Data(data=bytes(body[start : start + PIECE])))
                await self._write(h11.EndOfMessage())
        except (OSError, TimeoutError) as error:
            raise LeftError from error

    async def close(self, *, linger: float) -> None:
        """Close the connection; a client that still sends has seconds to read the answer."""
        with contextlib.suppress(OSError, TimeoutError):
            if self.is_answered and not self._is_read:
                self._writer.write_eof()
                async with asyncio.timeout(linger):
                    await self.wait_until_left()
        self._writer.close()

    async def _next_piece(self) -> object:
        async with asyncio.timeout(STEP_SECONDS):
            return await self._next_event()

    async def _next_event(self) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(PIECE))
        except h11.RemoteProtocolError as error:
            if self._reader.at_eof():
                raise LeftError from error
            raise RefusedError(
                error.error_status_hint, f"this is not HTTP/1.1: {error}."
            ) from error
        except OSError as error:
            raise LeftError from error
        return event

    async def _write(self, event: h11.Event) -> None:
        self._writer.write(self._http.send(event) or b"")
        async with asyncio.timeout(STEP_SECONDS):
            await self._writer.drain()


@contextlib.contextmanager
def _refuse_late(name: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise RefusedError(408, f"{name} came too slowly.") from error


def describe_limit(most: int) -> str:
    """Return the sentence for a body that is too long."""
    return f"the file is too large: at most {most >> 20} MB are taken."

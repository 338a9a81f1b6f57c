"""One request of one connection, HTTP/1.1 by h11: everything that a client does has a time limit.

Each connection is closed after its answer, so no request hides behind another one.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import NamedTuple

import h11

HEAD_SECONDS = 10  # for the lines before the body
STEP_SECONDS = 10  # without a byte from or for a client
SLOWEST = 2**17  # bytes a second, on the average, of bodies and answers
MOST_HEAD = 2**14  # bytes
MOST_BYTES = 2**26  # of one image's file
MOST_FORM = MOST_BYTES + 2**16
TOO_LARGE = f"the file is too large: at most {MOST_BYTES >> 20} MB are taken."
PIECE = 2**16  # bytes


class LeftError(Exception):
    """The client has left, or was too slow to be waited for."""


class RefusedError(Exception):
    """A request is refused: a status and a sentence."""

    def __init__(
        self, status: int, sentence: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Store the status, the sentence and headers that belong to it."""
        super().__init__(sentence)
        self.status, self.headers = status, headers or {}


class BusyError(RefusedError):
    """There is no room for a request now."""

    def __init__(self, sentence: str) -> None:
        """Store the sentence."""
        super().__init__(503, sentence, {"retry-after": "3"})


class Request(NamedTuple):
    """The lines before the body."""

    method: str
    path: str
    query: str
    headers: dict[str, str]  # by names in lower case

    @property
    def length(self) -> int:
        """Return the length of the body in bytes; the largest allowed if it is chunked."""
        if "transfer-encoding" in self.headers:
            return MOST_FORM
        return int(self.headers.get("content-length", 0))

    def check_length(self) -> None:
        """Raise RefusedError if the body is too long."""
        if self.length > MOST_FORM:
            raise RefusedError(413, TOO_LARGE)


class Answer(NamedTuple):
    """A status, a body and its headers."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}  # nobody changes them


class Connection:
    """A client's connection, for one request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use both directions of a connection."""
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
        # So that "drained" means handed over to the system, and closing waits for nobody.
        writer.transport.set_write_buffer_limits(0)
        self.client = str((writer.get_extra_info("peername") or ["?"])[0])
        self._is_head = False  # the answer has no body
        self._is_read = False  # the whole request

    async def read_head(self) -> Request:
        """Read the lines before the body.

        Raises:
          RefusedError: they are not HTTP, or too slow.
          LeftError: the client has left.
        """
        async with _refuse_after(HEAD_SECONDS, "the request"):
            event = await self._next_event()
        if not isinstance(event, h11.Request):
            raise LeftError
        self._is_head = event.method == b"HEAD"
        path, _, query = event.target.decode("ascii").partition("?")
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
        request = Request(event.method.decode("ascii"), path, query, headers)
        if {"content-length", "transfer-encoding"} <= headers.keys():  # proxies may differ
            raise RefusedError(400, "the request states the length of its body in two ways.")
        self._is_read = request.length == 0
        return request

    async def read_body(self, length: int) -> bytes:
        """Read the body, which should have `length` bytes.

        Raises:
          RefusedError: it is too long or too slow.
          LeftError: the client has left.
        """
        if self._http.they_are_waiting_for_100_continue:
            await self._write(h11.InformationalResponse(status_code=100, headers=[]))
        content = bytearray()
        async with _refuse_after(STEP_SECONDS + length / SLOWEST, "the body"):
            while not self._is_read:
                async with asyncio.timeout(STEP_SECONDS):
                    event = await self._next_event()
                content += getattr(event, "data", b"")
                if len(content) > MOST_FORM:
                    raise RefusedError(413, TOO_LARGE)
                self._is_read = not isinstance(event, h11.Data)
        return bytes(content)

    async def wait_until_left(self) -> None:
        """Return when the client has left; drop what it still sends."""
        with contextlib.suppress(OSError):
            while await self._reader.read(PIECE):
                pass

    async def send(self, answer: Answer) -> None:
        """Send an answer; LeftError if the client is gone or too slow."""
        headers = {**answer.headers, "connection": "close"}
        if answer.status != HTTPStatus.NO_CONTENT:
            headers["content-length"] = str(len(answer.body))
        phrase = HTTPStatus(answer.status).phrase
        body = memoryview(b"" if self._is_head else answer.body)
        try:
            async with asyncio.timeout(STEP_SECONDS + len(body) / SLOWEST):
                await self._write(
                    h11.Response(
                        status_code=answer.status, headers=list(headers.items()), reason=phrase
                    )
                )
                for start in range(0, len(body), PIECE):
                    await self._write(h11.Data(data=bytes(body[start : start + PIECE])))
                await self._write(h11.EndOfMessage())
        except (OSError, TimeoutError) as error:
            raise LeftError from error

    async def close(self, *, linger: float) -> None:
        """Close the connection; a client that still sends has seconds to read the answer."""
        with contextlib.suppress(OSError, TimeoutError):
            if self._http.our_state is not h11.IDLE and not self._is_read:
                self._writer.write_eof()
                async with asyncio.timeout(linger):
                    await self.wait_until_left()
        self._writer.close()

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


@contextlib.asynccontextmanager
async def _refuse_after(seconds: float, name: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise RefusedError(408, f"{name} came too slowly.") from error

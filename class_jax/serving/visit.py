"""One request of one connection, HTTP/1.1 by h11: everything that a client does has a time limit.

Each connection is closed after its answer, so no request hides behind another one.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any, NamedTuple

import h11

HEAD_SECONDS = 10  # for the lines before the body
STEP_SECONDS = 10  # without a byte from or for a client
LINGER_SECONDS = 5  # to read what a refused client still sends, so that it sees the reason
SLOWEST = 2**17  # bytes a second, on the average, of bodies and answers
MOST_HEAD = 2**14  # bytes
MOST_BYTES = 2**26  # of one image's file
MOST_FORM = MOST_BYTES + 2**16
TOO_LARGE = f"the file is too large: at most {MOST_BYTES >> 20} MB are taken."
PIECE = 2**16  # bytes


class Answer(NamedTuple):
    """A status, a body and its headers."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}  # nobody changes them


class RefusedError(Exception):
    """A request is refused: a status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        """Store both."""
        super().__init__(sentence)
        self.status = status


class Visit:
    """A client's connection, for one request.

    A client that has left is a ConnectionError, one that is too slow a TimeoutError.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use both directions of a connection."""
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
        # So that "drained" means handed over to the system, and closing waits for nobody.
        writer.transport.set_write_buffer_limits(0)
        self.client = str((writer.get_extra_info("peername") or ["?"])[0])
        self.method = self.path = self.query = ""  # until they are read
        self.headers: dict[str, str] = {}  # by names in lower case
        self.answer: Answer | None = None  # that is being sent
        self.held = 0  # bytes of the body or the answer, announced or held
        self._is_read = False  # the whole request

    @property
    def length(self) -> int:
        """Return the length of the body in bytes; the largest allowed if it is chunked."""
        if "transfer-encoding" in self.headers:
            return MOST_FORM
        return int(self.headers.get("content-length", 0))

    async def read_head(self) -> None:
        """Read the lines before the body; RefusedError if they are not HTTP."""
        async with asyncio.timeout(HEAD_SECONDS):
            event = await self._next_event()
        if not isinstance(event, h11.Request):
            raise ConnectionResetError
        self.method = event.method.decode("ascii")
        self.path, _, self.query = event.target.decode("ascii").partition("?")
        self.headers = {name.decode("ascii"): h.decode("latin-1") for name, h in event.headers}
        if {"content-length", "transfer-encoding"} <= self.headers.keys():  # proxies may differ
            raise RefusedError(400, "the request states the length of its body in two ways.")
        self._is_read = self.length == 0

    async def read_body(self) -> bytes:
        """Read the body; RefusedError if it is longer than it says, or damaged."""
        if self._http.they_are_waiting_for_100_continue:
            await self._write(h11.InformationalResponse(status_code=100, headers=[]))
        content = bytearray()
        async with asyncio.timeout(STEP_SECONDS + self.length / SLOWEST):
            while not self._is_read:
                async with asyncio.timeout(STEP_SECONDS):
                    event = await self._next_event()
                content += getattr(event, "data", b"")
                if len(content) > MOST_FORM:
                    raise RefusedError(413, TOO_LARGE)
                self._is_read = not isinstance(event, h11.Data)
        return bytes(content)

    async def wait(self, work: "Future[Answer]") -> Answer:
        """Return the result of work; drop it if the client leaves."""
        made: asyncio.Future[Any] = asyncio.wrap_future(work)
        left: asyncio.Future[Any] = asyncio.ensure_future(self._wait_until_left())
        try:
            await asyncio.wait([made, left], return_when=asyncio.FIRST_COMPLETED)
            if not made.done():
                raise ConnectionResetError
            return made.result()
        finally:
            made.cancel()
            left.cancel()
            await asyncio.wait([left])  # only one task may read, and it does

    async def send(self, answer: Answer) -> None:
        """Send an answer."""
        headers = {**answer.headers, "connection": "close"}
        if answer.status != HTTPStatus.NO_CONTENT:
            headers["content-length"] = str(len(answer.body))
        phrase = HTTPStatus(answer.status).phrase
        body = b"" if self.method == "HEAD" else answer.body
        async with asyncio.timeout(STEP_SECONDS + len(body) / SLOWEST):
            await self._write(
                h11.Response(status_code=answer.status, headers=[*headers.items()], reason=phrase)
            )
            for start in range(0, len(body), PIECE):
                await self._write(h11.Data(data=body[start : start + PIECE]))
            await self._write(h11.EndOfMessage())

    async def close(self) -> None:
        """Close the connection; a client that still sends has seconds to read the answer."""
        with contextlib.suppress(OSError):
            if self.answer and not self._is_read:
                self._writer.write_eof()
                async with asyncio.timeout(LINGER_SECONDS):
                    await self._wait_until_left()
        self._writer.close()

    async def _wait_until_left(self) -> None:
        """Return when the client has left; drop what it still sends."""
        with contextlib.suppress(OSError):
            while await self._reader.read(PIECE):
                pass

    async def _next_event(self) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(PIECE))
        except h11.RemoteProtocolError as error:
            if self._reader.at_eof():
                raise ConnectionResetError from error
            sentence = f"this is not HTTP/1.1: {error}."
            raise RefusedError(error.error_status_hint, sentence) from error
        except OSError as error:
            raise ConnectionResetError from error
        return event

    async def _write(self, event: h11.Event) -> None:
        self._writer.write(self._http.send(event) or b"")
        async with asyncio.timeout(STEP_SECONDS):
            await self._writer.drain()

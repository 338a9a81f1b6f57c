"""The server: it listens where it is told, and ends without a word."""

import contextlib
import errno
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import uvicorn
from fastapi import FastAPI

from class_jax.errors import UserError

PATIENCE_SECONDS = 1  # at the end, with pages that are still open
# A browser that obeys this fetches nothing from elsewhere, whatever a page may say.
POLICY = (
    b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; "
    b"frame-ancestors 'self'"
)

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Callable[..., Any], Callable[..., Any]], Awaitable[None]]


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
    except OSError as error:
        raise UserError(_explain(error, host, port)) from error


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: choose another, or end the program that has it."
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine: 127.0.0.1 is for this machine alone."
    return f"port {port} of {host} cannot be used ({error.strerror}): choose one above 1023."


def run_server(app: FastAPI, listener: socket.socket) -> None:
    """Answer requests until Ctrl-C or a signal to end."""
    config = uvicorn.Config(
        _Confined(app),
        log_level="error",
        timeout_graceful_shutdown=PATIENCE_SECONDS,
        lifespan="on",
    )
    with _leave_on_signals(), contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


class _Confined:
    """An application whose answers forbid the browser to fetch anything from elsewhere."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(
        self, scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        """Answer a request."""

        async def send_with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"content-security-policy", POLICY),
                ]
            await send(message)

        await self._app(scope, receive, send_with_policy)


@contextlib.contextmanager
def _leave_on_signals() -> Iterator[None]:
    """Leave through all `finally` blocks at SIGTERM and SIGHUP, so that uploads are deleted."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), leave) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)

"""Who may ask: the names under which the server is reached, and the pages that may use it.

Any web page can make its visitor's browser send requests to 127.0.0.1. Its name is then in `Origin`
or, with DNS rebinding, in `Host`.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import NamedTuple, Self

from class_jax.errors import UserError
from class_jax.serving.connection import RefusedError, Request

OWN = frozenset({"localhost", "127.0.0.1", "::1"})  # names that only this machine reaches
NAME = r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?"
HOST, ORIGIN = re.compile(NAME), re.compile(f"https?://{NAME}")  # in lower case
ANYBODY = "*"


class Access(NamedTuple):
    """Names of the server and origins of others' pages that are let in."""

    names: frozenset[str]
    takes_addresses: bool  # any IP address is a name: no other page can have it
    origins: frozenset[str]

    @classmethod
    def make(cls, address: str, names: Iterable[str], origins: Iterable[str]) -> Self:
        """Return the rules of a server.

        Args:
          address: where it listens.
          names: further names of the server.
          origins: `https://example.org`, or "*", of other pages that may use it.

        Raises:
          UserError: an origin is malformed.
        """
        for origin in origins:
            if origin != ANYBODY and not ORIGIN.fullmatch(origin.lower()):
                raise UserError(
                    f"{origin} is not an origin: expected as in https://example.org:8000."
                )
        known = {name.strip("[]").lower() for name in names} | OWN
        is_own = ipaddress.ip_address(address).is_loopback
        if not is_own:
            known |= {socket.gethostname().lower()}
        return cls(frozenset(known), not is_own, frozenset(map(str.lower, origins)))

    def check(self, request: Request) -> None:
        """Raise RefusedError unless the request names this server, from a page that may use it."""
        host = request.headers.get("host", "").lower()
        if not self._is_name(host):
            named = host[:100] or "no host"
            raise RefusedError(
                421, f"the request names {named}, not this server: its operator can add that name."
            )
        origin = request.headers.get("origin", "").lower()
        if origin not in ("", f"http://{host}", f"https://{host}") and not self._lets_in(origin):
            page = origin[:100]
            raise RefusedError(
                403, f"pages of {page} may not use this server: its operator can allow them."
            )

    def origin_of(self, request: Request) -> str | None:
        """Return the origin of another page that is let in; None for the server's own."""
        origin = request.headers.get("origin", "")
        return origin if origin and self._lets_in(origin.lower()) else None

    def _lets_in(self, origin: str) -> bool:
        return origin in self.origins or ANYBODY in self.origins

    def _is_name(self, host: str) -> bool:
        if not (found := HOST.fullmatch(host)):
            return False
        name = found[1].strip("[]")
        return name in self.names or (self.takes_addresses and is_address(name))


def is_address(name: str) -> bool:
    """Return whether a name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

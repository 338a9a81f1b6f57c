"""Who may ask: the names under which the server is reached, and the pages that may use it.

Any web page can make its visitor's browser send requests to 127.0.0.1. Its name is then in `Origin`
or, with DNS rebinding, in `Host`.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping

from class_jax.errors import UserError
from class_jax.serving.visit import RefusedError

OWN = frozenset({"localhost", "127.0.0.1", "::1"})  # names that only this machine reaches
NAME = r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?"
HOST, ORIGIN = re.compile(NAME), re.compile(f"https?://{NAME}")  # in lower case
ANYBODY = "*"


class Access:
    """Names of the server and origins of others' pages that are let in."""

    def __init__(self, address: str, names: Iterable[str], origins: Iterable[str]) -> None:
        """Set up the rules of a server.

        Args:
          address: where it listens.
          names: further names of the server.
          origins: `https://example.org`, or "*", of other pages that may use it.

        Raises:
          UserError: an origin is malformed.
        """
        self._origins = frozenset(map(str.lower, origins))
        for origin in self._origins - {ANYBODY}:
            if not ORIGIN.fullmatch(origin):
                raise UserError(
                    f"{origin} is not an origin: expected as in https://example.org:8000."
                )
        self._names = {name.strip("[]").lower() for name in names} | OWN
        # Any IP address is then a name: no other page can have it.
        self._takes_addresses = not ipaddress.ip_address(address).is_loopback
        if self._takes_addresses:
            self._names.add(socket.gethostname().lower())

    def check(self, headers: Mapping[str, str]) -> None:
        """Raise RefusedError unless a request names this server, from a page that may use it."""
        host, origin = headers.get("host", "").lower(), headers.get("origin", "").lower()
        found = HOST.fullmatch(host)
        name = found[1].strip("[]") if found else ""
        if name not in self._names and not (self._takes_addresses and is_address(name)):
            named = host[:100] or "no host"
            raise RefusedError(
                421, f"the request names {named}, not this server: its operator can add that name."
            )
        if origin not in ("", f"http://{host}", f"https://{host}") and not self._lets_in(origin):
            page = origin[:100]
            raise RefusedError(
                403, f"pages of {page} may not use this server: its operator can allow them."
            )

    def origin_of(self, headers: Mapping[str, str]) -> str | None:
        """Return the origin of another page that is let in; None for the server's own."""
        origin = headers.get("origin", "")
        return origin if origin and self._lets_in(origin.lower()) else None

    def _lets_in(self, origin: str) -> bool:
        return not self._origins.isdisjoint({origin, ANYBODY})


def is_address(name: str) -> bool:
    """Return whether a name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

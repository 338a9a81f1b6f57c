"""Under which names a server that others reach answers, and whom it lets in."""

import socket

import pytest

from class_jax.errors import UserError
from class_jax.serving.access import Access
from class_jax.serving.visit import RefusedError


def status(access, **headers):
    """The status that refuses a request of these headers; None if it is answered."""
    try:
        access.check(headers)
    except RefusedError as error:
        return error.status
    return None


def test_a_server_for_others_answers_to_addresses_and_its_names_alone():
    access = Access("0.0.0.0", ["0.0.0.0", "Demo.example"], [])
    for host in ("10.1.2.3:7860", "[2001:db8::1]", "demo.example", socket.gethostname()):
        assert status(access, host=host) is None
    for host in ("evil.example", "demo.example.evil.example", "", "[::1", "10.1.2.3.evil"):
        assert status(access, host=host) == 421


def test_pages_of_others_are_let_in_by_their_whole_origin():
    access = Access("127.0.0.1", [], ["https://friend.example"])
    assert status(access, host="localhost", origin="https://friend.example") is None
    assert status(access, host="localhost:80", origin="http://localhost:80") is None
    for origin in ("http://friend.example", "https://friend.example:8", "http://localhost", "null"):
        assert status(access, host="localhost:80", origin=origin) == 403
    anybody = Access("127.0.0.1", [], ["*"])
    assert status(anybody, host="localhost", origin="http://evil.example") is None
    assert status(anybody, host="evil.example") == 421


@pytest.mark.parametrize("origin", ["friend.example", "https://friend.example/page", "ftp://a", ""])
def test_what_is_no_origin_is_refused(origin):
    with pytest.raises(UserError, match="is not an origin"):
        Access("127.0.0.1", [], [origin])

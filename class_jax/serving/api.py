"""The HTTP API: the page and its parts by GET, an image made of the body of a POST."""

import base64
import functools
import hashlib
import json
import re
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from class_jax.errors import UserError
from class_jax.pictures import settings as pictures
from class_jax.pictures.outputs import OUTPUTS, Output
from class_jax.serving.access import Access
from class_jax.serving.bodies import unpack
from class_jax.serving.service import FORMATS, MOST_PIXELS, Service
from class_jax.serving.visit import MOST_BYTES, MOST_FORM, TOO_LARGE, Answer, RefusedError, Visit

FOLDER = Path(__file__).parent  # of the page and the examples
# Browsers then run only the page's own script, and connect only to this server.
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
SAFE = {  # default headers of every answer
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "vary": "Origin",
}
SHARED = {  # further headers for pages of others that are allowed
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "content-type",
    "access-control-expose-headers": "x-salient, retry-after",
    "cross-origin-resource-policy": "cross-origin",
}


class Api:
    """Answers requests: those with a body in two parts, `begin` and `submit`."""

    def __init__(self, service: Service, *, access: Access, root_path: str = "") -> None:
        """Set up the answers.

        Args:
          service: makes the images.
          access: who may ask.
          root_path: begins all paths, behind a proxy that passes it on: "/saliency".
        """
        self._service, self._access, self._root = service, access, root_path
        self._examples = load_examples()
        page = _page_answer((FOLDER / "page.html").read_text(encoding="utf-8"))
        self._pages = {
            "": lambda: Answer(308, headers={"location": f"{root_path}/"}),
            "/": lambda: page,
            "/api": self._describe,
            "/health": self._tell_health,
        }
        for name, content in self._examples.items():
            answer = Answer(200, content, {"content-type": "image/jpeg"})
            self._pages[f"/examples/{name}"] = functools.partial(Answer, *answer)

    def begin(self, visit: Visit) -> Answer | None:
        """Answer a request by its first lines; None if its body is wanted.

        Raises:
          RefusedError: it is not answered.
          UserError: a setting in its address is wrong.
        """
        self._access.check(visit.headers)
        path = self._strip(visit.path)
        kind = path.removeprefix("/api/")
        if kind not in OUTPUTS and path not in self._pages:
            kinds = ", ".join(OUTPUTS)
            raise RefusedError(404, f"there is nothing at {path[:100]}: /api/ has {kinds}.")
        methods = ("OPTIONS", "POST") if kind in OUTPUTS else ("GET", "HEAD", "OPTIONS")
        if visit.method == "OPTIONS":
            return Answer(204, headers={"allow": ", ".join(methods)})
        if visit.method not in methods:
            sentence = f"{path} takes {' and '.join(methods)}, not {visit.method[:20]}."
            return _json_answer(405, {"error": sentence}, allow=", ".join(methods))
        if kind not in OUTPUTS:
            return self._pages[path]()
        parse_output(kind, parse_qsl(visit.query, keep_blank_values=True))
        if "content-encoding" in visit.headers:
            raise RefusedError(415, "the body is compressed: send the image's file as it is.")
        if visit.length > MOST_FORM:
            raise RefusedError(413, TOO_LARGE)
        return None

    def submit(self, visit: Visit, body: bytes) -> "Future[Answer]":
        """Put the image in a body in line.

        Raises:
          RefusedError: the body is not an image, or too many images wait.
          UserError: a setting is wrong.
        """
        content, fields = unpack(visit.headers.get("content-type", ""), body)
        kind = self._strip(visit.path).removeprefix("/api/")
        output, suffix = parse_output(
            kind, [*parse_qsl(visit.query, keep_blank_values=True), *fields]
        )
        return self._service.submit(content, output, suffix)

    def explain(self, error: Exception) -> Answer:
        """Return the answer to a request that failed; print faults of the server."""
        if isinstance(error, TimeoutError):
            error = RefusedError(408, "the request came too slowly.")
        if isinstance(error, UserError):
            error = RefusedError(422, str(error))
        if not isinstance(error, RefusedError):
            traceback.print_exception(error)
            error = RefusedError(500, "this server has failed: its log says how.")
        return _json_answer(error.status, {"error": str(error)})

    def complete(self, visit: Visit, answer: Answer) -> Answer:
        """Add the headers that all answers have, and those for pages of others that are let in."""
        headers = {**SAFE, **answer.headers}
        if origin := self._access.origin_of(visit.headers):
            headers |= {**SHARED, "access-control-allow-origin": origin}
        return answer._replace(headers=headers)

    def _strip(self, path: str) -> str:
        return path.removeprefix(self._root) if f"{path}/".startswith(f"{self._root}/") else path

    def _tell_health(self) -> Answer:
        status, word = (200, "ok") if self._service.is_ready else (503, "starting")
        return _json_answer(status, {"status": word})

    def _describe(self) -> Answer:
        about = {
            "kinds": {name: row.settings for name, row in OUTPUTS.items()},
            "formats": sorted(set(FORMATS) - {"jpg"}),
            "examples": list(self._examples),
            "limits": {"bytes": MOST_BYTES, "pixels": MOST_PIXELS},
        }
        return _json_answer(200, about)


def load_examples() -> dict[str, bytes]:
    """Return the photographs of the package to pick from, by name."""
    return {file.name: file.read_bytes() for file in sorted((FOLDER / "examples").glob("*.jpg"))}


def parse_output(kind: str, settings: Sequence[tuple[str, str]]) -> tuple[Output, str]:
    """Return the output that settings ask for, and its suffix; UserError if they are wrong."""
    known, given = {*OUTPUTS[kind].settings, "format"}, dict(settings)
    for name in given:
        if name not in known:
            raise UserError(f"{name[:100]}: /api/{kind} takes {', '.join(sorted(known))}.")
    if len(given) < len(settings):
        raise UserError("a setting is given twice.")
    suffix = given.pop("format", "png")
    if suffix not in FORMATS:
        raise UserError(f"format={suffix[:100]}: expected {', '.join(FORMATS)}.")
    # A path would let anybody read images of this machine.
    return pictures.parse_output(kind, given, reads_files=False), suffix


def _page_answer(page: str) -> Answer:
    """Return the answer that holds the page, whose script and style alone are allowed."""
    hashes = {}
    for name in ("script", "style"):
        (part,) = re.findall(rf"<{name}>(.*?)</{name}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        hashes[name] = f"'sha256-{digest}'"
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": POLICY.format(**hashes),
    }
    return Answer(200, page.encode(), headers)


def _json_answer(status: int, content: Mapping[str, Any], **headers: str) -> Answer:
    """Return an answer in JSON; one that there is no room now says when to come again."""
    headers |= {"content-type": "application/json"} | (
        {"retry-after": "3"} if status == 503 else {}
    )
    return Answer(status, json.dumps(content).encode() + b"\n", headers)

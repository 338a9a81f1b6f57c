"""The HTTP API: the page and its parts by GET, an image made of the body of a POST."""

import base64
import hashlib
import json
import re
import traceback
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from class_jax.errors import UserError
from class_jax.pictures import settings as pictures
from class_jax.pictures.outputs import ATTENTION, OUTPUTS, Output
from class_jax.serving import service as limits
from class_jax.serving.access import Access
from class_jax.serving.bodies import unpack
from class_jax.serving.connection import MOST_BYTES, Answer, BusyError, RefusedError, Request
from class_jax.serving.service import FORMATS, Service

FOLDER = Path(__file__).parent  # of the page and the examples
MOST_SETTINGS = 20
READ = ("GET", "HEAD", "OPTIONS")
MAKE = ("OPTIONS", "POST")
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
    "x-frame-options": "DENY",
    "vary": "Origin",
}
SHARED = {  # headers of answers to pages of others that are let in
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
        self._files = {"/": _page_answer((FOLDER / "page.html").read_text(encoding="utf-8"))}
        for name, content in self._examples.items():
            self._files[f"/examples/{name}"] = Answer(200, content, {"content-type": "image/jpeg"})

    def begin(self, request: Request) -> Answer | None:
        """Answer a request by its first lines; None if its body is wanted.

        Raises:
          RefusedError: it is not answered.
          UserError: a setting in its address is wrong.
        """
        self._access.check(request)
        if not request.path.startswith("/"):
            raise RefusedError(400, "expected a path that begins with /.")
        path = self._strip(request.path)
        if path == "":
            return Answer(308, headers={"location": f"{self._root}/"})
        kind = path.removeprefix("/api/") if path.startswith("/api/") else ""
        if kind not in OUTPUTS and path not in (*self._files, "/api", "/health"):
            known = f": expected one of {', '.join(OUTPUTS)}" if kind else ""
            raise RefusedError(404, f"there is nothing at {path[:100]}{known}.")
        methods = MAKE if kind else READ
        allow = {"allow": ", ".join(methods)}
        if request.method == "OPTIONS":
            return Answer(204, headers=allow)
        if request.method not in methods:
            sentence = f"{path} takes {' and '.join(methods)}, not {request.method[:20]}."
            raise RefusedError(405, sentence, allow)
        if kind:
            self._check_picture(request, kind)
            return None
        if path in self._files:
            return self._files[path]
        return self._describe() if path == "/api" else self._tell_health()

    def submit(self, request: Request, body: bytes) -> "Future[Answer]":
        """Put the image in a body in line.

        Raises:
          RefusedError: the body is not an image, or too many images wait.
          UserError: a setting is wrong.
        """
        content, fields = unpack(request.headers.get("content-type", ""), body)
        kind = self._strip(request.path).removeprefix("/api/")
        output, suffix = parse_output(kind, [*_parse_query(request.query), *fields])
        return self._service.submit(content, output, suffix)

    def explain(self, error: Exception) -> Answer:
        """Return the answer to a request that failed; print faults of the server."""
        if isinstance(error, UserError):
            error = RefusedError(422, str(error))
        if not isinstance(error, RefusedError):
            traceback.print_exception(error)
            error = RefusedError(500, "this server has failed: its log says how.")
        return _json_answer(error.status, {"error": str(error)}, error.headers)

    def complete(self, request: Request | None, answer: Answer) -> Answer:
        """Add the headers that all answers have, and those for pages of others that are let in."""
        headers = {**SAFE, **answer.headers}
        if request and (origin := self._access.origin_of(request)):
            headers |= {**SHARED, "access-control-allow-origin": origin}
        return answer._replace(headers=headers)

    def _strip(self, path: str) -> str:
        if path == self._root or path.startswith(f"{self._root}/"):
            return path.removeprefix(self._root)
        return path

    def _check_picture(self, request: Request, kind: str) -> None:
        parse_output(kind, _parse_query(request.query))
        if "content-encoding" in request.headers:
            raise RefusedError(415, "the body is compressed: send the image's file as it is.")
        request.check_length()
        if kind == ATTENTION and not self._service.predictor.engine.can_attend:
            raise RefusedError(
                422,
                "attention is not shown: an .onnx file holds the map alone. Serve the workdir or "
                "the exported folder that it is of.",
            )

    def _tell_health(self) -> Answer:
        if self._service.is_ready:
            return _json_answer(200, {"status": "ok"})
        return _json_answer(503, {"status": "starting"}, BusyError("").headers)

    def _describe(self) -> Answer:
        attends = self._service.predictor.engine.can_attend
        kinds = {
            kind: row.settings for kind, row in OUTPUTS.items() if kind != ATTENTION or attends
        }
        about = {
            "kinds": kinds,
            "formats": sorted(set(FORMATS) - {"jpg"}),
            "examples": list(self._examples),
            "limits": {
                "bytes": MOST_BYTES,
                "pixels": limits.MOST_PIXELS,
                "side": limits.MOST_SIDE,
                "ratio": limits.MOST_RATIO,
            },
        }
        return _json_answer(200, about)


def load_examples() -> dict[str, bytes]:
    """Return the photographs of the package to pick from, by name."""
    return {file.name: file.read_bytes() for file in sorted((FOLDER / "examples").glob("*.jpg"))}


def parse_output(kind: str, settings: Iterable[tuple[str, str]]) -> tuple[Output, str]:
    """Return the output that settings ask for, and its suffix; UserError if they are wrong."""
    known, given = {*OUTPUTS[kind].settings, "format"}, dict[str, str]()
    for name, value in settings:
        if name not in known:
            raise UserError(f"{name[:100]}: /api/{kind} takes {', '.join(sorted(known))}.")
        if name in given:
            raise UserError(f"{name} is given twice.")
        given[name] = value
    suffix = given.pop("format", "png")
    if suffix not in FORMATS:
        raise UserError(f"format={suffix[:100]}: expected {', '.join(FORMATS)}.")
    # A path would let anybody read images of this machine.
    return pictures.parse_output(kind, given, reads_files=False), suffix


def _parse_query(query: str) -> list[tuple[str, str]]:
    """Return the settings in an address."""
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_SETTINGS)
    except ValueError as error:
        raise UserError(f"the address holds more than {MOST_SETTINGS} settings.") from error


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


def _json_answer(
    status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Answer:
    body = json.dumps(content).encode() + b"\n"
    return Answer(status, body, {"content-type": "application/json", **(headers or {})})

"""The HTTP API: the page and its parts by GET, a picture made of the body of a POST."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any
from urllib.parse import parse_qsl

from class_jax.errors import UserError
from class_jax.pictures import settings as pictures
from class_jax.pictures.outputs import ATTENTION, OUTPUTS, Output
from class_jax.pictures.predictor import Predictor
from class_jax.serving import service as limits
from class_jax.serving.access import Access
from class_jax.serving.bodies import unpack
from class_jax.serving.connection import Answer, Headers, RefusedError, Request, describe_limit
from class_jax.serving.service import FORMATS, BusyError, Made, Service, check_kind, has_attention

MOST_BYTES = 64 * 2**20  # of one picture's file
MOST_FORM = MOST_BYTES + 2**16
MOST_SETTINGS = 20
READ = ("GET", "HEAD", "OPTIONS")
MAKE = ("OPTIONS", "POST")
RETRY = (("retry-after", "3"),)
SAFE: Headers = (  # of every answer
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("cross-origin-opener-policy", "same-origin"),
    ("x-frame-options", "DENY"),
)
# A browser that obeys this runs the page's own script alone, and asks nobody but this server.
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
NOTHING = "default-src 'none'; frame-ancestors 'none'"


class Api:
    """Answers requests; what takes a body is answered in two parts."""

    def __init__(
        self,
        service: Service,
        *,
        access: Access,
        page: str,
        examples: Mapping[str, bytes],
        root_path: str = "",
    ) -> None:
        """Set up the answers.

        Args:
          service: makes the pictures.
          access: who may ask.
          page: HTML with one script and one style.
          examples: JPEG or PNG files of pictures to pick from, by their names.
          root_path: begins all paths, behind a proxy that passes it on: "/saliency".
        """
        self._service, self._access, self._root = service, access, root_path
        self._files: dict[str, Answer] = {"/": _page_answer(page)}
        for name, content in examples.items():
            kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
            self._files[f"/examples/{name}"] = Answer(200, content, (("content-type", kind),))
        self._examples = sorted(examples)

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
            return Answer(308, b"", (("location", f"{self._root}/"),))
        kind = path.removeprefix("/api/") if path.startswith("/api/") else None
        if not (path in self._files or path in ("/api", "/health") or kind in OUTPUTS):
            known = f": expected one of {', '.join(OUTPUTS)}" if kind else ""
            raise RefusedError(404, f"there is nothing at {path[:100]}{known}.")
        methods = MAKE if kind else READ
        if request.method == "OPTIONS":
            return Answer(204, b"", (("allow", ", ".join(methods)),))
        if request.method not in methods:
            raise RefusedError(
                405,
                f"{path} takes {' and '.join(methods)}, not {request.method[:20]}.",
                (("allow", ", ".join(methods)),),
            )
        if kind:
            self._check_picture(request, kind)
            return None
        if path in self._files:
            return self._files[path]
        return self._describe() if path == "/api" else self._tell_health()

    def submit(self, request: Request, body: bytes) -> "Future[Made]":
        """Put the picture in a body in line.

        Raises:
          RefusedError: the body is no picture.
          UserError: a setting is wrong, or too many pictures wait.
        """
        content, fields = unpack(request.headers.get("content-type", ""), body)
        kind = self._strip(request.path).removeprefix("/api/")
        output, suffix = parse_output(kind, _merge(_parse_query(request.query), fields))
        return self._service.submit(content, output, suffix)

    def finish(self, made: Made) -> Answer:
        """Return the answer that holds a picture."""
        headers = (
            ("content-type", f"image/{made.kind.lower()}"),
            ("x-salient", "some" if made.is_salient else "none"),
        )
        return Answer(200, made.content, headers)

    def explain(self, error: BaseException) -> Answer:
        """Return the answer to a request that failed."""
        status, headers = 500, ()  # type: tuple[int, Headers]
        sentence = "this server has failed: its log says how."
        if isinstance(error, RefusedError):
            status, headers, sentence = error.status, error.headers, str(error)
        elif isinstance(error, UserError):
            status, sentence = 503 if isinstance(error, BusyError) else 422, str(error)
        if status == 503:
            headers += RETRY
        return _json_answer(status, {"error": sentence}, headers)

    def complete(self, request: Request | None, answer: Answer) -> Answer:
        """Add the headers that all answers have, and those for pages of others that are let in."""
        names = {name for name, _ in answer.headers}
        headers = (*answer.headers, *SAFE)
        if "content-security-policy" not in names:
            headers += (("content-security-policy", NOTHING),)
        if request and (origin := self._access.origin_of(request)):
            headers += (
                ("access-control-allow-origin", origin),
                ("access-control-allow-methods", "GET, POST"),
                ("access-control-allow-headers", "content-type"),
                ("access-control-expose-headers", "x-salient, retry-after"),
                ("cross-origin-resource-policy", "cross-origin"),
            )
        else:
            headers += (("cross-origin-resource-policy", "same-origin"),)
        return answer._replace(headers=(*headers, ("vary", "Origin")))

    def _strip(self, path: str) -> str:
        if path == self._root or path.startswith(f"{self._root}/"):
            return path.removeprefix(self._root)
        return path

    def _check_picture(self, request: Request, kind: str) -> None:
        output, _ = parse_output(kind, _parse_query(request.query))
        if "content-encoding" in request.headers:
            raise RefusedError(415, "the body is compressed: send the picture's file as it is.")
        if (request.length or 0) > MOST_FORM:
            raise RefusedError(413, describe_limit(MOST_BYTES))
        check_kind(self._loaded(), output)

    def _loaded(self) -> Predictor:
        if not self._service.is_ready:
            raise BusyError("the network is being loaded: try again in a few seconds.")
        return self._service.loaded.result()

    def _tell_health(self) -> Answer:
        if self._service.is_ready:
            return _json_answer(200, {"status": "ok"})
        return _json_answer(503, {"status": "starting"}, RETRY)

    def _describe(self) -> Answer:
        attends = has_attention(self._loaded())
        kinds = {
            kind: row.settings for kind, row in OUTPUTS.items() if kind != ATTENTION or attends
        }
        about = {
            "kinds": kinds,
            "formats": sorted(set(FORMATS) - {"jpg"}),
            "examples": self._examples,
            "limits": {
                "bytes": MOST_BYTES,
                "pixels": limits.MOST_PIXELS,
                "side": limits.MOST_SIDE,
                "ratio": limits.MOST_RATIO,
            },
        }
        return _json_answer(200, about)


def parse_output(kind: str, settings: Mapping[str, str]) -> tuple[Output, str]:
    """Return the output that settings ask for, and its suffix; UserError if they are wrong."""
    known = {*OUTPUTS[kind].settings, "format"}
    if unknown := sorted(settings.keys() - known):
        raise UserError(
            f"{', '.join(unknown)[:100]}: /api/{kind} takes {', '.join(sorted(known))}."
        )
    suffix = settings.get("format", "png")
    if suffix not in FORMATS:
        raise UserError(f"format={suffix[:100]}: expected {', '.join(FORMATS)}.")
    given = {name: value for name, value in settings.items() if name != "format"}
    # A path would let anybody read pictures of this machine.
    return pictures.parse_output(kind, given, reads_files=False), suffix


def _parse_query(query: str) -> dict[str, str]:
    """Return the settings in an address."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_SETTINGS)
    except ValueError as error:
        raise UserError(f"the address holds more than {MOST_SETTINGS} settings.") from error
    settings: dict[str, str] = {}
    for name, value in pairs:
        settings = _merge(settings, {name: value})
    return settings


def _merge(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of both; UserError if one is given twice."""
    if twice := one.keys() & other.keys():
        raise UserError(f"{', '.join(sorted(twice))[:100]} is given twice.")
    return {**one, **other}


def _page_answer(page: str) -> Answer:
    """Return the answer that holds the page, whose script and style alone are allowed."""
    hashes = {}
    for name in ("script", "style"):
        (part,) = re.findall(rf"<{name}>(.*?)</{name}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        hashes[name] = f"'sha256-{digest}'"
    headers = (
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", POLICY.format(**hashes)),
    )
    return Answer(200, page.encode(), headers)


def _json_answer(status: int, content: Mapping[str, Any], headers: Headers = ()) -> Answer:
    body = json.dumps(content).encode() + b"\n"
    return Answer(status, body, (("content-type", "application/json"), *headers))

"""The HTTP API: a picture in the body of a POST, a PNG file in the answer."""

import asyncio

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from class_jax.errors import UserError
from class_jax.pictures.outputs import (
    BLUR,
    KINDS,
    SETTINGS,
    Background,
    Output,
    parse_colour,
    parse_point,
    parse_threshold,
)
from class_jax.serving.service import MOST_BYTES, BusyError, Service


class TooLargeError(UserError):
    """A file has more bytes than are accepted."""


def add_api(app: FastAPI, service: Service) -> None:
    """Add `POST /api/KIND` to an application; errors are JSON, {"error": "a sentence"}."""

    @app.post("/api/{kind}")
    async def make(kind: str, request: Request) -> Response:
        try:
            output = parse_output(kind, dict(request.query_params))
            content = await _read_body(request)
            if not content:
                raise UserError("the request holds no picture: send its file as the body.")
            (picture,) = await asyncio.wrap_future(service.make_if_free(content, output))
        except UserError as error:
            return JSONResponse({"error": str(error)}, status_code=_status_of(error))
        return Response(picture, media_type="image/png")


def parse_output(kind: str, settings: dict[str, str]) -> Output:
    """Return the output that an address asks for; UserError if it is none."""
    if kind not in KINDS:
        raise UserError(f"/api/{kind}: expected one of {', '.join(KINDS)}.")
    if unknown := sorted(settings.keys() - set(SETTINGS[kind])):
        known = ", ".join(sorted(SETTINGS[kind]))
        raise UserError(f"{', '.join(unknown)}: /api/{kind} takes {known}.")
    return Output(
        kind,
        _parse_background(settings.get("background")),
        parse_threshold(settings.get("threshold"), "threshold"),
        _parse_switch(settings.get("crop", "false")),
        parse_point(settings.get("point"), "point"),
    )


def _parse_background(text: str | None) -> Background | None:
    """Return a background; a path would let anybody read pictures of this machine."""
    if text is None or text == BLUR:
        return text
    if (colour := parse_colour(text)) is None:
        raise UserError(
            f'background={text}: expected a colour such as "white" or "#20a0ff" (%2320a0ff in an '
            f'address), or "{BLUR}".'
        )
    return colour


def _parse_switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise UserError(f"crop={text}: expected true or false.")
    return text == "true"


async def _read_body(request: Request) -> bytes:
    """Return the body of a request; TooLargeError as soon as it is too long."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MOST_BYTES:
            raise TooLargeError(f"the file is too large: at most {MOST_BYTES >> 20} MB are taken.")
    return bytes(content)


def _status_of(error: UserError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, TooLargeError):
        return 413
    return 503 if isinstance(error, BusyError) else 422

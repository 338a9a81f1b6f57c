"""The settings of outputs, checked in one way for the command line, Python and the API."""

import contextlib
import functools
import hashlib
import math
import numbers
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor

from class_jax.data.folders import FILMS, file_fingerprint
from class_jax.data.images import Original, load_original
from class_jax.errors import UserError
from class_jax.pictures.outputs import MAP, OUTPUTS, Background, Output, check_array, flatten
from class_jax.text import quote

BLUR = "blur"


def parse_output(
    kind: str, settings: Mapping[str, Any], *, prefix: str = "", reads_files: bool = True
) -> Output:
    """Return the output that a kind and its settings describe; None means not given.

    Args:
      kind: a key of OUTPUTS.
      settings: those that `Kind.takes`, as text or as values of Python.
      prefix: of their names in messages.
      reads_files: allow a file path as background; False for untrusted input.

    Raises:
      UserError: a setting does not belong to this kind, or its value is not allowed.
    """
    if kind not in OUTPUTS:
        raise UserError(f"{prefix}format={kind}: expected one of {', '.join(OUTPUTS)}.")
    given = {name: value for name, value in settings.items() if value is not None}
    for name, value in given.items():
        if not OUTPUTS[kind].takes(name) and value is not False:
            kinds = [other for other, row in OUTPUTS.items() if row.takes(name)]
            where = f"{prefix}format " if prefix else ""
            raise UserError(f"{prefix}{name} is for {where}{' or '.join(kinds)}, not for {kind}.")
    parsers: dict[str, Callable[[Any, str], Any]] = {
        "background": functools.partial(parse_background, reads_files=reads_files),
        "threshold": _parse_threshold,
        "crop": _parse_switch,
        "point": _parse_point,
        "smooth": functools.partial(_parse_threshold, takes_one=False),
    }
    values = {name: parsers[name](value, f"{prefix}{name}") for name, value in given.items()}
    output = Output(kind, **values)
    return output._replace(text=_describe(output))


def _parse_threshold(value: Any, name: str, *, takes_one: bool = True) -> float:
    """Return a level above 0, up to or below 1; UserError, which says `name`, for anything else."""
    level = math.nan
    if isinstance(value, (str, numbers.Real)) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            level = float(value)
    if not 0 < level <= 1 or (level == 1 and not takes_one):
        most = "up to 1" if takes_one else "below 1"
        raise UserError(f"{name}={quote(value)}: expected a level above 0, {most}.")
    return level


def _parse_point(value: Any, name: str) -> tuple[int, int]:
    """Return x and y of "X,Y" or of two numbers; UserError, which says `name`, for others."""
    try:
        x, y = (int(part) for part in (value.split(",") if isinstance(value, str) else value))
    except (TypeError, ValueError, OverflowError):
        x = y = -1
    if min(x, y) < 0:
        raise UserError(f"{name}={quote(value)}: expected X,Y in pixels, as in 120,80.")
    return x, y


def _parse_switch(value: Any, name: str) -> bool:
    switches = {"true": True, "false": False, True: True, False: False}
    if not isinstance(value, (str, bool, np.bool_)) or value not in switches:
        raise UserError(f"{name}={quote(value)}: expected true or false.")
    return switches[value]


def parse_background(
    value: Any, name: str = "background", *, reads_files: bool = True
) -> Background:
    """Return "blur", a colour, an image or the path of a video; UserError for anything else.

    Args:
      value: "blur"; a CSS name, #RRGGBB or three numbers to 255; an array, a PIL image or a path.
      name: of the setting.
      reads_files: take a path.
    """
    if isinstance(value, (np.ndarray, Image.Image)):
        return _take_image(value, name)
    if isinstance(value, (tuple, list)):
        if len(value) == 3 and all(_is_level(item) for item in value):
            return int(value[0]), int(value[1]), int(value[2])
    elif isinstance(value, str) and value == BLUR:
        return value
    elif isinstance(value, str) and (colour := _parse_colour(value)):
        if len(colour) == 3:
            return colour
        opaque = value[:7] if value.startswith("#") and len(value) == 9 else "#20a0ff"
        raise UserError(f"{name}={quote(value)}: expected a colour without alpha, as in {opaque}.")
    elif isinstance(value, (str, os.PathLike)) and reads_files:
        path = Path(value).expanduser()
        if path.is_file():
            is_video = path.suffix.lower() in FILMS
            return path.absolute() if is_video else flatten(load_original(path))
    or_picture = ', the path of an image, or "blur"' if reads_files else ', or "blur"'
    raise UserError(
        f"{name}={quote(value)} is not a background: expected a colour such as "
        f'"white" or "#20a0ff"{or_picture}.'
    )


def _parse_colour(text: str) -> tuple[int, ...] | None:
    """Return the red, green and blue, perhaps alpha, of a colour's name or #RRGGBB; else None."""
    try:
        colour = ImageColor.getrgb(text)
    except ValueError:
        return None
    return colour if max(colour) <= 255 else None  # Pillow takes rgb(999,0,0)


def _is_level(value: Any) -> bool:
    is_number = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return is_number and 0 <= int(value) <= 255


def _take_image(value: np.ndarray | Image.Image, name: str) -> Original:
    if isinstance(value, Image.Image):
        return flatten(load_original(value))
    try:
        return Original(check_array(value), {})
    except ValueError as error:
        raise UserError(f"{name}: {error}.") from error


def _describe(output: Output) -> str:
    """Return a text that differs if the settings do; "" for plain maps."""
    if output == Output(MAP):
        return ""
    background = output.background
    if isinstance(background, Original):
        profile = background.metadata.get("icc_profile") or b""
        content = np.ascontiguousarray(background.pixels).tobytes() + profile
        background = f"{background.pixels.shape} {hashlib.sha256(content).hexdigest()}"
    elif isinstance(background, Path):
        background = file_fingerprint(background)
    settings = output._replace(background=None)._asdict()  # a background may be an array
    del settings["text"]
    return repr((background, settings))

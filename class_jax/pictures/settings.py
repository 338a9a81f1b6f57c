"""The settings of outputs, checked in one way for the command line, Python and the API."""

import contextlib
import functools
import math
import numbers
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor

from class_jax.data.folders import is_video
from class_jax.data.images import Original, load_original
from class_jax.errors import UserError
from class_jax.pictures.outputs import OUTPUTS, Background, Output, check_array, flatten
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
    return Output(kind, **values)


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
    if isinstance(value, (str, bool, np.bool_)) and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise UserError(f"{name}={quote(value)}: expected true or false.")


def parse_background(
    value: Any, name: str = "background", *, reads_files: bool = True
) -> Background:
    """Return "blur", a colour, an image or the path of a video; UserError for anything else.

    Args:
      value: "blur"; a CSS name, #RRGGBB or three numbers to 255; an array, a PIL image or a path.
      name: of the setting.
      reads_files: take a path.
    """
    if isinstance(value, str) and value == BLUR:
        return value
    if colour := _parse_colour(value):
        return colour
    if isinstance(value, Image.Image):
        return flatten(load_original(value))
    if isinstance(value, np.ndarray):
        try:
            return Original(check_array(value), {})
        except ValueError as error:
            raise UserError(f"{name}: {error}.") from error
    if isinstance(value, (str, os.PathLike)) and reads_files:
        path = Path(value).expanduser()
        if path.is_file():
            return path.absolute() if is_video(path) else flatten(load_original(path))
    or_picture = ', the path of an image, or "blur"' if reads_files else ', or "blur"'
    raise UserError(
        f"{name}={quote(value)} is not a background: expected a colour without alpha such as "
        f'"white" or "#20a0ff"{or_picture}.'
    )


def _parse_colour(value: Any) -> tuple[int, int, int] | None:
    """Return the red, green and blue of a CSS name, #RRGGBB or three numbers; None for others."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = ImageColor.getrgb(value)
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        return None
    if not all(isinstance(x, numbers.Integral) and not isinstance(x, bool) for x in value):
        return None
    red, green, blue = map(int, value)
    return (red, green, blue) if min(value) >= 0 and max(value) <= 255 else None

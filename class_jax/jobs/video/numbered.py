"""The frames of a video as images with numbers in their names."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from class_jax.errors import UserError
from class_jax.jobs.marks import read_mark, write_marked
from class_jax.jobs.video.frames import Frame
from class_jax.text import list_lines

NUMBERED = re.compile(r"%0?\d*d")  # in the name of numbered images: frames/%05d.png


def is_numbered(path: Path) -> bool:
    """Return whether a path is the pattern of numbered images."""
    return NUMBERED.search(path.name) is not None


def write_numbered(pattern: Path, frames: Iterable[tuple[Frame, np.ndarray]], mark: str) -> None:
    """Write images with numbers in their names, from 1; those of a longer video before go.

    Raises:
      UserError: files of such names are there that were not made here, or what `frames` raises.
    """
    foreign = [path for path in _find_numbered(pattern).values() if read_mark(path) is None]
    if foreign:
        raise UserError(
            f"{pattern} would replace files that were not made here: choose another "
            f"folder.{list_lines(foreign)}"
        )
    number = 0
    for number, (_, pixels) in enumerate(frames, 1):
        write_marked(_number(pattern, number), pixels, mark)
    for other, path in _find_numbered(pattern).items():
        if other > number:
            path.unlink(missing_ok=True)


def _number(pattern: Path, number: int) -> Path:
    """Return the file of a number; other percent signs in its name stay."""
    return pattern.with_name(NUMBERED.sub(lambda found: found[0] % number, pattern.name, count=1))


def _find_numbered(pattern: Path) -> dict[int, Path]:
    """Return the files whose names are of a pattern, by their numbers, from 1."""
    before, after = (re.escape(part) for part in NUMBERED.split(pattern.name, maxsplit=1))
    found = {}
    for path in sorted(filter(Path.is_file, pattern.parent.glob("*"))):
        match = re.fullmatch(f"{before} *([0-9]+){after}", path.name)
        if match and (number := int(match[1])) > 0 and _number(pattern, number) == path:
            found[number] = path
    return found

"""The frames of a video as images with numbers in their names."""

import re
from pathlib import Path

import numpy as np

from class_jax.errors import UserError
from class_jax.jobs.marks import read_mark, write_marked
from class_jax.jobs.video.frames import NUMBERED, Film, FilmWriter, Frame
from class_jax.text import list_lines


class NumberedPictures(FilmWriter):
    """The frames of a video as images with numbers in their names, from 1."""

    def __init__(self, pattern: Path, film: Film, text: str) -> None:
        """Take the pattern of names, the video, and the mark to keep in each.

        Raises:
          UserError: files of such names are there that were not made here.
        """
        super().__init__()
        foreign = [path for path in _find_numbered(pattern).values() if read_mark(path) is None]
        if foreign:
            raise UserError(
                f"{pattern} would replace files that were not made here: choose another "
                f"folder.{list_lines(foreign)}"
            )
        self._pattern, self._film, self._text, self._count = pattern, film, text, 0

    def add(self, pixels: np.ndarray, frame: Frame) -> None:
        """Write an image."""
        del frame
        if (self._film.aspect or 1) != 1:
            self.note(f"pixels are not square ({self._film.aspect}), and images cannot store that")
        self._count += 1
        write_marked(_number(self._pattern, self._count), pixels, self._text)

    def finish(self) -> None:
        """Remove the images of a longer video that were made here before."""
        for number, path in _find_numbered(self._pattern).items():
            if number > self._count:
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

"""Files that are written whole or not at all."""

import contextlib
import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from class_jax.errors import UserError


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a name to write to, which becomes `path` only once all is written.

    Raises:
      UserError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): "
            "free some space, or choose a folder that you may write to."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def printable(text: str) -> str:
    """Names of files may hold anything: control characters and stray bytes as escapes."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def shortened(text: str, length: int) -> str:
    """The text in at most `length` characters, its end kept, which tells more than its start."""
    text = printable(text)
    return text if len(text) <= length else f"...{text[3 - length :]}"


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table; UserError where that cannot be done."""
    with written_whole(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([printable(cell) for cell in row] for row in rows)

"""Tables in files, and names in them that may hold anything."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from class_jax.data.files import written_whole


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

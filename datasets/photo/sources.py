"""The table of published sources, sources.toml, and the images of them that are used."""

import csv
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent  # of sources.toml and pictures.tsv
VALIDATION = "validation"


class Part(NamedTuple):
    """Images that lie in one archive; sources.toml explains the fields."""

    archive: dict[str, str]
    image: str
    key: str
    outlines: str = ""
    read: str = ""
    trim: bool = False


class Entry(NamedTuple):
    """An image that is used: its key in the archive, its files below the root."""

    key: str
    image: Path
    mask: Path


class Source(NamedTuple):
    """A published set, and what its distributor states; sources.toml explains the fields."""

    name: str
    licence: str
    stated: str
    cite: str
    side: int
    held_out: str = ""
    by_number: bool = False
    masks: bool = True
    coco: str = ""
    annotations: dict[str, str] | None = None
    category: int | None = None
    part: Sequence[Any] = ()
    entries: Sequence[Entry] = ()


def read_sources(folder: Path = FOLDER) -> list[Source]:
    """Return all sources with their images, as two files in a folder state them."""
    with (folder / "pictures.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    tables = tomllib.loads((folder / "sources.toml").read_text(encoding="utf-8"))["source"]
    sources = []
    for source in (Source(**table) for table in tables):
        used = [row[1:] for row in rows if row[0] == source.name]
        entries = [entry for row in used for entry in _read_row(source, *row)]
        parts = [Part(**part) for part in source.part]
        sources.append(source._replace(part=parts, entries=entries))
    return sources


def _read_row(source: Source, part: str, kind: str, numbers: str) -> list[Entry]:
    is_held_out = part == VALIDATION
    folder = Path(VALIDATION if is_held_out else source.name)
    begin = source.held_out if is_held_out else ""
    entries = []
    for number in numbers.split():
        stem = f"{kind}_{number}" if kind else number
        paths = (folder / "images" / f"{begin}{stem}.jpg", folder / "masks" / f"{begin}{stem}.png")
        entries.append(Entry((number if source.by_number else stem).lower(), *paths))
    return entries

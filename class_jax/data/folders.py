"""Image files below a folder, and what is left out of it."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from class_jax.data.decode import readable_suffixes

JUNK_FOLDER = "__macosx"
FILMS = frozenset(
    (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".3gp", ".mts")
)
RAW = frozenset(
    (".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".dng", ".raf", ".orf", ".rw2", ".pef")
)
HEIF = frozenset((".heic", ".heif", ".hif"))
OTHER_IMAGES = frozenset((".svg", ".jxl", ".eps", ".ai", ".xcf", ".pdf", ".npy"))
NOT_IMAGES = FILMS | RAW | HEIF | OTHER_IMAGES  # unless a plugin reads them
ADVICE = (
    (HEIF, "pip install pillow-heif"),
    (FILMS, "a film"),
    (RAW, "a raw photograph: export it as JPEG"),
    (OTHER_IMAGES, "convert it to PNG or JPEG"),
)


class Found(NamedTuple):
    """The files below a folder."""

    images: list[Path]  # that can be read, by their suffixes; sorted
    left_out: list[Path]  # that look like images or films, and cannot be read
    problems: list[str]  # sub-folders that cannot be listed


def find_images(folder: Path) -> Found:
    """Return the image files below a folder, sorted; links to folders are followed once.

    A link to nowhere counts as an image, so that reading it names it. Hidden files, pipes and
    what file managers leave behind do not count.
    """
    images, left_out, problems = [], [], []

    def note(error: OSError) -> None:
        problems.append(f"the folder {error.filename} cannot be read ({error.strerror})")

    seen = {os.path.realpath(folder)}
    for parent, folders, names in os.walk(folder, onerror=note, followlinks=True):
        # Each real folder once: links may form a loop.
        folders[:] = [
            name for name in folders if _is_new(os.path.realpath(f"{parent}/{name}"), seen)
        ]
        for path in (Path(parent, name) for name in names):
            if is_junk(path.relative_to(folder)) or not (path.is_file() or not path.exists()):
                continue  # a pipe or socket would block whoever opens it
            if path.suffix.lower() in readable_suffixes():
                images.append(path)
            elif path.suffix.lower() in NOT_IMAGES:
                left_out.append(path)
    return Found(sorted(images), sorted(left_out), problems)


def _is_new(folder: str, seen: set[str]) -> bool:
    """Return whether a folder was not seen before, and remember it."""
    if folder in seen:
        return False
    seen.add(folder)
    return True


def describe_left_out(paths: Iterable[Path]) -> list[str]:
    """Return a line for each kind of file: "3 .heic left out: pip install pillow-heif"."""
    counts = Counter(path.suffix.lower() for path in paths)
    return [f"{count} {suffix} left out: {_advice(suffix)}" for suffix, count in counts.items()]


def _advice(suffix: str) -> str:
    return next((advice for kind, advice in ADVICE if suffix in kind), "not an image")


def index_by_stem(paths: Iterable[Path], folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Return files by their path below `folder` without suffix, and a line for each double.

    Files that share a name are left out: which of them is meant, nobody knows.
    """
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    doubled = {
        name: f"{' and '.join(map(str, files))} have the same name {name}"
        for name, files in found.items()
        if len(files) > 1
    }
    return {name: files[0] for name, files in found.items() if len(files) == 1}, doubled


def file_fingerprint(path: Path) -> str:
    """Return a text that changes when the file does: its path, time and size."""
    try:
        file = path.stat()
    except OSError:
        return f"{path} absent"
    return f"{path} {file.st_mtime_ns} {file.st_size}"


def is_junk(path: Path) -> bool:
    """Return whether a path is hidden or in __MACOSX, as file managers leave files in archives."""
    return any(part.startswith(".") or part.lower() == JUNK_FOLDER for part in path.parts)

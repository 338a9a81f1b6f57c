"""Write files atomically, and lock them."""

import contextlib
import functools
import json
import os
import platform
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import filelock
from etils import epath

from class_jax.errors import UserError

AnyPath = TypeVar("AnyPath", Path, epath.Path)


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path, with `~` expanded and links kept: a link's name is the user's.

    Raises:
      UserError: the path starts with `~name`, and there is no such user.
    """
    try:
        return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - keeps links
    except RuntimeError as error:
        raise UserError(f"{path}: there is no such user.") from error


@contextlib.contextmanager
def atomic_write(path: AnyPath) -> Iterator[AnyPath]:
    """Yield a temporary name beside `path`, which replaces `path` once the block has succeeded.

    Folders are created as needed. Whatever fails, `path` keeps its old content.

    Raises:
      UserError: the file cannot be written.
    """
    # Two commands may write one file, so each has its own name, within the longest allowed.
    partial = path.with_name(f".{path.name[:40]}.{_machine()}-{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(path.parent, Path):
            _sweep(str(path.parent))
        yield partial
        partial.replace(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): free some space, or choose a "
            "folder that you may write to."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


@functools.cache
def _machine() -> str:
    """Return a short name of this machine: a folder may be shared by several."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


@functools.cache  # each folder once
def _sweep(folder: str) -> None:
    """Remove what commands that were killed on this machine left half-written in a folder."""
    for partial in Path(folder).glob(f".*.{_machine()}-*.partial"):
        process = partial.name.removesuffix(".partial").rpartition("-")[2]
        if process.isdecimal() and not _is_running(int(process)):
            with contextlib.suppress(OSError):
                partial.unlink()


def _is_running(process: int) -> bool:
    if os.name == "nt":  # where a signal would end it
        return True
    try:
        os.kill(process, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def write_json(path: epath.Path, value: object) -> None:
    """Write `value` as indented JSON, atomically; UserError if that fails."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n")


def measure_free(folder: AnyPath) -> int | None:
    """Return the free bytes of a folder's disk, or None for a bucket."""
    with contextlib.suppress(OSError):
        if "://" not in str(folder):
            return shutil.disk_usage(folder).free
    return None


@contextlib.contextmanager
def lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock file `path` against other processes; the system frees it when one is killed.

    Raises:
      TimeoutError: another process holds it, and `wait` is False.
    """
    with filelock.FileLock(path, timeout=-1 if wait else 0):
        yield

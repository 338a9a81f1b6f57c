"""A process of the program: memory, streams, hooks and JAX's environment, set up in one place."""

# ruff: noqa: PLC0415 - programs that only tune the allocator need none of the rest

import contextlib
import logging as python_logging
import os
import platform
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from class_jax.command.streams import protect_streams

VARIABLE = "GLIBC_TUNABLES"
TUNED = {
    "glibc.malloc.hugetlb": 1,  # memory pages of 2 MiB, where Linux grants them
    "glibc.malloc.mmap_threshold": 2
    ** 25,  # bytes; larger arrays go back to the system when they are freed
    "glibc.malloc.trim_threshold": 2**28,  # bytes of freed memory that are kept for the next arrays
}
AGAIN = "class_jax_again"  # option of the restarted process, whose variables may be erased
FIRST_GLIBC = (2, 35)  # the first that knows all settings
DEBUGGERS = ("pdb", "pydevd")
CACHE_BYTES = 4 * 2**30  # of compiled programs


def set_up_process() -> None:
    """Set up streams, hooks, loggers and the environment; a second call forgets what was lost."""
    protect_streams()
    # What libraries print when a write fails in the background is raised as well; on a full disk
    # it would be hundreds of lines above our sentence.
    for library in ("asyncio", "PIL"):
        python_logging.getLogger(library).setLevel(python_logging.CRITICAL)
    # Matplotlib warns of a home directory that cannot be written, which is harmless.
    python_logging.getLogger("matplotlib").setLevel(python_logging.ERROR)
    # A full disk under the compilation cache costs only time.
    cache_errors = "Error (reading|writing) persistent compilation cache"
    warnings.filterwarnings("ignore", cache_errors, append=True)  # once, if it is called again
    if not isinstance(sys.unraisablehook, _QuietHook):
        sys.unraisablehook = _QuietHook(sys.unraisablehook)


class _QuietHook:
    """A hook of errors that nobody catches, which drops those of tensorstore's callbacks."""

    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(self, failure: Any) -> None:
        # Such a callback belongs to no object.
        if failure.object is not None or threading.current_thread() is threading.main_thread():
            self._before(failure)


def cache_compiled_programs() -> None:
    """Let JAX keep compiled programs in the user's cache, for the next run of the same network.

    Programs for a CPU fit that CPU only, so each machine has a folder. JAX's own environment
    variables take precedence; an empty JAX_COMPILATION_CACHE_DIR keeps nothing, and neither does a
    folder that cannot be written.
    """
    from class_jax.files import absolute
    from class_jax.runs.workdir import CACHE

    folder = absolute(CACHE) / "compiled" / platform.node()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
        os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(CACHE_BYTES))


def tune_allocator() -> None:
    """Start this process again with an allocator for large arrays that come and go.

    XLA takes its temporary memory from the system at every step on a CPU, 600 MB for two images of
    352², and gives it back: in pages of 4 KiB that took a fifth of a step's processor time. Decoded
    images and maps that are scored are smaller, and reuse memory that is kept. The C library asks
    for its settings only before a program starts; processes that this one starts inherit them. The
    process keeps its number, files and arguments. The user's own settings are kept. A Ctrl-C
    meanwhile waits until Python runs again.
    """
    if AGAIN in sys._xoptions:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    before = os.environ.get(VARIABLE, "")
    settings = [f"{name}={value}" for name, value in TUNED.items() if name not in before]
    if not settings or not _can_start_again() or not _has_settings():
        return
    os.environ[VARIABLE] = ":".join(filter(None, (before, *settings)))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    with contextlib.suppress(OSError):  # slower, and otherwise the same
        os.execv(sys.executable, [sys.executable, "-X", AGAIN, *sys.orig_argv[1:]])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _can_start_again() -> bool:
    """Return whether this process was started as this program, and can be once more.

    A session that runs it (IPython's `%run`, `runpy`), a debugger and a program from standard input
    would be lost.
    """
    if not sys.executable or AGAIN in sys._xoptions:
        return False
    if sys.gettrace() is not None or any(name in sys.modules for name in DEBUGGERS):
        return False
    place = len(sys.orig_argv) - len(sys.argv)  # of the program, before its flags
    if place < 1 or sys.orig_argv[place + 1 :] != sys.argv[1:]:
        return False
    program, file = sys.orig_argv[place], Path(sys.argv[0])
    if sys.orig_argv[place - 1] == "-m":
        return program.rpartition(".")[2] in (file.stem, file.parent.name)
    return program == sys.argv[0] != "-"


def _has_settings() -> bool:
    """Return whether the C library knows the settings."""
    name, version = platform.libc_ver()
    return name == "glibc" and tuple(map(int, version.split("."))) >= FIRST_GLIBC

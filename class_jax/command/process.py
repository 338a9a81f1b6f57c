"""A process of the program: memory, streams, hooks and JAX's environment, set up in one place."""

# ruff: noqa: PLC0415 - programs that only tune the allocator need none of the rest

import contextlib
import ctypes
import logging as python_logging
import os
import platform
import sys
import threading
import warnings
from typing import Any

from class_jax.command.streams import protect_streams

ALLOCATOR = {  # settings of mallopt, by their numbers in malloc.h
    -1: 2**30,  # M_TRIM_THRESHOLD: bytes of freed memory that are kept for the next arrays
    -4: 0,  # M_MMAP_MAX: no array goes back to the system by itself
    -8: 1,  # M_ARENA_MAX: threads share what is kept
}
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
    # While XLA picks kernels for a GPU, its warnings would run into our output.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
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
    """Let the C library of Linux keep freed memory for the next large arrays.

    XLA takes its temporary memory from the system at every step on a CPU, 600 MB for two images of
    352², and gives it back: new pages took a sixth of a step's processor time. A user's own
    GLIBC_TUNABLES are left alone.
    """
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        library = ctypes.CDLL(None)
        for setting, value in ALLOCATOR.items() if hasattr(library, "mallopt") else ():
            library.mallopt(setting, value)

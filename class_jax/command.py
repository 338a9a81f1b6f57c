"""The program as a command: memory in large pages, then the command line."""

# ruff: noqa: PLC0415 - the command line is imported once, after the program was started again

import contextlib
import os
import sys
from pathlib import Path
from typing import NoReturn

VARIABLE, SETTING = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"
PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
FIRST_GLIBC = (2, 35)  # that knows the setting


def run_command() -> NoReturn:
    """Run the program with the flags of this process, and exit with its status."""
    ask_for_huge_pages()
    from class_jax.cli import main

    sys.exit(main(sys.argv[1:]))


def ask_for_huge_pages() -> None:
    """Start this process again with memory in pages of 2 MiB, where Linux gives them on request.

    XLA takes its temporary memory from the system at every step on a CPU, 600 MB for two images of
    352², and gives it back. In pages of 4 KiB that took a fifth of a step's processor time. The C
    library asks for large pages only if it is told before a program starts; the process keeps its
    number, files and arguments. A setting of the user's stays, and a debugger keeps its process.
    """
    before = os.environ.get(VARIABLE, "")
    is_debugged = sys.gettrace() is not None or "pydevd" in sys.modules
    if SETTING in before or is_debugged or not _are_given_on_request():
        return
    os.environ[VARIABLE] = f"{before}:{SETTING}=1".lstrip(":")
    with contextlib.suppress(OSError):  # slower, and otherwise the same
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _are_given_on_request() -> bool:
    """Return whether the system and its C library give large pages to who asks."""
    try:
        name, version = os.confstr("CS_GNU_LIBC_VERSION").split()  # type: ignore[union-attr]
        known = name == "glibc" and tuple(map(int, version.split("."))) >= FIRST_GLIBC
        return known and "[madvise]" in PAGES.read_text()
    except (OSError, ValueError, AttributeError):  # no Linux, or another C library
        return False

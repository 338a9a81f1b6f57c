"""The program as a command: memory in large pages, then the command line."""

# ruff: noqa: PLC0415 - the command line is imported once, after the program was started again

import contextlib
import os
import sys
from pathlib import Path
from typing import NoReturn

VARIABLE, SETTING = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"
AGAIN = "class_jax_again"  # marks a process that was started again, where variables are erased
PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
FIRST_GLIBC = (2, 35)  # that knows the setting
DEBUGGERS = ("pdb", "pydevd")


def run_command() -> NoReturn:
    """Run the program with the flags of this process, and exit with its status."""
    ask_for_huge_pages()
    from class_jax.command.cli import main

    sys.exit(main(sys.argv[1:]))


def ask_for_huge_pages() -> None:
    """Start this process again with memory in pages of 2 MiB, where Linux gives them on request.

    XLA takes its temporary memory from the system at every step on a CPU, 600 MB for two images of
    352², and gives it back. In pages of 4 KiB that took a fifth of a step's processor time. The C
    library asks for large pages only if it is told before a program starts; the process keeps its
    number, files and arguments. A setting of the user's stays.
    """
    before = os.environ.get(VARIABLE, "")
    if SETTING in before or not _can_start_again() or not _are_given_on_request():
        return
    os.environ[VARIABLE] = f"{before}:{SETTING}=1".lstrip(":")
    with contextlib.suppress(OSError):  # slower, and otherwise the same
        os.execv(sys.executable, [sys.executable, "-X", AGAIN, *sys.orig_argv[1:]])


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


def _are_given_on_request() -> bool:
    """Return whether the system and its C library give large pages to who asks."""
    try:
        name, version = os.confstr("CS_GNU_LIBC_VERSION").split()  # type: ignore[union-attr]
        known = name == "glibc" and tuple(map(int, version.split("."))) >= FIRST_GLIBC
        return known and "[madvise]" in PAGES.read_text()
    except (OSError, ValueError, AttributeError):  # no Linux, or another C library
        return False

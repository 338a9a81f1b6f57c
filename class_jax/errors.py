"""Errors that a user can fix, the sentence that describes one, and the handling of signals."""

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

HOW_TO_GET_ONE = "train a network first, or convert the authors' checkpoint."
DISK_FULL = "the disk is full: free some space and run the same command again."
# Errors of the operating system that a user can fix.
_FIXABLE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP),
    *(errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ESTALE, errno.EFBIG),
}


class UserError(Exception):
    """A mistake in the configuration, files, flags or workdir that a user gave.

    The message says what was found, what was expected and what to do. The command line prints it
    without a traceback and exits with status 2.
    """


class VanishedError(UserError):
    """A checkpoint was removed while it was read: a running training keeps newer ones."""


class UnreadableError(VanishedError):
    """Checkpoints cannot be read, perhaps because a training is writing there."""


class BrokenFilesError(UserError):
    """Files of a data set are broken or have no partner."""

    def __init__(self, message: str, *, skippable: bool) -> None:
        """Store the message; `skippable` if enough pairs remain without those files."""
        super().__init__(message)
        self.skippable = skippable


def sentence_of(error: BaseException) -> str | None:
    """Return the sentence for a user's mistake, or None if `error` is a fault of the program.

    Follows `__cause__` (`raise … from error`), never `__context__`: an error that was raised while
    another one was being handled says nothing about that one.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, UserError):
            return str(seen)
        if isinstance(seen, OSError):
            if seen.errno in (errno.ENOSPC, errno.EDQUOT):
                return DISK_FULL
            if seen.errno in _FIXABLE:
                place = f"{seen.filename}: " if seen.filename else ""
                return f"{place}{os.strerror(seen.errno)}."
        seen = seen.__cause__
    return None


@contextlib.contextmanager
def end_by_ctrl_c(*, for_good: bool = False) -> Iterator[None]:
    """Let Ctrl-C end the process at once, with one line, while nothing needs cleaning up.

    Modules that are being imported may swallow KeyboardInterrupt, or print it. Only Python's own
    handler is replaced; it comes back unless the process ends here, `for_good`.
    """
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        if is_default:
            signal.signal(signal.SIGINT, _end)
    except ValueError:  # only the main thread is interrupted
        is_default = False
    try:
        yield
    finally:
        if is_default and not for_good:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def handle_signals(handler: Callable[[int, Any], object]) -> Iterator[None]:
    """Let a function handle the signals to end; not a hangup that `nohup` has switched off."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # a terminal was closed; not on Windows
    if hangup and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.append(hangup)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _end(*_: object) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(130)

"""Errors that a user can fix, and the sentence that describes one."""

import errno
import os

HOW_TO_GET_ONE = "train a network first, or convert the authors' checkpoint."
DISK_FULL = "the disk is full: free some space and run the same command again."
# Refusals of the operating system that a user can do something about.
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

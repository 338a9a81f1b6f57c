"""The exceptions that stand for a user's mistakes, and how a full disk is known."""

import errno
import os

FULL_DISK = "the disk is full: free some space, and the same command goes on."


class UserError(Exception):
    """A mistake in what the user gave: configuration, files, flags, a workdir.

    The message is one sentence that says what was found, what was expected and what to do.
    The command line prints it without a traceback and exits with status 2.
    """


class BrokenFilesError(UserError):
    """Files of a data set are broken or unpaired."""


# What the operating system refuses for reasons that a user can mend.
MENDABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR}


def sentence_of(error: BaseException) -> str | None:
    """What a user is told of a mistake, or of a disk or path that is at fault; else None."""
    if isinstance(error, UserError):
        return str(error)
    words = {os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT)}
    seen: BaseException | None = error
    while seen is not None:
        # Libraries wrap the operating system's error in their own types, but keep its words.
        if any(word in str(seen) for word in words):
            return FULL_DISK
        if isinstance(seen, RuntimeError) and "home directory" in str(seen):
            return "a path starts with ~ and a name, and there is no such user."
        if isinstance(seen, OSError) and seen.errno in MENDABLE:
            return f"{seen.filename}: {seen.strerror}."
        seen = seen.__cause__ or seen.__context__
    return None

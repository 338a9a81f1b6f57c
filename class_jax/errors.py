"""The exception that stands for a user's mistake, and how a full disk is known."""

import errno
import os

FULL_DISK = "the disk is full: free some space, and the same command goes on."


class UserError(Exception):
    """A mistake in what the user gave: configuration, files, flags, a workdir.

    The message is one sentence that says what was found, what was expected and what to do.
    The command line prints it without a traceback and exits with status 2.
    """


def is_full_disk(error: BaseException) -> bool:
    """Whether an error, or one that it came from, says that a disk or a quota is full.

    Libraries wrap the operating system's error in their own types, but keep its words.
    """
    words = {os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT)}
    seen: BaseException | None = error
    while seen is not None:
        if any(word in str(seen) for word in words):
            return True
        seen = seen.__cause__ or seen.__context__
    return False

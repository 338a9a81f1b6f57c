"""The one exception that stands for a user's mistake."""


class UserError(Exception):
    """A mistake in what the user gave: configuration, files, flags, a workdir.

    The message is one sentence that says what was found, what was expected and what to do.
    The command line prints it without a traceback and exits with status 2.
    """

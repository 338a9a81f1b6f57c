"""Standard output and error that outlive their reader: a run goes on when its terminal is closed.

Otherwise a closed terminal, a `| head` that has read enough or a full disk behind `> log` would end
a training in the middle of a step, with all steps since the last checkpoint.
"""

import contextlib
import io
import os
import sys
from typing import Any


class _Outlasting(io.FileIO):
    """A file whose failing writes are dropped, and remembered."""

    has_failed = False

    def write(self, data: Any) -> int:
        """Write bytes if that is possible, and return their number."""
        try:
            return super().write(data) or 0
        except OSError:
            self.has_failed = True
            return memoryview(data).nbytes


def protect_streams() -> None:
    """Let standard output and error ignore failed writes, and escape what their encoding lacks."""
    # A file that is opened later would get the number of a stream that was closed, and with it
    # what libraries print.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is not None and stream is not getattr(sys, f"__{name}__"):
            if protected_before := _raw_of(stream):
                protected_before.has_failed = False  # an earlier command lost that output
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
            continue  # the caller replaced it
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # full, or closed
                stream.flush()  # what was printed before comes first
        raw = _Outlasting(number, "w", closefd=False)
        protected = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=getattr(stream, "encoding", None) or "utf-8",
            errors="backslashreplace",  # file names may hold any letter
            line_buffering=name == "stderr" or raw.isatty(),
        )
        setattr(sys, name, protected)


def is_output_lost() -> bool:
    """Return whether something could not be written to standard output."""
    if sys.stdout is None:
        return False
    sys.stdout.flush()
    raw = _raw_of(sys.stdout)
    return raw is not None and raw.has_failed


def _raw_of(stream: Any) -> _Outlasting | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Outlasting) else None

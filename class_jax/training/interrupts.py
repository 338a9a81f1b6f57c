"""Stopping a run politely: the first Ctrl-C or SIGTERM asks, the second insists."""

import signal
from types import FrameType, TracebackType
from typing import Self


class Interrupted(Exception):  # noqa: N818 - it is an event, not an error
    """The run was asked to stop and has saved its state; `signal` says by what."""

    def __init__(self, message: str, *, signal_number: int) -> None:
        """`message` for the user; `signal_number` decides the exit status."""
        super().__init__(message)
        self.signal_number = signal_number


class StopRequest:
    """While this context is entered, remembers a first SIGINT or SIGTERM in `signal_number`."""

    def __init__(self) -> None:
        """No signal yet."""
        self.signal_number: int | None = None

    def __enter__(self) -> Self:
        """Take over both signals."""
        self._previous = {
            number: signal.signal(number, self._remember)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give both signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is not None:  # the second time: at once
            raise KeyboardInterrupt
        self.signal_number = number

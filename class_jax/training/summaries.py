"""The log of a run: metrics.jsonl and TensorBoard event files."""

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from class_jax import parallel
from class_jax.errors import UserError
from class_jax.files import atomic_write


class Summaries:
    """A context that writes scalars to both, images to TensorBoard; only process 0 writes.

    On resume, lines of later steps are removed, so that the file reads as if the run had never
    stopped.
    """

    def __init__(
        self,
        metrics_file: Path,
        *,
        start_step: int,
        publish: Callable[[], None] | None = None,
    ) -> None:
        """Append to the log up to `start_step`; `publish` copies it to a bucket."""
        first = parallel.is_first()
        if first:
            _drop_after(metrics_file, start_step)
        self._path = metrics_file if first else Path(os.devnull)
        self._file = self._path.open("a+")
        self._board = Board(metrics_file.parent, start_step=start_step) if first else None
        self._publish = publish if first else None

    def __enter__(self) -> Self:
        """Return the summaries."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close both logs."""
        if self._board:
            self._board.close()
        self._file.close()

    def write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write a JSON line {"step": …, name: value …}, and TensorBoard points.

        Raises:
          UserError: the line cannot be written.
        """
        try:
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.close()  # otherwise closing would try to write once more
            raise UserError(
                f"{self._path} cannot be written ({error.strerror}): free some space; the same "
                "command goes on from the last checkpoint."
            ) from error
        if self._board:
            self._board.write(step, *(summary.scalar(name, values[name]) for name in values))

    def write_image(self, step: int, name: str, image: np.ndarray) -> None:
        """Write an image, uint8 [H, W, 3], to TensorBoard."""
        if self._board:
            self._board.write(step, summary.image(name, image, dataformats="HWC"))

    def publish(self) -> None:
        """Write the log again if it was deleted, and copy both to the bucket, if there is one."""
        if not self._path.exists():
            self._write_anew()
        if self._publish:
            self._publish()

    def _write_anew(self) -> None:
        """Write the log again after it was deleted: its lines can still be read here."""
        self._file.seek(0)
        lines = self._file.read()
        self._file.close()
        with atomic_write(self._path) as partial:
            partial.write_text(lines)
        self._file = self._path.open("a+")
        print(f"warning: {self._path} was deleted: it was written anew", file=sys.stderr)


class Board:
    """A TensorBoard event file, which is given up if it cannot be written.

    Not tensorboardX's `SummaryWriter`: its thread ends at the first error, and then it blocks.
    """

    def __init__(self, folder: Path, *, start_step: int) -> None:
        """Begin a file whose points hide those of steps after `start_step` in older files."""
        self._writer: EventsWriter | None = None
        with self._give_up_if_it_fails():
            self._writer = EventsWriter(str(folder / "events"))
            start = SessionLog(status=SessionLog.START)
            self._writer.write_event(Event(step=start_step + 1, session_log=start))

    def write(self, step: int, *summaries: summary.Summary) -> None:
        """Write points or images of a step to the disk."""
        with self._give_up_if_it_fails():
            if self._writer:
                for values in summaries:
                    event = Event(step=step, wall_time=time.time(), summary=values)
                    self._writer.write_event(event)
                self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        with self._give_up_if_it_fails():
            if self._writer:
                self._writer.close()

    @contextlib.contextmanager
    def _give_up_if_it_fails(self) -> Iterator[None]:
        """Print a note and write no more if the file cannot be written."""
        try:
            yield
        except OSError as error:
            print(
                f"\nnote: TensorBoard's file cannot be written ({error.strerror}): no more curves; "
                "metrics.jsonl has the same values",
                file=sys.stderr,
            )
            writer, self._writer = self._writer, None
            with contextlib.suppress(OSError):
                if writer:
                    writer.close()  # otherwise closing would try to write once more


def _drop_after(metrics_file: Path, step: int) -> None:
    """Remove the lines of later steps, and those that a power cut damaged."""
    if not metrics_file.exists():
        return
    lines = metrics_file.read_bytes().decode(errors="replace").splitlines(True)
    kept = [line for line in lines if line.endswith("\n") and _parse_step(line) <= step]
    with atomic_write(metrics_file) as partial:
        partial.write_text("".join(kept))


def _parse_step(line: str) -> float:
    """Return the step of a line of metrics, infinity if it is damaged."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return math.inf
    return step if type(step) is int else math.inf

"""The log of a run: metrics.jsonl and TensorBoard event files."""

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from class_jax import parallel
from class_jax.errors import UserError
from class_jax.files import atomic_write


class Summaries(contextlib.AbstractContextManager["Summaries"]):
    """A context that writes scalars to both, images to TensorBoard; only process 0 writes.

    On resume, lines of later steps are removed, so that the file reads as if the run had never
    stopped. TensorBoard's file is given up if it cannot be written. Not by tensorboardX's
    `SummaryWriter`: its thread ends at the first error, and then it blocks.
    """

    def __init__(
        self,
        metrics_file: Path,
        *,
        start_step: int,
        publish: Callable[[], None] | None = None,
    ) -> None:
        """Append to the log up to `start_step`; `publish` copies it to a bucket."""
        self._path, self._publish, self._is_first = metrics_file, publish, parallel.is_first()
        self._writer: EventsWriter | None = None
        if self._is_first:
            metrics_file.touch()
            _drop_after(metrics_file, start_step)
            with self._give_up_if_it_fails():
                self._writer = EventsWriter(str(metrics_file.parent / "events"))
                # Hides the points of later steps in older files.
                start = SessionLog(status=SessionLog.START)
                self._writer.write_event(Event(step=start_step + 1, session_log=start))

    def __exit__(self, *exception: object) -> None:
        """Close TensorBoard's file."""
        with self._give_up_if_it_fails():
            if self._writer:
                self._writer.close()

    def write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write a JSON line {"step": …, name: value …}, and TensorBoard points.

        Raises:
          UserError: the line cannot be written.
        """
        if not self._is_first:
            return
        try:
            with self._path.open("a") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        except OSError as error:
            raise UserError(
                f"{self._path} cannot be written ({error.strerror}): free some space; the same "
                "command goes on from the last checkpoint."
            ) from error
        self._draw(step, *(summary.scalar(name, value) for name, value in values.items()))

    def write_image(self, step: int, name: str, image: np.ndarray) -> None:
        """Write an image, uint8 [H, W, 3], to TensorBoard."""
        self._draw(step, summary.image(name, image, dataformats="HWC"))

    def publish(self) -> None:
        """Copy both to the bucket, if there is one."""
        if self._is_first and self._publish:
            self._publish()

    def _draw(self, step: int, *summaries: summary.Summary) -> None:
        with self._give_up_if_it_fails():
            if self._writer:
                for values in summaries:
                    event = Event(step=step, wall_time=time.time(), summary=values)
                    self._writer.write_event(event)
                self._writer.flush()

    @contextlib.contextmanager
    def _give_up_if_it_fails(self) -> Iterator[None]:
        """Print a note and draw no more if TensorBoard's file cannot be written."""
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

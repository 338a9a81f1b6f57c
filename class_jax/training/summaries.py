"""The log of a run: metrics.jsonl and TensorBoard event files."""

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import numpy as np
from tensorboardX import SummaryWriter

from class_jax import parallel
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
        self._board = SummaryWriter(
            str(metrics_file.parent), purge_step=start_step + 1, write_to_disk=first
        )
        self._publish = publish if first else None

    def __enter__(self) -> Self:
        """Return the summaries."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Flush and close both."""
        self._board.close()
        self._file.close()

    def write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write a JSON line {"step": …, name: value …}, and TensorBoard points."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def write_image(self, step: int, name: str, image: np.ndarray) -> None:
        """Write an image, uint8 [H, W, 3], to TensorBoard."""
        self._board.add_image(name, image, step, dataformats="HWC")
        self._board.flush()

    def publish(self) -> None:
        """Write the log again if it was deleted, and copy both to the bucket, if there is one."""
        if not self._path.exists():
            self._write_anew()
        if self._publish:
            self._board.flush()
            self._publish()

    def _write_anew(self) -> None:
        """Write the log again, which somebody has deleted: its lines can still be read here."""
        self._file.seek(0)
        lines = self._file.read()
        self._file.close()
        with atomic_write(self._path) as partial:
            partial.write_text(lines)
        self._file = self._path.open("a+")
        print(f"warning: {self._path} was deleted: it was written anew", file=sys.stderr)


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

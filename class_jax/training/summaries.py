"""What a run says of itself: metrics.jsonl and TensorBoard event files."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from tensorboardX import SummaryWriter


class Summaries:
    """Writes scalars to both, pictures to TensorBoard. A context manager.

    On resume, lines that lie after the resumed step are removed, so that the file reads as if the
    run had never stopped.
    """

    def __init__(
        self,
        folder: Path,
        metrics_file: Path,
        *,
        start_step: int,
        copy: Callable[[], None] | None = None,
    ) -> None:
        """Append to what the run had logged up to `start_step`; `copy` is what `publish` calls."""
        self._copy = copy
        _forget_after(metrics_file, start_step)
        self._file = metrics_file.open("a")
        self._board = SummaryWriter(str(folder), purge_step=start_step + 1)

    def __enter__(self) -> Self:
        """Give the writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Flush and close both."""
        self._board.close()
        self._file.close()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One JSON line {"step": …, name: value …}, and one TensorBoard point for each value."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def publish(self) -> None:
        """Have the files copied to where the checkpoints are, if that is elsewhere."""
        if self._copy:
            self._board.flush()
            self._copy()

    def picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """A picture, uint8 [H, W, 3], to TensorBoard."""
        self._board.add_image(name, picture, step, dataformats="HWC")
        self._board.flush()


class NoSummaries(Summaries):
    """Writes nothing."""

    def __init__(self) -> None:
        """Nothing is opened."""

    def __exit__(self, *exception: object) -> None:
        """Nothing is open."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def publish(self) -> None:
        """Nothing."""

    def picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Nothing."""


def _forget_after(metrics_file: Path, step: int) -> None:
    """Drop lines of later steps, and what a power cut damaged."""
    if not metrics_file.exists():
        return
    lines = metrics_file.read_bytes().decode(errors="replace").splitlines(True)
    kept = [line for line in lines if line.endswith("\n") and _step_of(line) <= step]
    partial = metrics_file.with_suffix(".partial")
    partial.write_text("".join(kept))
    partial.replace(metrics_file)


def _step_of(line: str) -> float:
    """The step of a line of metrics; infinite where it is none."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf

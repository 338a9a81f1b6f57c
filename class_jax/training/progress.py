"""The progress bar and the log of a run, one step behind the devices."""

import contextlib
import math
import sys
import time

import jax
from ml_collections import ConfigDict
from tqdm import tqdm

from class_jax import parallel
from class_jax.training.step import Metrics
from class_jax.training.summaries import Summaries


class NonFiniteError(Exception):
    """The loss, its gradient or a saliency map is not finite; the message names the step."""


class Progress(contextlib.AbstractContextManager["Progress"]):
    """A context that shows and logs the metrics of each step once the next one is running.

    Reading a step's loss waits for that step: read one step late, it never makes the devices wait
    for the host.
    """

    def __init__(self, summaries: Summaries, train: ConfigDict, *, start: int) -> None:
        """Continue after `start` steps of the run that config.`train` describes."""
        self._summaries, self._train = summaries, train
        self._pending: tuple[int, Metrics] | None = None
        self._flushed = start
        self._clock = (start, time.perf_counter())  # step and time that images/s counts from
        self._shapes: set[tuple[int, ...]] = set()  # of the batches that the step was compiled for
        self._text = ""  # beside the bar
        self._bar = tqdm(
            total=train.total_steps,
            initial=start,
            unit="step",
            desc="training",
            mininterval=0.5 if sys.stderr.isatty() else 10.0,
            disable=not parallel.is_first(),
        )

    def __exit__(self, *exception: object) -> None:
        """Close the bar."""
        self._bar.close()

    def expect(self, shape: tuple[int, ...]) -> None:
        """Show that the step is being compiled if images [b, H, W, 3] of `shape` are new."""
        if shape not in self._shapes:
            self._shapes.add(shape)
            self._bar.set_postfix_str(f"compiling for {shape[2]}x{shape[1]}, some 10 to 60 s")

    def record(self, step: int, metrics: Metrics) -> None:
        """Log the metrics of the step before, and keep those of `step`."""
        self.flush()
        self._pending = (step, metrics)

    def flush(self) -> None:
        """Wait for the metrics that were recorded last, and log them.

        Raises:
          NonFiniteError: the loss or the norm of its gradient is not finite.
        """
        if self._pending is None:
            return
        step, metrics = self._pending
        self._pending, self._flushed = None, step
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        if not math.isfinite(values["loss"] + values["grad_norm"]):
            raise NonFiniteError(
                f"the loss at step {step} is {values['loss']} and its gradient's norm "
                f"{values['grad_norm']}: training stopped, earlier checkpoints are kept; lower "
                "config.train.lr, or look at the images of that step."
            )
        if step % self._train.log_every == 0 or step == self._train.total_steps:
            values["images_per_second"] = self._measure_speed(step)
            self._text = f"loss {values['loss']:.3f}, {values['images_per_second']:.1f} images/s"
            self._summaries.write_scalars(step, values)
        # The bar refreshes itself; a refresh here would print a line for each step.
        self._bar.set_postfix_str(self._text, refresh=False)
        self._bar.update()

    def restart_clock(self) -> None:
        """Leave the time since the last flush (validation, saving) out of images/s."""
        self._clock = (self._flushed, time.perf_counter())

    def _measure_speed(self, step: int) -> float:
        """Return images per second since the last call, and restart the clock."""
        start, since = self._clock
        self._clock = (step, time.perf_counter())
        return (step - start) * self._train.batch_size / (self._clock[1] - since)

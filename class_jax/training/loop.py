"""The training loop: batches in, checkpoints and metrics out; resumes exactly."""

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Self

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from class_jax import parallel
from class_jax.checkpoints import BEST_BY, Checkpoints
from class_jax.sharding import put_batch
from class_jax.training.interrupts import Interrupted, StopRequest
from class_jax.training.state import TrainState, training_part
from class_jax.training.step import Metrics, TrainStep
from class_jax.training.summaries import Summaries

Batch = Mapping[str, np.ndarray]


class NonFiniteError(Exception):
    """A loss or gradient is no number any more; the message names the step."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long the loop runs and when it does what, in steps."""

    total_steps: int
    batch_size: int  # of the global batch, images
    log_every: int
    validate_every: int  # 0: never
    checkpoint_every: int


class Progress:
    """Progress bar and metrics log, one step behind the device.

    Reading a step's loss waits for that step. Each is read only when the next one is already
    running, so the device never waits for the host.
    """

    def __init__(self, summaries: Summaries, plan: Plan, *, start: int) -> None:
        """Continue the bar and the log after `start` steps."""
        self._summaries, self._plan = summaries, plan
        self._pending: tuple[int, Metrics] | None = None
        self._flushed = start
        self._since = (start, time.perf_counter())  # what images/s counts from
        self._bar = tqdm(
            total=plan.total_steps,
            initial=start,
            unit="step",
            desc="training",
            mininterval=0.5 if sys.stderr.isatty() else 10.0,
            disable=not parallel.is_first(),
        )

    def __enter__(self) -> Self:
        """Give the progress itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the bar."""
        self._bar.close()

    def record(self, step: int, metrics: Metrics) -> None:
        """Note the metrics of `step`, and log those noted before."""
        self.flush()
        self._pending = (step, metrics)

    def flush(self) -> None:
        """Log what is pending.

        Raises:
          NonFiniteError: its loss or its gradient is not finite.
        """
        if self._pending is None:
            return
        step, metrics = self._pending
        self._pending = None
        self._flushed = step
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        if not math.isfinite(values["loss"] + values["grad_norm"]):
            raise NonFiniteError(
                f"the loss at step {step} is {values['loss']} and its gradient's norm "
                f"{values['grad_norm']}: training stopped, what was saved before is kept; "
                "lower config.train.lr, or look at the images of that step."
            )
        self._bar.update()
        if step % self._plan.log_every == 0 or step == self._plan.total_steps:
            values["images_per_second"] = self._images_per_second(step)
            self._bar.set_postfix_str(
                f"loss {values['loss']:.3f}, {values['images_per_second']:.1f} images/s",
                refresh=False,  # with the bar's own next refresh, not a line for each step
            )
            self._summaries.scalars(step, values)

    def restart_clock(self) -> None:
        """Leave what happened since the last flush (validation, saving) out of images/s."""
        self._since = (self._flushed, time.perf_counter())

    def _images_per_second(self, step: int) -> float:
        before, then = self._since
        self._since = (step, time.perf_counter())
        return (step - before) * self._plan.batch_size / (self._since[1] - then)


def train(
    state: TrainState,
    batches: Iterator[Batch],
    *,
    train_step: TrainStep,
    validate: Callable[[TrainState], tuple[dict[str, float], np.ndarray]],
    plan: Plan,
    checkpoints: Checkpoints,
    summaries: Summaries,
    mesh: Mesh,
) -> TrainState:
    """Run `state` to `plan.total_steps`.

    The order within a step is an invariant: update, then validate, then save. What is saved at a
    step therefore holds that step's score, and a run resumed from it goes on with the next batch
    as if it had never stopped.

    Args:
      state: where to start; its step is the number of updates already done.
      batches: uint8 batches, beginning with the one that follows `state.step`.
      train_step: as `make_train_step` gives it.
      validate: gives the validation scores and a montage of images, masks and maps.
      plan: how long to train, and when to log, validate and save.
      checkpoints: where the state is saved.
      summaries: where metrics go.
      mesh: the devices.

    Raises:
      NonFiniteError: the loss is not finite; nothing was saved after it.
      Interrupted: SIGINT or SIGTERM came; the state was saved.
    """
    start = int(state.step)
    with Progress(summaries, plan, start=start) as progress, StopRequest(mesh) as stop:
        for step in range(start + 1, plan.total_steps + 1):
            batch = _next_batch(batches, stop)
            if batch is None:
                progress.flush()
                save(checkpoints, state, None)
                checkpoints.wait()
                raise _interrupted(step - 1, plan, stop.signal_number)
            # On its way to the devices while the step before still runs: nothing waits for that.
            state, metrics = train_step(state, put_batch(batch, mesh))
            progress.record(step, metrics)
            last, asked = step == plan.total_steps, stop.agreed()
            scores = None
            if plan.validate_every and (last or step % plan.validate_every == 0):
                progress.flush()
                scores = _validated(state, step, validate, summaries)
            if scores or last or asked or step % plan.checkpoint_every == 0:
                progress.flush()
                save(checkpoints, state, scores)
                summaries.publish()
                progress.restart_clock()
            if asked and not last:
                checkpoints.wait()
                raise _interrupted(step, plan, asked)
        checkpoints.wait()
    return state


def _next_batch(batches: Iterator[Batch], stop: StopRequest) -> Batch | None:
    """The next batch; None where the signal that stops the run has also stopped its workers."""
    try:
        return next(batches)
    except Exception:
        if (
            stop.signal_number is None or parallel.process_count() > 1
        ):  # the others would wait for this one
            raise
        return None


def _interrupted(step: int, plan: Plan, signal_number: int | None) -> Interrupted:
    assert signal_number is not None, "nothing else interrupts a run"
    return Interrupted(
        f"stopped at step {step} of {plan.total_steps} and saved: the same command goes on from "
        "there.",
        signal_number=signal_number,
    )


def _validated(
    state: TrainState,
    step: int,
    validate: Callable[[TrainState], tuple[dict[str, float], np.ndarray]],
    summaries: Summaries,
) -> dict[str, float]:
    """Validate, log the scores and the picture, give the scores."""
    scores, picture = validate(state)
    if not all(math.isfinite(score) for score in scores.values()):
        raise NonFiniteError(
            f"the network diverged: its maps at step {step} are not finite; training stopped, "
            "what was saved before is kept; lower config.train.lr."
        )
    summaries.scalars(step, scores)
    summaries.picture(step, "image, mask, map", picture)
    if parallel.is_first():
        tqdm.write(
            f"step {step}: val_mae {scores['val_mae']:.4f}, {BEST_BY} {scores[BEST_BY]:.4f}",
            file=sys.stderr,
        )
    return scores


def save(checkpoints: Checkpoints, state: TrainState, scores: dict[str, float] | None) -> None:
    """Save the state, in the background."""
    checkpoints.save(
        int(state.step),
        variables=state.eval_variables,
        training=training_part(state),
        scores=scores,
    )

"""The training loop: batches in, checkpoints and metrics out; resumes exactly."""

import math
import sys
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict
from tqdm import tqdm

from class_jax import parallel
from class_jax.data.feed import Batch
from class_jax.errors import UserError, handle_signals
from class_jax.models.network import Variables
from class_jax.runs.checkpoints import BEST_BY, Checkpoints
from class_jax.sharding import put_batch
from class_jax.training.interrupts import NO_BATCH, Interrupted, StopRequest
from class_jax.training.progress import NonFiniteError, Progress
from class_jax.training.state import TrainState, save_state
from class_jax.training.step import TrainStep
from class_jax.training.summaries import Summaries

MAX_STEPS = 2**31 - 1  # the step is an int32
AHEAD = 2  # steps that several processes need to agree to stop, and batches that each holds

Scores = dict[str, float]
Validate = Callable[[Variables], tuple[Scores, np.ndarray]]


def count_steps(train: ConfigDict, examples: int) -> int:
    """Return `total_steps`, or if it is 0, max(min_steps, ⌈epochs · examples / batch_size⌉).

    Raises:
      UserError: more steps than can be counted.
    """
    steps = train.total_steps or max(
        train.min_steps, -(-train.epochs * examples // train.batch_size)
    )
    if steps > MAX_STEPS:
        raise UserError(f"{steps} steps are too many: {MAX_STEPS} can be counted.")
    return steps


def train_network(
    state: TrainState,
    batches: Iterator[Batch],
    *,
    train: ConfigDict,
    train_step: TrainStep,
    validate: Validate | None,
    checkpoints: Checkpoints,
    summaries: Summaries,
    mesh: Mesh,
) -> TrainState:
    """Train `state` up to step `train.total_steps`, and return it.

    The order within a step is an invariant: update, then validate, then save. A checkpoint
    therefore holds the score of its own step, and a run resumed from it goes on with the next
    batch as if it had never stopped. A state is saved once the loss that led to it is finite.

    Args:
      state: where to start; its step is the number of updates already done.
      batches: uint8 batches of this process's rows, beginning with the one after `state.step`.
      train: `total_steps`, `batch_size`, and how often to log, validate (0: never) and save.
      train_step: the update, from `make_train_step`.
      validate: returns scores and a montage, from `make_validation`; None: never validate.
      checkpoints: where the state is saved.
      summaries: where metrics are logged.
      mesh: the devices.

    Raises:
      NonFiniteError: the loss is not finite; nothing was saved after it.
      Interrupted: SIGINT, SIGTERM or SIGHUP came; the state was saved.
      UserError: a file of the data set can no longer be read; the state was saved.
    """
    start, total_steps, stopping = int(state.step), train.total_steps, None
    upcoming, stop = _Upcoming(batches, total_steps - start), StopRequest(mesh)
    with Progress(summaries, train, start=start) as progress, handle_signals(stop.note):
        for step in range(start + 1, total_steps + 1):
            batch = upcoming.take()
            if batch is None:
                _save(state, progress, checkpoints, summaries)
                stopping = stop.signal_number or NO_BATCH  # a signal may end the workers first
                break
            progress.expect(batch["image"].shape)
            # The transfer to the devices overlaps the previous step.
            state, metrics = train_step(state, put_batch(batch, mesh))
            progress.record(step, metrics)
            stopping, scores = stop.poll(failed=upcoming.error is not None), None
            if validate and _is_due(step, train.validate_every, total_steps):
                progress.flush()
                scores = _run_validation(validate, state, step, summaries)
            if scores or stopping or _is_due(step, train.checkpoint_every, total_steps):
                _save(state, progress, checkpoints, summaries, scores)
                progress.restart_clock()
            if stopping:
                break
        checkpoints.wait()
    if stopping == NO_BATCH:
        parallel.run_on_all(upcoming.raise_error)
    if stopping and (done := int(state.step)) < total_steps:
        raise Interrupted(done, total_steps=total_steps, signal_number=stopping)
    return state


class _Upcoming:
    """The next batches. Several processes hold some: they then know of one that cannot be made
    early enough to stop at the same step, saved.
    """

    def __init__(self, batches: Iterator[Batch], count: int) -> None:
        """Take the first of `count` batches; raise in all processes if one has none."""
        self._batches, self._left = batches, count
        self._held: deque[Batch] = deque()
        self.error: Exception | None = None  # that ended the batches
        if parallel.process_count() > 1:
            for _ in range(AHEAD):
                self._fetch()
            parallel.run_on_all(self.raise_error)

    def take(self) -> Batch | None:
        """Return the next batch, or None if it cannot be made."""
        self._fetch()
        return self._held.popleft() if self._held else None

    def raise_error(self) -> None:
        """Raise the error that ended the batches, if one did."""
        if self.error:
            raise self.error

    def _fetch(self) -> None:
        if self._left and not self.error:
            self._left -= 1
            try:
                self._held.append(next(self._batches))
            except Exception as error:
                self.error = error


def _is_due(step: int, every: int, total_steps: int) -> bool:
    """Return whether `step` is a multiple of `every` (0: never) or the last."""
    return every > 0 and (step % every == 0 or step == total_steps)


def _save(
    state: TrainState,
    progress: Progress,
    checkpoints: Checkpoints,
    summaries: Summaries,
    scores: Scores | None = None,
) -> None:
    """Save a state in the background, once the losses that led to it are known to be finite."""
    progress.flush()
    save_state(checkpoints, state, scores)
    summaries.publish()


def _run_validation(validate: Validate, state: TrainState, step: int, log: Summaries) -> Scores:
    """Validate, log the scores and the montage, and return the scores."""
    scores, montage = validate(state.eval_variables)
    if not all(math.isfinite(score) for score in scores.values()):
        raise NonFiniteError(
            f"the network diverged: its maps at step {step} are not finite; training stopped, "
            "earlier checkpoints are kept; lower config.train.lr."
        )
    log.write_scalars(step, scores)
    log.write_image(step, "image, mask, map", montage)
    if parallel.is_first():
        tqdm.write(
            f"step {step}: val_mae {scores['val_mae']:.4f}, {BEST_BY} {scores[BEST_BY]:.4f}",
            file=sys.stderr,
        )
    return scores

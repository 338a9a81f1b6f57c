"""The training loop: batches in, checkpoints and metrics out; resumes exactly."""

import math
import sys
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
from class_jax.training.interrupts import Interrupted, StopRequest
from class_jax.training.progress import NonFiniteError, Progress
from class_jax.training.state import TrainState, save_state
from class_jax.training.step import TrainStep
from class_jax.training.summaries import Summaries

MAX_STEPS = 2**31 - 1  # the step is an int32

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

    The order within a step is an invariant: update, validate, save. A checkpoint therefore holds
    the score of its own step, and a run resumed from it goes on with the next batch as if it had
    never stopped. A state is saved once the loss that led to it is finite.

    Args:
      state: where to start; its step is the number of updates already done.
      batches: uint8 batches of this process's rows, beginning with the one after `state.step`.
      train: `total_steps`, `batch_size`; how often to log, validate (0: never) and save.
      train_step: the update, from `make_train_step`.
      validate: returns scores and a montage, from `make_validation`; None: never validate.
      checkpoints: where the state is saved.
      summaries: where metrics are logged.
      mesh: the devices.

    Raises:
      NonFiniteError: the loss is not finite; nothing was saved after it.
      Interrupted: SIGINT, SIGTERM or SIGHUP came; the state was saved.
      UserError: a file of the data set can no longer be read; a single process saved the state.
    """
    start, total_steps, stopping = int(state.step), train.total_steps, None
    stop = StopRequest(mesh)
    with Progress(summaries, train, start=start) as progress, handle_signals(stop.note):
        for step in range(start + 1, total_steps + 1):
            try:
                batch = next(batches)
            except Exception:
                if parallel.process_count() > 1:  # they save together or not at all
                    raise
                _save(state, progress, checkpoints, summaries)
                if not (stopping := stop.signal_number):  # which may end the workers first
                    raise
                break
            progress.expect(batch["image"].shape)
            # The transfer to the devices overlaps the previous step.
            state, metrics = train_step(state, put_batch(batch, mesh))
            progress.record(step, metrics)
            stopping, scores = stop.poll(), None
            if validate and _is_due(step, train.validate_every, total_steps):
                progress.flush()
                scores = _run_validation(validate, state, step, summaries)
            if scores or stopping or _is_due(step, train.checkpoint_every, total_steps):
                _save(state, progress, checkpoints, summaries, scores)
            if stopping:
                break
    if stopping and int(state.step) < total_steps:
        raise Interrupted(int(state.step), total_steps=total_steps, signal_number=stopping)
    return state


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
    progress.restart_clock()


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

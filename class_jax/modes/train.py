"""Mode train: start a run, or resume it exactly where it stopped."""

import argparse
import contextlib
import functools
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from class_jax import parallel
from class_jax.checkpoints import Checkpoints
from class_jax.config import check_resumable
from class_jax.data.feed import TrainingStream, eval_batches, train_batches
from class_jax.data.montage import draw_montage
from class_jax.data.sources import Source
from class_jax.errors import UserError
from class_jax.losses import class_loss
from class_jax.models.network import Network, Variables, build_network
from class_jax.modes.announce import announce
from class_jax.modes.eval import evaluate
from class_jax.sharding import (
    check_divisible,
    make_mesh,
    process_rows,
    put_batch,
    replicated_sharding,
    round_up_batch,
)
from class_jax.training.interrupts import Interrupted
from class_jax.training.loop import NonFiniteError, Plan, train
from class_jax.training.optimizer import make_optimizer
from class_jax.training.state import (
    TrainState,
    initial_state,
    restored_state,
    training_part,
)
from class_jax.training.step import make_train_step
from class_jax.training.summaries import NoSummaries, Summaries
from class_jax.training.validation import make_validation_step, validate
from class_jax.weights.load import load_encoder
from class_jax.workdir import Workdir
from datasets.inputs import TrainingSources, training_sources

MOST_STEPS = 2**31 - 1  # the step is an int32
PICTURES = 8  # validation images in TensorBoard's montage


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Train `config` in `workdir`; return the exit status."""
    skip_broken = flags.skip_broken
    mesh = make_mesh()
    check_divisible(
        config.train.batch_size, mesh, config.train.accumulate, leaf="config.train.batch_size"
    )
    with contextlib.ExitStack() as held:
        sources = parallel.run_on_first(
            lambda: _secured(config, workdir, held, skip_broken=skip_broken)
        )
        parallel.check_shared(workdir.path)
        try:
            _train(config, workdir, sources, mesh)
        except NonFiniteError as error:
            parallel.log(f"error: {error}")
            return 1
        except Interrupted as stop:
            parallel.log(str(stop))
            return 128 + stop.signal_number
    if config.eval.after_training:
        return evaluate(config, workdir, source=None, checkpoint="best")
    return 0


def _secured(
    config: ConfigDict, workdir: Workdir, held: contextlib.ExitStack, *, skip_broken: bool
) -> TrainingSources:
    """What the run learns from, and the workdir for it alone as long as `held` is entered."""
    workdir.check()  # before hours of downloading
    sources = training_sources(config, skip_broken=skip_broken)
    workdir.create()
    held.enter_context(workdir.lock())
    return sources


def total_steps(config: ConfigDict, examples: int) -> int:
    """Steps of the whole run: `train.total_steps`, or else enough for `train.epochs` epochs."""
    steps = config.train.total_steps
    if steps == 0:
        steps = -(-config.train.epochs * examples // config.train.batch_size)  # rounded up
    if steps > MOST_STEPS:
        raise UserError(f"{steps} steps are too many: {MOST_STEPS} can be counted.")
    return steps


def _train(config: ConfigDict, workdir: Workdir, sources: TrainingSources, mesh: Mesh) -> None:
    """Build everything that the loop needs, find out where to start, and run the loop."""
    network = build_network(config.model, dtype=config.model.dtype)
    plan = _plan(config, sources)
    optimizer, rates = make_optimizer(config.train, network, total_steps=plan.total_steps)
    loss = functools.partial(
        class_loss, losses=config.train.losses, multi_stage=config.train.multi_stage
    )
    with Checkpoints(workdir.checkpoints, writable=True) as checkpoints:
        resumed = bool(checkpoints.steps())
        variables = parallel.run_on_all(
            lambda: _first_values(config, workdir, network, sources.train, checkpoints)
        )
        state = initial_state(variables, optimizer, ema=config.train.ema_decay > 0)
        state = jax.device_put(state, replicated_sharding(mesh))
        state = _resumed(state, checkpoints, mesh)
        start = int(state.step)
        # Only now: a mistake until here leaves all as it was.
        parallel.run_on_first(lambda: _write_down(config, workdir, sources.train))
        announce(config, network, sources, plan, start, resumed=resumed)
        if start >= plan.total_steps:
            return
        with (
            _summaries(workdir, start) as summaries,
            train_batches(
                _stream(config, sources.train, mesh),
                start_step=start,
                num_workers=config.data.workers,
            ) as batches,
        ):
            train(
                state,
                batches,
                train_step=make_train_step(
                    network,
                    optimizer,
                    loss,
                    **rates,
                    mesh=mesh,
                    accumulate=config.train.accumulate,
                    ema_decay=config.train.ema_decay,
                ),
                validate=_validation(config, network, sources.held_out, mesh),
                plan=plan,
                checkpoints=checkpoints,
                summaries=summaries,
                mesh=mesh,
            )


def _first_values(
    config: ConfigDict,
    workdir: Workdir,
    network: Network,
    source: Source,
    checkpoints: Checkpoints,
) -> Variables:
    """What the network starts from, and a checkpoint replaces.

    Raises:
      UserError: this would not go on with what the workdir holds, or weights do not fit.
    """
    _check_resumable(config, workdir, source, checkpoints)
    variables = network.initialize(config.seed)
    if config.model.pretrained and not checkpoints.steps():
        variables = load_encoder(config.model.pretrained, network, variables)
    return variables


def _write_down(config: ConfigDict, workdir: Workdir, source: Source) -> None:
    """Note what runs here."""
    workdir.save_config(config)
    workdir.save_examples(source.names)
    workdir.fetch()


def _summaries(workdir: Workdir, start: int) -> Summaries:
    """The first process's logs; what the others log, which would be the same, goes nowhere."""
    if not parallel.is_first():
        return NoSummaries()
    return Summaries(workdir.local, workdir.metrics_file, start_step=start, copy=workdir.publish)


def _check_resumable(
    config: ConfigDict, workdir: Workdir, source: Source, checkpoints: Checkpoints
) -> None:
    """Raise UserError where this would not go on with what the workdir holds."""
    steps = checkpoints.steps()
    trained = bool(steps) and steps != [0]  # a converted checkpoint is of step 0
    check_resumable(config, workdir, trained=trained)
    if trained:
        workdir.check_examples(source.names)


def _stream(config: ConfigDict, source: Source, mesh: Mesh) -> TrainingStream:
    return TrainingStream(
        source,
        batch_size=config.train.batch_size,
        rows=process_rows(config.train.batch_size, mesh),
        sizes=config.data.image_sizes,
        crop=config.data.crop,
        seed=config.seed,
    )


def _plan(config: ConfigDict, sources: TrainingSources) -> Plan:
    return Plan(
        total_steps=total_steps(config, len(sources.train)),
        batch_size=config.train.batch_size,
        log_every=config.train.log_every,
        validate_every=config.train.validate_every if sources.held_out else 0,
        checkpoint_every=config.train.checkpoint_every,
    )


def _resumed(state: TrainState, checkpoints: Checkpoints, mesh: Mesh) -> TrainState:
    """The latest checkpoint's state, or `state` where there is none yet."""
    steps = checkpoints.steps()
    if not steps:
        return state
    variables, training = checkpoints.restore(
        steps[-1],
        variables=state.eval_variables,
        training=training_part(state),
        sharding=replicated_sharding(mesh),
    )
    return restored_state(variables, training)


def _validation(
    config: ConfigDict, network: Network, held_out: Source | None, mesh: Mesh
) -> Callable[[TrainState], tuple[dict[str, float], np.ndarray]]:
    """What the loop calls to validate a state: scores, and a montage of the first images."""
    step = make_validation_step(network, mesh)
    batch_size = round_up_batch(config.eval.batch_size, mesh)
    own = process_rows(batch_size, mesh)

    def batches() -> Iterator[dict[str, np.ndarray]]:
        assert held_out is not None, "the plan validates only where something is held out"
        return eval_batches(held_out, batch_size=batch_size, size=config.eval.image_size, rows=own)

    def run_validation(state: TrainState) -> tuple[dict[str, float], np.ndarray]:
        scores = validate(step, state.eval_variables, batches(), mesh)
        first = next(batches())
        _, maps = step(state.eval_variables, put_batch(first, mesh))
        levels = np.rint(np.asarray(maps) * 255).astype(np.uint8)[own.start : own.stop]
        rows = list(zip(first["image"], first["mask"], levels, strict=True))
        # The first process, which logs them, has rows of images; others may have none but padding.
        shown = max(1, min(PICTURES, int(first["valid"].sum())))
        return scores, draw_montage(rows[:shown])

    return run_validation

"""Mode train: start a run, or resume it exactly where it stopped."""

import argparse
import contextlib
import functools
import os
from collections.abc import Iterator

import jax
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from class_jax import parallel
from class_jax.config import check_resumable
from class_jax.data.augment import Augmentation, augment
from class_jax.data.feed import Batch, train_batches
from class_jax.data.sources import Source
from class_jax.errors import UserError
from class_jax.losses import class_loss
from class_jax.models.network import Network, Variables, build_network, check_model
from class_jax.modes.table import EVAL
from class_jax.networks.places import find, keep_trying
from class_jax.runs.checkpoints import Checkpoints
from class_jax.runs.manifest import DamagedError, set_aside, set_damaged_aside
from class_jax.runs.workdir import Workdir
from class_jax.sharding import (
    check_divisible,
    make_mesh,
    process_rows,
    replicate,
    replicated_sharding,
)
from class_jax.training.interrupts import Interrupted
from class_jax.training.loop import count_steps, train_network
from class_jax.training.optimizer import make_optimizer
from class_jax.training.progress import NonFiniteError
from class_jax.training.state import TrainState, init_state, restore_latest, save_state
from class_jax.training.step import make_train_step
from class_jax.training.summaries import Summaries
from class_jax.training.validation import make_validation
from class_jax.weights.load import load_encoder
from datasets.inputs import TrainingSources, training_sources

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Train `config` in `workdir`; return the exit status."""
    check_model(config.model)  # before hours of downloading
    mesh = make_mesh()
    check_divisible(
        config.train.batch_size, mesh, config.train.accumulate, leaf="config.train.batch_size"
    )
    with contextlib.ExitStack() as stack:
        sources = parallel.run_on_first(
            lambda: _prepare(config, workdir, stack, skip_broken=flags.skip_broken)
        )
        for remark in sources.remarks:
            parallel.log(remark)
        parallel.check_shared(workdir.path)
        try:
            with parallel.explain_failures():
                _train(config, workdir, sources, mesh)
        except NonFiniteError as error:
            parallel.log(f"error: {error}")
            return 1
        except Interrupted as stop:
            parallel.log(str(stop))
            return 128 + stop.signal_number
    if config.eval.after_training:
        # Its libraries take two seconds to import, and training starts without.
        from class_jax.modes import eval as evaluation  # noqa: PLC0415

        given = EVAL.defaults(model=str(workdir.path))
        return evaluation.run(given, config, workdir, skip_broken=flags.skip_broken)
    return 0


def _prepare(
    config: ConfigDict, workdir: Workdir, stack: contextlib.ExitStack, *, skip_broken: bool
) -> TrainingSources:
    """Open the data, create the workdir, and lock it until `stack` is left."""
    workdir.check()  # before hours of downloading
    sources = training_sources(config, skip_broken=skip_broken)
    workdir.create()
    stack.enter_context(workdir.lock())
    return sources


def _train(config: ConfigDict, workdir: Workdir, sources: TrainingSources, mesh: Mesh) -> None:
    """Start or resume the run, and train it to its end."""
    network = build_network(config.model, dtype=config.model.dtype)
    train = config.train.copy_and_resolve_references()  # the saved configuration keeps the epochs
    train.total_steps = count_steps(train, len(sources.train.names))
    optimizer, rates = make_optimizer(train, network, total_steps=train.total_steps)
    loss = functools.partial(class_loss, losses=train.losses, multi_stage=train.multi_stage)
    validate = None
    if sources.held_out:
        validate = make_validation(network, sources.held_out, settings=config.eval, mesh=mesh)
    for line in parallel.run_on_first(lambda: set_damaged_aside(workdir.checkpoints)):
        parallel.log(line)
    with Checkpoints(workdir.checkpoints, writable=True) as checkpoints:
        parallel.run_on_all(lambda: _check_resumable(config, workdir, sources.train, checkpoints))
        state = _restore_state(config, workdir, network, optimizer, checkpoints, mesh)
        resumed = state is not None
        if state:
            weights = f"checkpoint of step {int(state.step)}"
        else:
            state, weights = _start_state(config, network, optimizer, mesh)
        start = int(state.step)
        # Only now: until here a user's mistake leaves the workdir as it was.
        parallel.run_on_first(lambda: workdir.save_config(config))
        if not resumed:
            save_state(checkpoints, state, untrained=True)
            checkpoints.wait()
        # Only after the first checkpoint: whatever else is found there, a checkpoint was too.
        parallel.run_on_first(lambda: workdir.save_examples(sources.train.names))
        parallel.run_on_first(workdir.fetch)
        _announce(config, network, sources, weights, start=start, total_steps=train.total_steps)
        if start >= train.total_steps:
            return
        with (
            Summaries(workdir.metrics_file, start_step=start, publish=workdir.publish) as summaries,
            _open_batches(config, sources, mesh, start=start) as batches,
        ):
            train_network(
                state,
                batches,
                train=train,
                train_step=make_train_step(
                    network, optimizer, loss, train=train, rates=rates, mesh=mesh
                ),
                validate=validate,
                checkpoints=checkpoints,
                summaries=summaries,
                mesh=mesh,
            )


def _check_resumable(
    config: ConfigDict, workdir: Workdir, source: Source, checkpoints: Checkpoints
) -> None:
    """Raise UserError if this run would not continue the one in the workdir."""
    begun = workdir.has_begun() or any(
        step > 0 or checkpoints.is_untrained(step)  # not a converted one
        for step in checkpoints.steps()
    )
    check_resumable(config, workdir, begun=begun)
    if begun:
        workdir.check_examples(source.names)


def _restore_state(
    config: ConfigDict,
    workdir: Workdir,
    network: Network,
    optimizer: optax.GradientTransformation,
    checkpoints: Checkpoints,
    mesh: Mesh,
) -> TrainState | None:
    """Return the state of the latest checkpoint that can be read; None in a new workdir.

    Raises:
      UserError: a run has begun there, and none of its checkpoints can be used.
    """
    ema, sharding = config.train.ema_decay > 0, replicated_sharding(mesh)
    while checkpoints.steps():
        try:
            return restore_latest(checkpoints, network, optimizer, ema=ema, sharding=sharding)
        except DamagedError as error:
            put = functools.partial(set_aside, workdir.checkpoints, error.step, error.damage)
            parallel.log(parallel.run_on_first(put))
            checkpoints.reload()
    if parallel.run_on_first(workdir.has_begun):
        raise UserError(
            f"{workdir.path} holds a run, and no checkpoint that can be used: restore its folder "
            "checkpoints from a copy, or begin anew in another workdir."
        )
    return None


def _start_state(
    config: ConfigDict, network: Network, optimizer: optax.GradientTransformation, mesh: Mesh
) -> tuple[TrainState, str]:
    """Return step 0 and where its values are from: a trained network, or the encoder's weights."""
    variables, weights = parallel.run_on_all(lambda: _start_variables(config, network))
    state = init_state(variables, optimizer, ema=config.train.ema_decay > 0)
    return replicate(state, mesh), weights


def _start_variables(config: ConfigDict, network: Network) -> tuple[Variables, str]:
    source, encoder = config.train.start_from, config.model.pretrained
    if source:

        def load() -> tuple[Variables, str]:
            found = find(source)
            return found.values(network), found.description

        try:
            return keep_trying(load)
        except DamagedError as error:  # not of this run
            raise UserError(f"{source}: {error}") from error
    variables = network.initialize(config.seed)
    if not encoder:
        return variables, "encoder from random values"
    return load_encoder(encoder, network, variables), f"encoder from {encoder}"


def _open_batches(
    config: ConfigDict, sources: TrainingSources, mesh: Mesh, *, start: int
) -> contextlib.AbstractContextManager[Iterator[Batch]]:
    """Open the stream of this process's batches, from batch `start` on."""
    settings = Augmentation(**{name: config.data[name] for name in Augmentation._fields})
    return train_batches(
        sources.train,
        batch_size=config.train.batch_size,
        sizes=config.data.image_sizes,
        augment=functools.partial(augment, settings=settings, backgrounds=sources.backgrounds),
        seed=config.seed,
        rows=process_rows(config.train.batch_size, mesh),
        start_step=start,
        num_workers=config.data.workers,
        mix=sources.mix,
    )


def _announce(
    config: ConfigDict,
    network: Network,
    sources: TrainingSources,
    weights: str,
    *,
    start: int,
    total_steps: int,
) -> None:
    """Log devices, parameters, examples, and where the run starts."""
    devices, processes = jax.devices(), parallel.process_count()
    spread = f", in {processes} processes" if processes > 1 else ""
    held_out = len(sources.held_out.names) if sources.held_out else 0
    lines = [
        f"devices: {len(devices)} × {devices[0].device_kind}{spread}",
        f"model: {network.count_parameters():,} parameters, computing in {config.model.dtype}",
        f"weights: {weights}",
        f"examples: {len(sources.train.names)} to train on, {held_out} held out",
        f"starting at step {start} of {total_steps}"
        if start < total_steps
        else f"the run is complete: step {start} of {total_steps}",
    ]
    if jax.default_backend() == "gpu":  # on a CPU a resumed run equals one that never stopped
        exact = DETERMINISTIC in os.environ.get("XLA_FLAGS", "")
        but = f" but for rounding (XLA_FLAGS={DETERMINISTIC}: bit for bit, and slower)"
        lines.append(
            f"a resumed run equals one that never stopped{', bit for bit' if exact else but}"
        )
    parallel.log("\n".join(lines))

"""Mode convert: the authors' released checkpoint becomes a workdir."""

import argparse
import sys

from ml_collections import ConfigDict

from class_jax.config import check_released
from class_jax.errors import UserError
from class_jax.models.network import build_network
from class_jax.runs.checkpoints import Checkpoints
from class_jax.runs.workdir import Workdir
from class_jax.training.optimizer import make_optimizer
from class_jax.training.state import TrainState, init_state, save_state
from class_jax.weights.load import load_released
from class_jax.weights.saved import save_unused


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Write a checkpoint of step 0 with the released values; return the exit status.

    Raises:
      UserError: a workdir that holds a run, another network than the released one, or a
        file that does not fit it. Nothing is written.
    """
    source, *others = flags.source
    if others:
        raise UserError(f"convert takes one --source, and not {others[0]} as well.")
    checkpoints = workdir.checkpoints
    if workdir.config_file.exists() or (checkpoints.exists() and any(checkpoints.iterdir())):
        raise UserError(f"{workdir.path} already holds a run: choose another --workdir.")
    # Other weights might fit another network, too.
    check_released(config, hint="Add --config configs/r50_released.py")
    network = build_network(config.model, dtype="float32")
    variables = load_released(source, network)
    # For the shapes of its state.
    optimizer, _ = make_optimizer(config.train, network, total_steps=1)
    state = init_state(variables, optimizer, ema=config.train.ema_decay > 0)
    workdir.create()
    with workdir.lock():
        _write(config, workdir, state, source)
    parameters = f"{network.count_parameters():,} parameters"
    print(f"{source} → {workdir.path}: {parameters}", file=sys.stderr)
    return 0


def _write(config: ConfigDict, workdir: Workdir, state: TrainState, source: str) -> None:
    """Write checkpoint, configuration and what the network does not use, or nothing."""
    try:
        save_unused(source, workdir.unused_weights)
        with Checkpoints(workdir.checkpoints, writable=True) as checkpoints:
            save_state(checkpoints, state)
        workdir.save_config(config)
    except BaseException:
        workdir.checkpoints.rmtree(missing_ok=True)
        workdir.unused_weights.unlink(missing_ok=True)
        raise

"""Loading JAX: what it is to know before, and whom to join."""

import argparse
import os
import platform

from absl import logging

from class_jax.errors import UserError
from class_jax.workdir import CACHE

MOST_BYTES = 4 * 2**30


def join(flags: argparse.Namespace) -> None:
    """Load JAX, with its environment set, and join the other processes that the flags tell of.

    Raises:
      UserError: the others cannot be joined or were given other flags, or the mode is for one.
    """
    several = flags.distributed or flags.coordinator
    if several and flags.mode == "convert":
        raise UserError(
            "--mode convert runs in one process: leave out --distributed, --coordinator, "
            "--num_processes and --process_id."
        )
    if not several:
        # Of several processes JAX lets the first alone write, and the others would be out of step.
        keep_compiled_programs()
    from class_jax import hosts  # noqa: PLC0415 - it loads JAX, which reads the environment

    logging.set_verbosity(logging.ERROR)  # orbax tells of its every file
    hosts.start(flags.coordinator, flags.num_processes, flags.process_id, detect=flags.distributed)
    hosts.check_same({**vars(flags), "process_id": None}, "their flags")


def keep_compiled_programs() -> None:
    """Have JAX keep what it compiles in the user's cache, for the next run of the same network.

    A folder for each machine, because programs for a CPU are made for that one. The environment
    variables of JAX say otherwise where they are set; an empty JAX_COMPILATION_CACHE_DIR keeps
    nothing.
    """
    folder = CACHE.expanduser() / "compiled" / platform.node()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(MOST_BYTES))

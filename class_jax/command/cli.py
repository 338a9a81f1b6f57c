"""The command line: flags, start-up, dispatch by --mode, exit status."""

# ruff: noqa: PLC0415 - JAX is imported only once the flags are right and its environment is set

import argparse
import contextlib
import importlib
import logging as python_logging
import os
import platform
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from class_jax.beside import make_importable
from class_jax.command.flags import USE_NETWORK, WORKDIR, parse_flags
from class_jax.command.streams import is_output_lost, protect_streams
from class_jax.errors import BrokenFilesError, UserError, sentence_of
from class_jax.files import absolute

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from class_jax.runs.workdir import Workdir

IN_ALL_PROCESSES = ("train", "eval", "predict")  # of several; prepare and score run in the first
CACHE_BYTES = 4 * 2**30  # of compiled programs
TRACEBACK = "CLASS_JAX_TRACEBACK"
FIXED_IN_ONNX = ("--config.model.", "--config.eval.image_size", "--config.eval.dtype")


def main(arguments: list[str]) -> int:
    """Run the program and return its exit status; a user's mistake is one sentence and status 2."""
    protect_streams()
    try:
        status = dispatch(arguments)
        if status == 0 and is_output_lost():
            print("error: standard output was closed, or its disk is full.", file=sys.stderr)
            status = 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    except Exception as error:
        status = report(error)
    return status


def report(error: Exception) -> int:
    """Print what went wrong and return the exit status: 2 for a user's mistake, 1 for a fault."""
    sentence = sentence_of(error)
    if sentence is None or os.environ.get(TRACEBACK):
        print("".join(traceback.format_exception(error)), end="", file=sys.stderr)
    if sentence is None:
        return 1
    if isinstance(error, BrokenFilesError) and error.skippable:
        sentence += "\nFix them, or leave them out with --skip_broken."
    print(f"error: {sentence}", file=sys.stderr)
    return 2


def dispatch(arguments: list[str]) -> int:
    """Run the mode that the arguments name and return its exit status."""
    flags, overrides = parse_flags(arguments)
    make_importable()
    _start_jax(flags)
    from class_jax import parallel
    from class_jax.leaves import flatten
    from class_jax.runs.workdir import Workdir

    workdir = Workdir(flags.workdir or WORKDIR)
    config = parallel.run_on_all(lambda: _load_config(flags, overrides, workdir))
    parallel.check_same(flatten(config), "their configuration")
    mode = importlib.import_module(f"class_jax.modes.{flags.mode}")
    if flags.mode in IN_ALL_PROCESSES:
        return mode.run(flags, config, workdir)
    return parallel.run_on_first(lambda: mode.run(flags, config, workdir))


def _load_config(
    flags: argparse.Namespace, overrides: list[str], workdir: "Workdir"
) -> "ConfigDict":
    """Return the configuration in force; download --model first if it is not on this machine.

    Raises:
      UserError: as `config.load_config`; or a leaf is given that an exported network has fixed.
    """
    from class_jax import parallel
    from class_jax.config import load_config
    from class_jax.networks.places import PHOTO, choose, is_onnx, read_settings, resolve
    from class_jax.runs.workdir import Workdir

    if flags.mode == "train":
        return load_config(flags.config, workdir, overrides, settings_of=read_settings)
    may_be_photo = flags.mode in USE_NETWORK and (flags.mode != "eval" or flags.input)
    if may_be_photo and choose(flags.model, flags.workdir, otherwise=WORKDIR) == PHOTO:
        if flags.model is None:
            parallel.log(f"{WORKDIR} holds no run: by the network that comes with class_jax, photo")
        flags.model = PHOTO
    if flags.model is None:
        return load_config(flags.config, workdir, overrides)
    flags.model = resolve(flags.model)
    if not is_onnx(flags.model):
        read_settings(flags.model)  # is there a model at all
        return load_config(flags.config, Workdir(flags.model), overrides)
    for name in overrides:
        if name.startswith(FIXED_IN_ONNX):
            raise UserError(f"{name} cannot change what {flags.model} computes: leave it out.")
    return load_config(flags.config, workdir, overrides, has_network=False)


def _start_jax(flags: argparse.Namespace) -> None:
    """Import JAX with its environment set, and join the other processes that the flags name.

    Raises:
      UserError: the other processes cannot be joined, or were given other flags.
    """
    several = flags.distributed or flags.coordinator
    if not several:
        # With several processes JAX lets only the first write, and the others fall out of step.
        cache_compiled_programs()
    from absl import logging

    from class_jax import parallel

    logging.set_verbosity(logging.FATAL)  # orbax logs every file; what fails it raises, too
    _silence_libraries()
    if several:
        with _explain_flags(flags):
            parallel.start(flags.coordinator, flags.num_processes, flags.process_id)
    parallel.check_same({**vars(flags), "process_id": None}, "their flags")


def _silence_libraries() -> None:
    """Drop what libraries print when a write fails in the background: it is raised as well.

    On a full disk that would be hundreds of lines above our sentence.
    """
    python_logging.getLogger("asyncio").setLevel(python_logging.CRITICAL)
    before = sys.unraisablehook

    def hook(failure: Any) -> None:
        if failure.object is not None or threading.current_thread() is threading.main_thread():
            before(failure)  # not by tensorstore, whose callbacks belong to nothing

    sys.unraisablehook = hook


@contextlib.contextmanager
def _explain_flags(flags: argparse.Namespace) -> Iterator[None]:
    """Add to an error of joining what the flags should have said."""
    try:
        yield
    except UserError as error:
        if flags.distributed:
            hint = (
                "--distributed is for TPU pods, Slurm, Kubernetes and Open MPI; elsewhere give "
                "--coordinator, --num_processes and --process_id."
            )
            raise UserError(f"{error} {hint}") from error
        raise UserError(f"--coordinator: {error}") from error


def cache_compiled_programs() -> None:
    """Let JAX keep compiled programs in the user's cache, for the next run of the same network.

    Programs for a CPU fit that CPU only, so each machine has a folder. JAX's own environment
    variables take precedence; an empty JAX_COMPILATION_CACHE_DIR keeps nothing.
    """
    from class_jax.runs.workdir import CACHE

    folder = absolute(CACHE) / "compiled" / platform.node()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(CACHE_BYTES))

"""The command line: dispatch by mode, pages of help, exit status."""

# ruff: noqa: PLC0415 - JAX is imported only once the flags are right and its environment is set

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from class_jax.beside import make_importable
from class_jax.command import parsing
from class_jax.command.process import cache_compiled_programs, set_up_process
from class_jax.command.streams import is_output_lost
from class_jax.errors import BrokenFilesError, UserError, end_by_ctrl_c, sentence_of
from class_jax.modes.table import ALL, MODES, RUNS, Mode, configure
from class_jax.text import printable

TRACEBACK = "CLASS_JAX_TRACEBACK"
COMMANDS = (
    ("predict photo.jpg --format cutout --output cutout.png", "cut out what stands out"),
    ("predict PHOTOS/ --output maps/", "maps of a folder"),
    ("serve", "a page in the browser"),
    ("train --config configs/quickstart.py", "train a small network, 2 minutes"),
    ("eval", f"score the run in {RUNS}"),
)


def main(arguments: list[str]) -> int:
    """Run the program and return its exit status; a user's mistake is one sentence and status 2."""
    set_up_process()
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
    print("error:", printable(sentence, keep="\n"), file=sys.stderr)
    return 2


def dispatch(arguments: Sequence[str]) -> int:
    """Run the mode that the arguments name, or show a page; return the exit status."""
    page = _find_page(arguments)
    if page is not None:
        print(page)
        return 0
    flags, overrides = parsing.parse_flags(arguments)
    parsing.check_paths(flags)
    mode = MODES[flags.mode]
    make_importable()
    with end_by_ctrl_c():
        from class_jax import parallel
        from class_jax.leaves import flatten
        from class_jax.runs.workdir import Workdir

    _join_processes(flags)
    workdir = Workdir(flags.workdir or RUNS)
    config = parallel.run_on_all(lambda: configure(flags, overrides, workdir))
    parallel.check_same(flatten(config), "their configuration")
    with end_by_ctrl_c():
        run = importlib.import_module(f"class_jax.modes.{mode.name}").run
    if mode.processes == ALL:
        return run(flags, config, workdir)
    return parallel.run_on_first(lambda: run(flags, config, workdir))


def _find_page(arguments: Sequence[str]) -> str | None:
    """Return the page that the arguments ask for; None if they ask for work."""
    words, _ = parsing.split_words(arguments)
    if not words:
        from class_jax.runs.workdir import Workdir

        return None if Workdir(RUNS).holds_run() else _start_page()
    if words[0] == "help":
        words[0] = "--help"
    asked = [word for word in words if word not in ("-h", "--help")]
    return _help_page(parsing.find_mode(asked)[0]) if len(asked) < len(words) else None


def _start_page() -> str:
    """Return the page of a first call: the commands that people begin with."""
    program = parsing.program()
    lines = [(f"{program} {command}", purpose) for command, purpose in COMMANDS]
    width = max(len(command) for command, _ in lines) + 3
    listed = "\n".join(f"  {command:<{width}}{purpose}" for command, purpose in lines)
    return (
        f"class_jax finds what stands out in photographs, and cuts it out.\n\n{listed}\n"
        f"\n{program} --help lists all modes; {program} MODE --help shows one."
    )


def _help_page(mode: Mode | None) -> str:
    """Return the help of a mode, or the list of modes."""
    if mode:
        return parsing.make_parser(mode).format_help().rstrip()
    program = parsing.program()
    modes = "\n".join(f"  {mode.name:<10}{mode.purpose}" for mode in MODES.values())
    return (
        f"usage: {program} MODE [INPUT ...] [flags]\n\nmodes:\n{modes}\n"
        f"\n{program} MODE --help shows the flags of a mode; without a mode: train."
    )


def _join_processes(flags: argparse.Namespace) -> None:
    """Set the environment of JAX, and join the other processes that the flags name.

    Raises:
      UserError: the other processes cannot be joined, or were given other flags.
    """
    several = flags.distributed or flags.coordinator
    if not several:
        # With several processes JAX lets only the first write, and the others fall out of step.
        cache_compiled_programs()
    from absl import logging

    from class_jax import parallel

    logging.set_verbosity(logging.FATAL)  # orbax logs every file, and raises what fails
    if several:
        try:
            parallel.start(flags.coordinator, flags.num_processes, flags.process_id)
        except UserError as error:
            if not flags.distributed:
                raise
            raise UserError(
                f"{error} --distributed is for TPU pods, Slurm, Kubernetes and Open MPI; elsewhere "
                "give --coordinator, --num_processes and --process_id."
            ) from error
    parallel.check_same({**vars(flags), "process_id": None}, "their flags")

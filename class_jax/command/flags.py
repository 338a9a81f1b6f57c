"""Flags and modes of the command line, and the parser of a mode."""

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import class_jax
from class_jax.errors import UserError
from class_jax.modes.configure import RUNS

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from class_jax.runs.workdir import Workdir

    Configure = Callable[[argparse.Namespace, list[str], Workdir], ConfigDict]

ALL, FIRST, ONE = "all", "first", "one"  # of several processes: all, process 0, or only one allowed


class Flag(NamedTuple):
    """A flag, its help, and further options for argparse."""

    name: str
    help: str
    default: Any = None
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed
    reads: bool = False  # its values are paths, of which at least one must be there


class Mode(NamedTuple):
    """A mode: what it is for, its flags, how it is configured, and where it runs.

    What it does is `run(flags, config, workdir)` of the file of its name in class_jax.modes.
    """

    name: str
    purpose: str  # a sentence
    example: str  # the arguments after its name
    configure: "Configure"
    flags: tuple[Flag, ...] = ()
    needs: tuple[str, ...] = ()  # names of flags
    words: str = ""  # name of the flag whose values bare words are
    processes: str = ALL


COMMON = (
    Flag("config", "a recipe; --config.a.b=value overrides any of its leaves"),
    Flag("workdir", f"everything a run writes (default: {RUNS})"),
)
SEVERAL = (
    Flag(
        "distributed", "TPU pods, Slurm, Kubernetes: JAX finds them", False,
        {"action": "store_true"},
    ),
    Flag("coordinator", "by hand: HOST:PORT of process 0"),
    Flag("num_processes", "by hand: how many processes there are", None, {"type": int}),
    Flag("process_id", "by hand: which of them this is, from 0", None, {"type": int}),
)  # fmt: skip


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises UserError instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError."""
        raise UserError(f"{message}; see {self.prog} --help.")


def name_program() -> str:
    """Return what a user types to start the program."""
    return "python main.py" if Path(sys.argv[0]).name == "main.py" else "class-jax"


def make_parser(mode: Mode) -> Parser:
    """Build the parser of a mode, for all flags but the overrides, which depend on the recipe."""
    prog = f"{name_program()} {mode.name}"
    parser = Parser(
        prog=prog,
        usage=f"{prog} {f'{mode.words.upper()} … ' if mode.words else ''}[flags]",
        description=mode.purpose,
        epilog=f"for example:\n  {prog} {mode.example}",
        formatter_class=functools.partial(
            argparse.RawDescriptionHelpFormatter, max_help_position=30
        ),
        allow_abbrev=False,
    )
    groups = {"flags": mode.flags, "flags of every mode": COMMON}
    if mode.processes != ONE:
        groups["several processes; each runs the same command"] = SEVERAL
    for title, flags in groups.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            group.add_argument(
                f"--{flag.name}", help=flag.help, default=flag.default, **flag.options
            )
    parser.add_argument("--version", action="version", version=f"class-jax {class_jax.__version__}")
    return parser


def check_processes(flags: argparse.Namespace) -> None:
    """Raise UserError if the flags for several processes contradict each other."""
    by_hand = (flags.coordinator, flags.num_processes, flags.process_id)
    if by_hand == (None, None, None):
        return
    if flags.distributed:
        raise UserError(
            "--distributed finds the processes by itself: give it alone, or --coordinator, "
            "--num_processes and --process_id without it."
        )
    if None in by_hand:
        raise UserError(
            "--coordinator=HOST:PORT, --num_processes=N and --process_id=I belong together: give "
            "all three to every process."
        )
    host, _, port = flags.coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(
            f"--coordinator={flags.coordinator}: expected HOST:PORT, as in 10.0.0.1:1234."
        )
    if flags.num_processes < 1:
        raise UserError(f"--num_processes={flags.num_processes}: expected 1 or more.")
    if not 0 <= flags.process_id < flags.num_processes:
        raise UserError(
            f"--process_id={flags.process_id}: expected 0 to {flags.num_processes - 1}."
        )

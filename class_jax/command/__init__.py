"""The command line: start of the process, dispatch, flags, streams."""

# ruff: noqa: PLC0415 - Ctrl-C is answered before anything else is imported

import sys
from typing import NoReturn

from class_jax.errors import end_by_ctrl_c


def run_command() -> NoReturn:
    """Run the program with the flags of this process, and exit with its status."""
    with end_by_ctrl_c():
        from class_jax.command.process import tune_allocator

        tune_allocator()
        from class_jax.command.cli import main
    status = main(sys.argv[1:])
    with end_by_ctrl_c(for_good=True):
        sys.exit(status)

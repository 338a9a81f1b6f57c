"""Train, evaluate and prepare: `python main.py --mode train --config configs/r50.py`.

Flags and dispatch; see README.md for what each mode does.
"""

import argparse
import sys
from typing import NoReturn

from class_jax.errors import UserError

MODES = ("train", "eval", "prepare")


class Parser(argparse.ArgumentParser):
    """argparse, with mistakes said as every other mistake of a user is."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise UserError(f"{message}; see --help.")


def make_parser() -> Parser:
    """All flags but the overrides --config.a.b=value, which depend on the configuration."""
    parser = Parser(description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--mode", choices=MODES, default="train", help="what to do (default: train)")
    add(
        "--config",
        help="a recipe; --config.a.b=value overrides any leaf (default: the one saved in the "
        "workdir, otherwise configs/r50.py)",
    )
    add("--workdir", default="runs/", help="everything a run writes (default: runs/)")
    add("--input", help="eval: a folder of images with masks, instead of the configured sets")
    add(
        "--checkpoint",
        default="best",
        help="eval: best, latest or a step number (default: best)",
    )
    add(
        "--skip_broken",
        action="store_true",
        help="train, prepare: leave broken or unpaired files out, and say how many",
    )
    return parser


def dispatch(arguments: list[str]) -> int:
    """Run the mode that the arguments ask for; gives the exit status."""
    flags, overrides = make_parser().parse_known_args(arguments)
    # Imported late: a mistyped flag is answered at once, not after seconds of loading libraries.
    from absl import logging  # noqa: PLC0415

    from class_jax.modes import configuration, evaluate, prepare, train  # noqa: PLC0415
    from class_jax.workdir import Workdir  # noqa: PLC0415

    logging.set_verbosity(logging.ERROR)  # orbax tells of its every file
    workdir = Workdir(flags.workdir)
    config = configuration.in_force(flags.config, workdir, overrides)
    if flags.mode == "train":
        return train.run(config, workdir, skip_broken=flags.skip_broken)
    if flags.mode == "eval":
        return evaluate.run(config, workdir, folder=flags.input, checkpoint=flags.checkpoint)
    return prepare.run(config, skip_broken=flags.skip_broken)


def main() -> int:
    """Run, and turn a user's mistake into one sentence and status 2."""
    try:
        return dispatch(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

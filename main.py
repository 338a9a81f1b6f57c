"""CLASS salient object detection: flags, and dispatch by --mode; README.md says what each does."""

# ruff: noqa: PLC0415 - a mistyped flag is answered at once, not after seconds of loading libraries

import argparse
import sys
from typing import NoReturn

from class_jax.errors import UserError, mendable

MODES = ("train", "eval", "predict", "convert", "prepare")


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
    add("--config", help="a recipe; --config.a.b=value overrides any of its leaves")
    add("--workdir", default="runs/", help="everything a run writes (default: runs/)")
    add("--input", help="predict: an image or a folder; eval: a folder of images with masks")
    add("--output", help="predict: where maps go (default: WORKDIR/predictions)")
    add("--source", help="convert: the authors' checkpoint, .safetensors or .pth")
    add("--checkpoint", default="best", help="best (default), latest or a step number")
    add("--skip_broken", action="store_true", help="train, prepare: leave broken files out")
    return parser


def dispatch(arguments: list[str]) -> int:
    """Run the mode that the arguments ask for; gives the exit status."""
    flags, overrides = make_parser().parse_known_args(arguments)
    if empty := [name for name, value in vars(flags).items() if value == ""]:
        raise UserError(f"--{empty[0]} is empty: give it a value, or leave it out.")
    from absl import logging

    from class_jax.modes import configuration, convert, evaluate, predict, prepare, train
    from class_jax.workdir import Workdir

    logging.set_verbosity(logging.ERROR)  # orbax tells of its every file
    workdir = Workdir(flags.workdir)
    config = configuration.in_force(flags.config, workdir, overrides)
    if flags.mode == "train":
        return train.run(config, workdir, skip_broken=flags.skip_broken)
    if flags.mode == "prepare":
        return prepare.run(config, skip_broken=flags.skip_broken)
    if flags.mode == "convert":
        return convert.run(config, workdir, source=flags.source)
    options = {"source": flags.input, "checkpoint": flags.checkpoint}
    if flags.mode == "predict":
        return predict.run(config, workdir, output=flags.output, **options)
    return evaluate.run(config, workdir, **options)


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
    except Exception as error:
        if (sentence := mendable(error)) is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

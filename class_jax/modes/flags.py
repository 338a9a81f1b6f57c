"""The flags of main.py; --config.a.b=value is left to the configuration."""

import argparse
from typing import NoReturn

from class_jax.errors import UserError

MODES = ("train", "eval", "predict", "score", "convert", "prepare")


def parse_flags(
    arguments: list[str], *, description: str | None
) -> tuple[argparse.Namespace, list[str]]:
    """The flags' values, and the arguments that are none of them.

    Raises:
      UserError: a value is missing, empty or not one of those allowed.
    """
    flags, others = _make_parser(description).parse_known_args(arguments)
    for name, value in vars(flags).items():
        if value == "" or (isinstance(value, list) and "" in value):
            raise UserError(f"--{name} is empty: give it a value, or leave it out.")
    return flags, others


class Parser(argparse.ArgumentParser):
    """argparse, with mistakes said as every other mistake of a user is."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise UserError(f"{message}; see --help.")


def _make_parser(description: str | None) -> Parser:
    """All flags but the overrides --config.a.b=value, which depend on the configuration."""
    parser = Parser(description=description, allow_abbrev=False)
    add = parser.add_argument
    add("--mode", choices=MODES, default="train", help="what to do (default: train)")
    add("--config", help="a recipe; --config.a.b=value overrides any of its leaves")
    add("--workdir", default="runs/", help="everything a run writes (default: runs/)")
    add("--input", help="predict: an image or a folder; eval: a folder of images with masks")
    add("--output", help="where predict and score write (default: WORKDIR/predictions, /score)")
    add("--predictions", action="append", help="score: a folder of maps; once for each method")
    add("--masks", help="score: the folder of masks")
    add("--protocol", choices=("pysod", "matlab", "both"), default="pysod", help="eval, score")
    add("--allow_missing", action="store_true", help="score: go on where masks have no map")
    add("--source", help="convert: the authors' checkpoint, .safetensors or .pth")
    add("--checkpoint", default="best", help="best (default), latest or a step number")
    add("--skip_broken", action="store_true", help="train, prepare: leave broken files out")
    hosts = parser.add_argument_group("several processes or hosts; each runs the same command")
    add = hosts.add_argument
    add("--distributed", action="store_true", help="TPU pods, Slurm, Kubernetes: JAX finds them")
    add("--coordinator", help="by hand: HOST:PORT of process 0")
    add("--num_processes", type=int, help="by hand: how many processes there are")
    add("--process_id", type=int, help="by hand: which of them this is, from 0")
    return parser

"""The flags of the command line: the table, the parser, and what they may not say together."""

import argparse
import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

import class_jax
from class_jax.errors import UserError

# Each mode is a file of class_jax.modes with a function `run(flags, config, workdir) -> status`.
MODES = ("train", "eval", "predict", "score", "convert", "prepare", "export", "serve")
WORKDIR = "runs/"  # where none is named
DESCRIPTION = """CLASS salient object detection. Modes: train (or resume), eval (maps and scores of
images with masks), predict (maps of images), score (any method's maps), convert (the authors'
checkpoint), prepare (get and check data), export (for other programs), serve (a page in the
browser). See README.md."""


class Flag(NamedTuple):
    """A flag, the modes that it is for, its help, and what else argparse is told."""

    name: str
    modes: tuple[str, ...]
    help: str
    default: Any = None
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed


USE_NETWORK = ("eval", "predict", "export", "serve")
SWITCH = {"action": "store_true"}
FLAGS = (
    Flag("input", ("eval", "predict", "export"), "images or folders", None, {"nargs": "+"}),
    Flag("output", ("eval", "predict", "score", "export"), "where to write"),
    Flag("model", USE_NETWORK, "a workdir, an export or hf://owner/name, not --workdir"),
    Flag("format", ("predict", "export"), "predict: map (default), cutout, overlay or attention; "
         "export: safetensors (default), onnx, stablehlo or torch"),
    Flag("background", ("predict",), "of cut-outs: a colour, a picture, or blur"),
    Flag("threshold", ("predict",), "a hard mask at this level, 0 to 1", None, {"type": float}),
    Flag("crop", ("predict",), "to the object, with a margin of 5 %%", False, SWITCH),
    Flag("point", ("predict",), "X,Y: of attention (default: the most salient pixel)"),
    Flag("checkpoint", USE_NETWORK, "best (default), latest or a step", "best"),
    Flag(
        "protocol", ("eval", "score"), "of the scores (default: pysod)", "pysod",
        {"choices": ("pysod", "matlab", "both")},
    ),
    Flag(
        "metrics", ("eval", "score"), "published (default), or all: IoU, Dice, BER ... as well",
        "published", {"choices": ("published", "all")},
    ),
    Flag("predictions", ("score",), "folder of maps; once a method", None, {"action": "append"}),
    Flag("masks", ("score",), "folder of masks; once a set", None, {"action": "append"}),
    Flag("map_max", ("score",), "the level of maps that stands for 1", None, {"type": int}),
    Flag("allow_missing", ("score",), "go on when masks have no map", False, SWITCH),
    Flag(
        "gallery", ("score",), "a comparison sheet, of images of these names or picked", None,
        {"nargs": "*"},
    ),
    Flag("source", ("convert",), "the authors' checkpoint, .safetensors or .pth"),
    Flag(
        "host", ("serve",), "where to listen (default: 127.0.0.1), and names it is reached by",
        None, {"nargs": "+", "action": "extend"},
    ),
    Flag("port", ("serve",), "the port (default: 7860)", 7860, {"type": int}),
    Flag(
        "allow_origin", ("serve",), "a page of others that may use it; once a page", None,
        {"action": "append"},
    ),
    Flag("root_path", ("serve",), "its path behind a proxy, as in /saliency"),
    Flag("skip_broken", ("train", "prepare"), "leave broken files out", False, SWITCH),
)  # fmt: skip


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises UserError instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError."""
        raise UserError(f"{message}; see --help.")


def parse_flags(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the flags' values, and the arguments that are not flags (overrides).

    Raises:
      UserError: a value is missing, empty or not allowed, or a flag is unknown or for other modes.
    """
    flags, others = _make_parser().parse_known_args(arguments)
    for name, value in vars(flags).items():
        if value == "" or (isinstance(value, list) and "" in value):
            raise UserError(f"--{name} is empty: give it a value, or leave it out.")
    for flag in FLAGS:
        if flag.name not in flags:
            setattr(flags, flag.name, flag.default)
        elif flags.mode not in flag.modes:
            modes = " and ".join(f"--mode {mode}" for mode in flag.modes)
            raise UserError(f"--{flag.name} is for {modes}, not for --mode {flags.mode}.")
    _check_process_flags(flags)
    for word in others:
        if word.startswith("--") and not word.startswith("--config."):
            raise _unknown(word.partition("=")[0], [*vars(flags), "help", "version"])
    return flags, others


def _unknown(flag: str, names: Iterable[str]) -> UserError:
    """Return the error of a flag that is none of `names`."""
    section = flag.removeprefix("--").partition(".")[0]  # of a leaf: config
    close = difflib.get_close_matches(section, names, n=1)
    hint = f"did you mean --{close[0]}?" if close else "see --help."
    return UserError(f"{flag} is not a flag of this program; {hint}")


def _make_parser() -> Parser:
    """Build the parser for all flags but the overrides, which depend on the configuration."""
    parser = Parser(description=DESCRIPTION, allow_abbrev=False)
    add = parser.add_argument
    add("--version", action="version", version=f"class-jax {class_jax.__version__}")
    add("--mode", choices=MODES, default="train", help="what to do (default: train)")
    add("--config", help="a recipe; --config.a.b=value overrides any of its leaves")
    add("--workdir", help=f"everything a run writes (default: {WORKDIR})")
    for flag in FLAGS:
        text = f"{', '.join(flag.modes)}: {flag.help}"
        add(f"--{flag.name}", help=text, default=argparse.SUPPRESS, **flag.options)
    add = parser.add_argument_group("several processes; each runs the same command").add_argument
    add("--distributed", action="store_true", help="TPU pods, Slurm, Kubernetes: JAX finds them")
    add("--coordinator", help="by hand: HOST:PORT of process 0")
    add("--num_processes", type=int, help="by hand: how many processes there are")
    add("--process_id", type=int, help="by hand: which of them this is, from 0")
    return parser


def _check_process_flags(flags: argparse.Namespace) -> None:
    """Raise UserError if the flags for several processes contradict each other or the mode."""
    by_hand = (flags.coordinator, flags.num_processes, flags.process_id)
    if by_hand == (None, None, None) and not flags.distributed:
        return
    if flags.mode in ("convert", "export", "serve"):
        raise UserError(
            f"--mode {flags.mode} runs in one process: leave out --distributed, --coordinator, "
            "--num_processes and --process_id."
        )
    if flags.distributed and by_hand != (None, None, None):
        raise UserError(
            "--distributed finds the processes by itself: give it alone, or --coordinator, "
            "--num_processes and --process_id without it."
        )
    if flags.distributed:
        return
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

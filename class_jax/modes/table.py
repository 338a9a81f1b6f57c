"""The table of modes: what each is for, its flags, where it runs and how it is configured.

It is read before anything slow is imported; what a mode does is in the file of its name.
"""

# ruff: noqa: PLC0415 - modes need what is imported here only once their flags are right

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

from class_jax.errors import UserError, end_by_ctrl_c

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from class_jax.runs.workdir import Workdir

RUNS = "runs/"  # the workdir where none is named
FIXED_IN_ONNX = ("--config.model.", "--config.eval.image_size", "--config.eval.dtype")
ALL, FIRST, ONE = "all", "first", "one"  # of several processes: all, process 0, or only one allowed


class Flag(NamedTuple):
    """A flag, its help, and further options for argparse."""

    name: str
    help: str
    default: Any = None
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed
    reads: bool = False  # its values are paths, at least one of which must exist


class Mode(NamedTuple):
    """A mode: what it is for, its flags, and where it runs.

    What it does is `run(flags, config, workdir)` of the file of its name in class_jax.modes.
    """

    name: str
    purpose: str  # a sentence
    example: str  # the arguments after its name
    flags: tuple[Flag, ...] = ()
    needs: tuple[str, ...] = ()  # names of flags
    words: str = ""  # name of the flag whose values bare words are
    processes: str = ALL

    def defaults(self, **values: Any) -> argparse.Namespace:
        """Return its flags with their defaults, but for some values."""
        return argparse.Namespace(**{flag.name: flag.default for flag in self.flags} | values)


COMMON = (
    Flag("config", "a recipe; --config.a.b=value overrides any of its leaves"),
    Flag("workdir", f"the folder of all that a run writes (default: {RUNS})"),
)
SEVERAL = (
    Flag(
        "distributed", "let JAX find them: TPU pods, Slurm, Kubernetes", False,
        {"action": "store_true"},
    ),
    Flag("coordinator", "by hand: HOST:PORT of process 0"),
    Flag("num_processes", "by hand: how many processes there are", None, {"type": int}),
    Flag("process_id", "by hand: this process's index, from 0", None, {"type": int}),
)  # fmt: skip


def configure(flags: argparse.Namespace, overrides: list[str], workdir: "Workdir") -> "ConfigDict":
    """Return the configuration in force: of the recipe, the network or the workdir.

    In modes that use a network, `flags.model` then names where it lies: what was named, downloaded
    if it was not on this machine, else the workdir, or the package's where that holds no run.

    Raises:
      UserError: there is no network, or nothing to train on; or a leaf is given that an exported
        network has fixed.
    """
    from class_jax.config import load_config
    from class_jax.networks import places
    from class_jax.runs.workdir import Workdir

    if flags.mode == TRAIN.name:
        config = load_config(flags.config, workdir, overrides, settings_of=places.read_settings)
        with end_by_ctrl_c():
            from datasets.inputs import check_places
        check_places(config)  # before JAX is imported
        return config
    if "model" not in flags:
        return load_config(flags.config, workdir, overrides)
    # Without inputs, eval takes the run's own sets, which the package's network has not.
    is_open = flags.workdir is None and not (flags.mode == EVAL.name and not flags.input)
    if flags.model is None and is_open and places.is_left_to_photo(RUNS):
        flags.model = places.PHOTO
    flags.model = places.resolve(flags.model or workdir.path)
    if places.is_onnx(flags.model):
        for name in overrides:
            if name.startswith(FIXED_IN_ONNX):
                raise UserError(f"{name} cannot change what {flags.model} computes: leave it out.")
        return load_config(flags.config, workdir, overrides, has_network=False)
    home = Workdir(flags.model)
    # What was typed is checked before what lies on the disk.
    config = load_config(flags.config, home, overrides) if flags.config else None
    if not places.is_there(flags.model):
        places.read_settings(flags.model)  # says how to get one
    return config or load_config(None, home, overrides)


SWITCH = {"action": "store_true"}
REPEATED = {"action": "append"}
ONE_OR_MORE = {"nargs": "+", "action": "extend"}

INPUT = Flag("input", "images or folders", None, ONE_OR_MORE, reads=True)
OUTPUT = Flag("output", "where to write")
MODEL = Flag(
    "model", "a network instead of the workdir's: photo, a workdir, an export or hf://owner/name"
)
CHECKPOINT = Flag("checkpoint", "which one of a run: best (default), latest or a step", "best")
PROTOCOL = Flag(
    "protocol", "scoring protocol (default: pysod)", "pysod",
    {"choices": ("pysod", "matlab", "both")},
)  # fmt: skip
METRICS = Flag(
    "metrics", "published (default) or all: IoU, Dice, BER, ... as well", "published",
    {"choices": ("published", "all")},
)  # fmt: skip
SKIP_BROKEN = Flag("skip_broken", "leave out broken or unpaired files", False, SWITCH)

TRAIN = Mode(
    "train",
    "Train a network, or go on with a run exactly where it stopped.",
    "--config configs/quickstart.py --workdir runs/",
    (SKIP_BROKEN,),
)
EVAL = Mode(
    "eval",
    "Make maps of images with masks, and score them.",
    "--workdir runs/ --protocol both",
    (
        INPUT._replace(help="folders of images with masks, instead of the recipe's sets"),
        OUTPUT, MODEL, CHECKPOINT, PROTOCOL, METRICS,
    ),
    words="input",
)  # fmt: skip
PREDICT = Mode(
    "predict",
    "Make saliency maps, cut-outs and more of images.",
    "photo.jpg --format cutout --output cutout.png",
    (
        INPUT._replace(help="images or folders; - is standard input"),
        OUTPUT._replace(help="a file or a folder; - is standard output"),
        Flag("format", "map (default), cutout, overlay or attention"),
        Flag("background", "behind a cut-out: a colour, an image or video file, or blur"),
        Flag("threshold", "make a hard mask at this level, 0 to 1", None, {"type": float}),
        Flag("crop", "crop to the object, with a margin of 5 %%", False, SWITCH),
        Flag(
            "smooth", "smooth maps of a video: the share of frames before (default: 0.7)", None,
            {"nargs": "?", "const": 0.7, "type": float},
        ),
        Flag("point", "X,Y: show the attention of this pixel (default: the most salient)"),
        MODEL, CHECKPOINT,
    ),
    needs=("input",),
    words="input",
)  # fmt: skip
SCORE = Mode(
    "score",
    "Score the maps of any method, and compare methods.",
    "--predictions maps/A --predictions maps/B --masks ECSSD/masks --output scores/",
    (
        Flag("predictions", "a folder of maps; once a method", None, REPEATED, reads=True),
        Flag("masks", "folder of masks; once a set", None, REPEATED, reads=True),
        OUTPUT, PROTOCOL, METRICS,
        Flag("map_max", "the level in maps that means 1", None, {"type": int}),
        Flag("allow_missing", "go on where masks have no map", False, SWITCH),
        Flag(
            "gallery", "draw a comparison sheet, of the images named or of chosen ones", None,
            {"nargs": "*"},
        ),
    ),
    needs=("predictions", "masks"),
    processes=FIRST,
)  # fmt: skip
CONVERT = Mode(
    "convert",
    "Turn the checkpoint that the paper's authors released into a workdir.",
    "FILE --config configs/r50_released.py --workdir runs/released",
    (Flag("source", "the authors' checkpoint, .safetensors or .pth", None, ONE_OR_MORE),),
    needs=("source",),
    words="source",
    processes=ONE,
)
PREPARE = Mode(
    "prepare",
    "Download, unpack and check the images and masks of a recipe.",
    "--config configs/folder.py --config.data.root=PATH",
    (SKIP_BROKEN,),
    processes=FIRST,
)
EXPORT = Mode(
    "export",
    "Write a network for other programs, and check that it computes the same.",
    "--workdir runs/ --format onnx --output model.onnx",
    (
        OUTPUT,
        Flag("format", "safetensors (default), onnx, stablehlo or torch"),
        Flag(
            "precision", "of the weights in an ONNX file: float32 (default), float16 or int8",
            "float32", {"choices": ("float32", "float16", "int8")},
        ),
        MODEL, CHECKPOINT,
    ),
    processes=ONE,
)  # fmt: skip
SERVE = Mode(
    "serve",
    "Open a page in the browser, and an HTTP API, for a network.",
    "--workdir runs/ --port 7860",
    (
        Flag(
            "host", "where to listen (default: 127.0.0.1), and further names of this host", None,
            ONE_OR_MORE,
        ),
        Flag("port", "the port (default: 7860)", 7860, {"type": int}),
        Flag("allow_origin", "another page that may use it; once for each", None, REPEATED),
        Flag("root_path", "the path behind a proxy, as in /saliency", "/"),
        MODEL, CHECKPOINT,
    ),
    processes=ONE,
)  # fmt: skip

MODES = {mode.name: mode for mode in (TRAIN, EVAL, PREDICT, SCORE, CONVERT, PREPARE, EXPORT, SERVE)}

"""The table of modes. It is read before anything slow is imported."""

from class_jax.command.flags import FIRST, ONE, Flag, Mode
from class_jax.modes.configure import (
    configure_evaluation,
    configure_network,
    configure_run,
    configure_training,
)

SWITCH = {"action": "store_true"}
REPEATED = {"action": "append"}

INPUT = Flag("input", "images or folders", None, {"nargs": "+"}, reads=True)
OUTPUT = Flag("output", "where to write")
MODEL = Flag(
    "model", "a network instead of the workdir's: photo, a workdir, an export or hf://owner/name"
)
CHECKPOINT = Flag("checkpoint", "of a run: best (default), latest or a step", "best")
PROTOCOL = Flag(
    "protocol", "of the scores (default: pysod)", "pysod", {"choices": ("pysod", "matlab", "both")}
)
METRICS = Flag(
    "metrics", "published (default), or all: IoU, Dice, BER ... as well", "published",
    {"choices": ("published", "all")},
)  # fmt: skip
SKIP_BROKEN = Flag("skip_broken", "leave broken files out", False, SWITCH)

TRAIN = Mode(
    "train",
    "Train a network, or go on with a run exactly where it stopped.",
    "--config configs/quickstart.py --workdir runs/",
    configure_training,
    (SKIP_BROKEN,),
)
EVAL = Mode(
    "eval",
    "Make maps of images with masks, and score them.",
    "--workdir runs/ --protocol both",
    configure_evaluation,
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
    configure_network,
    (
        INPUT._replace(help="images or folders; - is standard input"),
        OUTPUT._replace(help="a file or a folder; - is standard output"),
        Flag("format", "map (default), cutout, overlay or attention"),
        Flag("background", "of cut-outs: a colour, a picture, or blur"),
        Flag("threshold", "a hard mask at this level, 0 to 1", None, {"type": float}),
        Flag("crop", "to the object, with a margin of 5 %%", False, SWITCH),
        Flag("point", "X,Y: of attention (default: the most salient pixel)"),
        MODEL, CHECKPOINT,
    ),
    needs=("input",),
    words="input",
)  # fmt: skip
SCORE = Mode(
    "score",
    "Score the maps of any method, and compare methods.",
    "--predictions maps/A --predictions maps/B --masks ECSSD/masks --output scores/",
    configure_run,
    (
        Flag("predictions", "a folder of maps; once a method", None, REPEATED, reads=True),
        Flag("masks", "masks: a folder or a file of COCO; once a set", None, REPEATED, reads=True),
        OUTPUT, PROTOCOL, METRICS,
        Flag("map_max", "the level of maps that stands for 1", None, {"type": int}),
        Flag("allow_missing", "go on when masks have no map", False, SWITCH),
        Flag(
            "gallery", "a comparison sheet, of images of these names or picked", None,
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
    configure_run,
    (Flag("source", "the authors' checkpoint, .safetensors or .pth"),),
    needs=("source",),
    words="source",
    processes=ONE,
)
PREPARE = Mode(
    "prepare",
    "Download, unpack and check the images and masks of a recipe.",
    "--config configs/folder.py --config.data.root=PATH",
    configure_run,
    (SKIP_BROKEN,),
    processes=FIRST,
)
EXPORT = Mode(
    "export",
    "Write a network for other programs, once it is proven to compute the same.",
    "--workdir runs/ --format onnx --output model.onnx",
    configure_network,
    (
        INPUT._replace(help="photographs to compare on"),
        OUTPUT,
        Flag("format", "safetensors (default), onnx, stablehlo or torch"),
        MODEL, CHECKPOINT,
    ),
    words="input",
    processes=ONE,
)  # fmt: skip
SERVE = Mode(
    "serve",
    "Open a page in the browser, and an HTTP API, for a network.",
    "--workdir runs/ --port 7860",
    configure_network,
    (
        Flag(
            "host", "where to listen (default: 127.0.0.1), and names it is reached by", None,
            {"nargs": "+", "action": "extend"},
        ),
        Flag("port", "the port (default: 7860)", 7860, {"type": int}),
        Flag("allow_origin", "a page of others that may use it; once a page", None, REPEATED),
        Flag("root_path", "its path behind a proxy, as in /saliency"),
        MODEL, CHECKPOINT,
    ),
    processes=ONE,
)  # fmt: skip

MODES = {mode.name: mode for mode in (TRAIN, EVAL, PREDICT, SCORE, CONVERT, PREPARE, EXPORT, SERVE)}

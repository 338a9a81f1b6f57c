"""From the command to the written cut-out, beside rembg: seconds of processor time.

    python -m benchmarks.start [REMBG]

REMBG is the command of a rembg in an environment of its own (`pip install "rembg[cpu,cli]"`), left
out if there is none. Both get a network that gives the same disc for every image, so that what is
measured is everything else: ours estimates the colours at soft edges, rembg's default does not.
Images of 400x300 and 12 megapixels, and a folder of 100 of 400x300, in turns, three times; then
alpha and colours alone at other sizes and aspects. About four minutes on two cores.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from benchmarks.record import ROOT, Row, cpu, record
from class_jax.networks.onnx_engine import OUTPUTS
from class_jax.pictures.alpha import cut_out, refine_alpha

SIDE, PEER_SIDE = 352, 320  # pixels: of the networks' squares
ROUNDS, MANY = 3, 100
SHAPES = ((300, 400), (1200, 1600), (3000, 4000), (1, 20_000), (20_000, 1), (20_000, 400))


def disc(height: int, width: int) -> np.ndarray:
    """Return logits of a wavy disc with a soft edge, float32."""
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height - 0.5
    x = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
    return (0.33 + 0.03 * np.sin(9 * np.arctan2(y, x)) - np.hypot(y, x)) * 60


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return slow colours with the grain of a camera, uint8 RGB."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (12, 16, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    grain = rng.standard_normal((height, width, 3), np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), 0.8).reshape(grain.shape)
    return np.clip(smooth + 7 * grain, 0, 255).astype(np.uint8)


def write_network(path: Path, entry: tuple[int, list], logits: np.ndarray, axes: list[int]) -> None:
    """Write an ONNX file that adds nothing of the image to `logits`: first the map, then they."""
    nodes = [
        helper.make_node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values", "axes"], ["mean"], keepdims=int(axes == [1])),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "disc"], [OUTPUTS[1]]),
        helper.make_node("Sigmoid", [OUTPUTS[1]], [OUTPUTS[0]]),
    ]
    shape = ["batch", *logits.shape]
    graph = helper.make_graph(
        nodes,
        "disc",
        [helper.make_tensor_value_info("image", *entry)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in OUTPUTS],
        [
            numpy_helper.from_array(np.array(axes), "axes"),
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
            numpy_helper.from_array(logits, "disc"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)


def processor_seconds(command: Sequence[str | Path], **environment: str) -> float:
    """Return the processor time of a command, in user and system, of all its processes."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent()
    subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=os.environ | environment, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return spent() - before


def command_rows(scratch: Path, rembg: str | None) -> list[Row]:
    """Return rows of whole commands, in turns with rembg's."""
    write_network(
        scratch / "ours.onnx", (TensorProto.UINT8, ["batch", SIDE, SIDE, 3]), disc(SIDE, SIDE), [3]
    )
    square = ["batch", 3, PEER_SIDE, PEER_SIDE]
    logits = disc(PEER_SIDE, PEER_SIDE)[None]
    write_network(scratch / "u2netp.onnx", (TensorProto.FLOAT, square), logits, [1])
    (scratch / "many").mkdir()
    for index in range(MANY):
        pixels = photograph(300, 400, index)
        Image.fromarray(pixels).save(scratch / "many" / f"{index}.jpg", quality=92)
    Image.fromarray(photograph(3000, 4000)).save(scratch / "large.jpg", quality=92)
    cases = {
        "400x300": scratch / "many" / "0.jpg",
        "4000x3000": scratch / "large.jpg",
        f"a folder of {MANY} of 400x300": scratch / "many",
    }
    peer = f" (peer: {version_of(rembg)})" if rembg else ""
    rows = []
    for name, source in cases.items():
        ours, theirs = [], []
        for turn in range(ROUNDS):
            target = scratch / f"{turn}" / ("out" if source.is_dir() else f"{source.stem}.png")
            target.parent.mkdir(exist_ok=True)
            flags: list[str | Path] = [
                "--format",
                "cutout",
                "--model",
                scratch / "ours.onnx",
                "--output",
                target,
            ]
            program: list[str | Path] = [
                sys.executable,
                "main.py",
                "--mode",
                "predict",
                "--input",
                source,
            ]
            ours.append(processor_seconds([*program, *flags]))
            if rembg:
                command = [rembg, "p" if source.is_dir() else "i", "-m", "u2netp", source]
                environment = {"U2NET_HOME": str(scratch), "MODEL_CHECKSUM_DISABLED": "1"}
                output = target.parent / f"theirs-{target.name}"
                theirs.append(processor_seconds([*command, output], **environment))
        value, other = statistics.median(ours), statistics.median(theirs) if theirs else None
        ratio = other / value if other else None
        rows.append(Row(f"cut-out, {name}{peer}", cpu(), "s, processor", value, other, ratio))
    return rows


def version_of(rembg: str) -> str:
    """Return rembg's name and version."""
    done = subprocess.run([rembg, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip().replace(", version", "")


def growth_rows() -> list[Row]:
    """Return the time of alpha and colours by size and aspect, of discs and of maps all soft."""
    rows = []
    for height, width in SHAPES:
        image = photograph(height, width)
        maps = {
            "a disc": 1 / (1 + np.exp(-disc(height, width))),
            "all soft": np.full((height, width), 0.5, np.float32),
        }
        for name, saliency in maps.items():
            times = []
            for _ in range(ROUNDS):
                start = time.process_time()
                cut_out(image, refine_alpha(image, saliency))
                times.append(time.process_time() - start)
            label = f"alpha and colours, {width}x{height}, {name}"
            rows.append(Row(label, cpu(), "ms, processor", 1000 * min(times)))
    return rows


def main() -> None:
    """Measure and write the rows."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = command_rows(Path(scratch), sys.argv[1] if len(sys.argv) > 1 else None)
    packages = ("onnxruntime", "opencv-python-headless", "pillow", "numpy")
    record("start", [*rows, *growth_rows()], packages)


if __name__ == "__main__":
    main()

"""From import to the end of a short command, with a cold and with a warm compilation cache.

    python -m benchmarks.startup

Two training steps of configs/quickstart.py, and a map of one image. About two minutes on two
cores.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.record import ROOT, Row, cpu, record

TRAIN = (
    *("--config", "configs/quickstart.py", "--config.train.total_steps=2"),
    *("--config.train.validate_every=0", "--config.eval.after_training=false"),
)


def seconds_of(cache: Path, *arguments: str) -> float:
    """Return the seconds that `python main.py ARGUMENTS` takes."""
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "main.py", *arguments],
        cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - start


def main() -> None:
    """Measure, and write the rows."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        image = folder / "image.png"
        pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
        Image.fromarray(pixels).save(image)
        train, predict = [], []
        for run in ("cold", "warm"):
            workdir = str(folder / run)
            train.append(seconds_of(folder / "train", *TRAIN, "--workdir", workdir))
            flags = ("--mode", "predict", "--workdir", workdir, "--input", str(image))
            predict.append(seconds_of(folder / "predict", *flags))
    rows = [
        Row(f"start-up, {name} (peer: cold cache)", cpu(), "s", warm, cold, cold / warm)
        for name, (cold, warm) in (("two training steps", train), ("a map", predict))
    ]
    record("startup", rows, ("jax", "flax"))


if __name__ == "__main__":
    main()

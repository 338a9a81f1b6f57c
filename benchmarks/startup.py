"""From import to the end of a short command, and the programs that are compiled meanwhile.

    python -m benchmarks.startup

Two training steps of configs/quickstart.py, and a map of one image, with a cold and with a warm
compilation cache; the programs of that training with a validation, and the training step of
configs/r50.py at each of its five sizes. About three minutes on two cores.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from benchmarks.ours import Ours, random_batch
from benchmarks.record import ROOT, Row, cpu, record
from configs import r50

VALIDATED = (
    *("--config", "configs/quickstart.py", "--config.train.total_steps=2"),
    "--config.eval.after_training=false",
)
TRAIN = (*VALIDATED, "--config.train.validate_every=0")
COMPILED = re.compile(r"Finished XLA compilation of jit\((\w+)\) in ([\d.]+) sec")


def seconds_of(cache: Path, *arguments: str) -> float:
    """Return the seconds of `python main.py ARGUMENTS`."""
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "main.py", *arguments],
        cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - start


def program_rows(workdir: Path) -> list[Row]:
    """Return the number of programs of a start of the quickstart, and the seconds they take."""
    done = subprocess.run(
        [sys.executable, "main.py", *VALIDATED, "--workdir", workdir],
        cwd=ROOT, check=True, capture_output=True, text=True,
        env={**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "0", "JAX_LOG_COMPILES": "1"},
    )  # fmt: skip
    programs = [(name, float(seconds)) for name, seconds in COMPILED.findall(done.stderr)]
    validation, training = sorted(seconds for name, seconds in programs if name == "step")
    others = sum(seconds for name, seconds in programs if name != "step")
    return [
        Row("quickstart: programs compiled", cpu(), "1", len(programs)),
        Row("quickstart: compiling the training step", cpu(), "s", training),
        Row("quickstart: compiling the validation step", cpu(), "s", validation),
        Row("quickstart: compiling all others", cpu(), "s", others),
    ]


def step_rows() -> list[Row]:
    """Return the seconds that the training step of configs/r50.py takes to compile, by size."""
    jax.config.update("jax_enable_compilation_cache", False)
    ours, rows = Ours("float32"), []
    for side in r50.get_config().data.image_sizes:
        start = time.perf_counter()
        ours.compiled(random_batch(2, side))
        seconds = time.perf_counter() - start
        rows.append(Row(f"configs/r50.py: compiling a step of {side}x{side}", cpu(), "s", seconds))
    return rows


def main() -> None:
    """Measure and write the rows."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        picture = folder / "picture.png"
        pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
        Image.fromarray(pixels).save(picture)
        train, predict = [], []
        for run in ("cold", "warm"):
            workdir = str(folder / run)
            train.append(seconds_of(folder / "train", *TRAIN, "--workdir", workdir))
            flags = ("--mode", "predict", "--workdir", workdir, "--input", str(picture))
            predict.append(seconds_of(folder / "predict", *flags))
        programs = program_rows(folder / "programs")
    rows = [
        Row(f"start-up, {name} (peer: cold cache)", cpu(), "s", warm, cold, cold / warm)
        for name, (cold, warm) in (("two training steps", train), ("a map", predict))
    ]
    record("startup", [*rows, *programs, *step_rows()], ("jax", "flax"))


if __name__ == "__main__":
    main()

"""What is fuzzed: functions of bytes that must end in a value or in a UserError, whatever they get.

Seconds of it run in the suite (test_fuzz.py). For minutes, guided by coverage:

    pip install atheris
    python -m tests.fuzz image -max_total_time=300
"""

import contextlib
import io
import json
import struct
import tempfile
from pathlib import Path

import numpy as np
import safetensors.numpy
from PIL import Image

from class_jax.config import load_config
from class_jax.data.images import load_image
from class_jax.data.masks import load_map, load_mask
from class_jax.errors import UserError
from class_jax.runs.workdir import Workdir
from class_jax.training.summaries import Summaries
from class_jax.weights.files import read_weights

FOLDER = Path(tempfile.mkdtemp(prefix="class_jax-fuzz-"))


def read_image(data: bytes) -> None:
    """Read bytes as an image, a mask and a map."""
    for load in (load_image, load_mask, load_map):
        with contextlib.suppress(UserError):
            load(data)
    with contextlib.suppress(UserError):
        load_image(data, side=32, most=500_000_000)


def read_safetensors(data: bytes) -> None:
    """Read bytes as a file of weights."""
    file = FOLDER / "x.safetensors"
    file.write_bytes(data)
    with contextlib.suppress(UserError):
        read_weights(str(file))


def read_pth(data: bytes) -> None:
    """Read bytes as a file of PyTorch."""
    file = FOLDER / "x.pth"
    file.write_bytes(data)
    with contextlib.suppress(UserError):
        read_weights(str(file))


def override(data: bytes) -> None:
    """Read bytes as an override of the configuration."""
    with contextlib.suppress(UserError):
        load_config(None, Workdir(FOLDER / "none"), ["--config." + data.decode(errors="replace")])


def read_config(data: bytes) -> None:
    """Read bytes as a saved configuration."""
    folder = FOLDER / "saved"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(data)
    with contextlib.suppress(UserError):
        load_config(None, Workdir(folder), [])


def read_metrics(data: bytes) -> None:
    """Read bytes as the metrics of a run that goes on; what is kept must be lines of JSON."""
    file = FOLDER / "metrics.jsonl"
    file.write_bytes(data)
    with Summaries(file, start_step=5):
        pass
    for line in file.read_text(encoding="utf-8").splitlines():
        assert json.loads(line)["step"] <= 5


def image_seeds() -> list[bytes]:
    """Return small images of several formats."""
    levels = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (12, 1))
    grey, seeds = Image.fromarray(levels), []
    for image in (grey, grey.convert("RGBA"), grey.convert("P"), Image.fromarray(levels * 200.0)):
        for kind in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"):
            with contextlib.suppress(OSError, ValueError):
                file = io.BytesIO()
                image.save(file, format=kind)
                seeds.append(file.getvalue())
    return seeds


def safetensors_seeds() -> list[bytes]:
    """Return a file of weights, and one whose tensors overlap."""
    overlapping = json.dumps(
        {
            name: {"dtype": "F32", "shape": [2], "data_offsets": offsets}
            for name, offsets in (("a", [0, 8]), ("b", [4, 12]))
        }
    ).encode()
    return [
        safetensors.numpy.save({"a.weight": np.zeros((2, 3), np.float32)}),
        struct.pack("<Q", len(overlapping)) + overlapping + bytes(12),
    ]


TARGETS = {
    "image": (read_image, image_seeds()),
    "safetensors": (read_safetensors, safetensors_seeds()),
    "pth": (read_pth, [b"\x80\x02}q\x00.", b"PK\x03\x04" + bytes(40)]),
    "override": (override, [b"train.lr=0.1", b"model.stage_sizes=(1,2)", b"data.salient=any"]),
    "config": (read_config, [b'{"model": {"width": 4}}', b"[]", b'{"train": {"lr": 1e999}}']),
    "metrics": (read_metrics, [b'{"step": 1, "loss": 2.0}\n{"step": 7}\n', b'{"step": null}\n']),
}

"""Engines that compute the same network on a CPU, in turns: images a second, beside XLA's.

    python -m benchmarks.engines

ResNet-50 at 352², float32, random weights, batch 1 and 8. Ours: XLA, ONNX Runtime and StableHLO,
read back from exports, whose size and largest difference are printed. Others: PyTorch eager
(channels_last) and torch.compile with freezing; OpenVINO on our ONNX file, where it is installed.
Needs `pip install torch` and the packages of requirements-onnx.txt. Five minutes on two cores.
"""

import contextlib
import functools
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
import torch._inductor.config
from ml_collections import ConfigDict

from benchmarks.ours import realistic
from benchmarks.record import Row, device, interleaved, record
from benchmarks.torch_peer import TorchClass, load
from class_jax.command.process import tune_allocator
from class_jax.export.formats import FORMATS, Export, compute_maps
from class_jax.export.proof import gather_images, measure_difference
from class_jax.models.network import build_network
from configs import r50

SIDE, BATCHES, SECONDS = 352, (1, 8), 1.5
KINDS = ("onnx", "stablehlo", "safetensors")

Run = Callable[[np.ndarray], Any]


def export_all(trained: Export, folder: Path) -> dict[str, Run]:
    """Export to every format, print sizes and differences, and return what was read back."""
    ours = compute_maps(trained.network, trained.variables)
    images, runs = gather_images(SIDE), {}
    for kind in KINDS:
        path = folder / FORMATS[kind].default
        FORMATS[kind].write(trained, path)
        runs[kind] = FORMATS[kind].read(trained, path)
        files = path.iterdir() if path.is_dir() else [path]
        size = sum(file.stat().st_size for file in files) / 1e6
        difference = measure_difference(ours, runs[kind], images)
        print(f"{kind:12} {size:6.1f} MB, maps differ by {difference:.1e} at most")
    del runs["safetensors"]  # that is XLA once more
    return {"XLA": ours, "ONNX Runtime": runs["onnx"], "StableHLO by XLA": runs["stablehlo"]}


def others(trained: Export, folder: Path, batch: int) -> dict[str, Run]:
    """Return the same network in other engines."""
    model = r50.get_config().model
    peer = load(TorchClass(model.stage_sizes, model.width, model.features), trained.variables)
    peer = peer.eval().to(memory_format=torch.channels_last)
    torch._inductor.config.freezing = True
    compiled = torch.compile(peer)

    def by(network: Any) -> Run:
        def run(images: np.ndarray) -> np.ndarray:
            inputs = torch.tensor(np.asarray(trained.network.normalize(images))).permute(0, 3, 1, 2)
            with torch.inference_mode():
                logits = network(inputs.contiguous(memory_format=torch.channels_last))[0]
                return torch.sigmoid(logits).numpy()

        return run

    runs = {"PyTorch": by(peer), "torch.compile": by(compiled)}
    with contextlib.suppress(ImportError):
        import openvino  # type: ignore[import-not-found]  # noqa: PLC0415 - optional

        core = openvino.Core()
        network = core.read_model(folder / FORMATS["onnx"].default)
        network.reshape([batch, SIDE, SIDE, 3])
        # Its own choice on this kind of processor may be bfloat16.
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        program = core.compile_model(network, "CPU", settings)
        runs["OpenVINO"] = lambda images: program(images)[0]
    return runs


def main() -> None:
    """Measure and write the rows."""
    config = r50.get_config()
    network = build_network(config.model, dtype="float32")
    trained = Export(network, realistic(network.initialize(0)), SIDE, ConfigDict(), "")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = export_all(trained, folder)
        for batch in BATCHES:
            images = np.random.default_rng(1).integers(0, 256, (batch, SIDE, SIDE, 3), np.uint8)
            runs = ours | others(trained, folder, batch)
            expected = runs["XLA"](images)
            for engine, run in runs.items():
                difference = np.abs(run(images) - expected).max()
                if not difference < 1e-3:
                    raise SystemExit(f"{engine} differs by {difference:g}")
            calls = [functools.partial(run, images) for run in runs.values()]
            times = np.array(interleaved(*calls, at_least=SECONDS))
            for engine, column in zip(runs, times.T, strict=True):
                label = f"{engine}, {SIDE}x{SIDE}, batch {batch}"
                ratio = statistics.median(times[:, 0] / column)
                speeds = (batch / statistics.median(x) for x in (column, times[:, 0]))
                rows.append(Row(label, device(), "images/s", *speeds, ratio=ratio))
    record("engines", rows, ("jax", "onnxruntime", "torch"))


if __name__ == "__main__":
    tune_allocator()  # as the program does
    jax.config.update("jax_platforms", "cpu")
    main()

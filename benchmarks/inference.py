"""The network's forward pass at 352² on the CPU or GPU at hand, ours against PyTorch's.

    python -m benchmarks.inference

ResNet-50, random weights that both networks share; median of five interleaved pairs. On a CPU:
float32, batch 1 and 8. On a GPU: bfloat16, batch 1 and 64, where PyTorch has autocast and
torch.compile. PyTorch: channels_last, inference mode. On a TPU: bfloat16, without a peer. Needs
`pip install torch`. About a minute on two cores. Fails where the two networks' logits differ.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch

from benchmarks.ours import realistic
from benchmarks.record import Row, against_peer, interleaved, record
from benchmarks.torch_peer import TorchClass, compile_on_gpu, device_of_peer, load
from class_jax.command.process import tune_allocator
from class_jax.models.network import Variables, build_network
from configs import r50

SIDE = 352
SECONDS = 1.5  # of a measurement, at least
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}  # of the logits, relative to the largest


def peer_of(variables: Variables, images: np.ndarray, *, half: bool) -> Callable[[], torch.Tensor]:
    """Return a function that runs PyTorch's forward pass of `images` and returns logits."""
    model = r50.get_config().model
    device = device_of_peer()
    layout = torch.channels_last
    peer = load(TorchClass(model.stage_sizes, model.width, model.features), variables).eval()
    peer = peer.to(device, memory_format=layout)
    inputs = torch.tensor(images).permute(0, 3, 1, 2).to(device).contiguous(memory_format=layout)
    compiled = compile_on_gpu(peer)

    def run() -> torch.Tensor:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=half):
            logits = compiled(inputs)
            if device == "cuda":
                torch.cuda.synchronize()
            return logits

    return run


def compare(batch: int, dtype: str) -> Row:
    """Measure images a second of both networks."""
    network = build_network(r50.get_config().model, dtype=dtype)
    variables = realistic(network.initialize(0))
    images = np.random.default_rng(1).integers(0, 256, (batch, SIDE, SIDE, 3), np.uint8)
    forward = jax.jit(network.apply)
    ours = jax.device_put((variables, images))
    runs: list[Callable[[], Any]] = [lambda: forward(*ours).block_until_ready()]
    if jax.default_backend() != "tpu":
        peer = peer_of(
            variables, np.asarray(network.normalize(images), np.float32), half=dtype == "bfloat16"
        )
        expected = peer().float().cpu().numpy()
        difference = np.abs(np.asarray(runs[0]()) - expected).max() / np.abs(expected).max()
        if not difference < TOLERANCE[dtype]:
            raise SystemExit(f"the networks' logits differ by {difference:g} of the largest")
        runs.append(peer)
    name = f"inference, {SIDE}x{SIDE}, batch {batch}, {dtype}"
    return against_peer(name, batch, interleaved(*runs, at_least=SECONDS))


def main() -> None:
    """Measure and write the rows."""
    on_cpu = jax.default_backend() == "cpu"
    cases = [(1, "float32"), (8, "float32")] if on_cpu else [(1, "bfloat16"), (64, "bfloat16")]
    record("inference", [compare(*case) for case in cases], ("jax", "flax", "torch"))


if __name__ == "__main__":
    tune_allocator()  # as the program does
    main()

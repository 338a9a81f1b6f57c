"""The network's forward pass at 352² on the CPU or GPU at hand, ours against PyTorch's.

    python -m benchmarks.inference

ResNet-50, float32, random weights that both networks share; median of five interleaved pairs for
batch 1 and 8. PyTorch: channels_last, inference mode. Needs `pip install torch`. About two minutes
on two cores. Fails where the two networks' logits differ.
"""

import statistics
import time
from collections.abc import Callable

import jax
import numpy as np
import torch

from benchmarks.record import Row, cpu, record
from benchmarks.torch_peer import TorchClass, load
from class_jax.models.build import Variables, build_network
from configs import r50

SIDE = 352
PAIRS = 5
SECONDS = 1.5  # that each measurement takes at least
TOLERANCE = 1e-3  # of the logits, relative to the largest


def realistic(variables: Variables) -> Variables:
    """Nothing switched off, and activations of moderate size."""
    rng = np.random.default_rng(0)

    def value(path: tuple, leaf: np.ndarray) -> np.ndarray:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name.endswith(("alpha", "beta")):
            return np.float32(0.5) + leaf
        if name.endswith("bn3/scale"):
            return leaf * np.float32(0.2)  # else sixteen residual blocks add up
        if name.endswith(("mean", "bias")):
            return rng.normal(0, 0.1, leaf.shape).astype(np.float32)
        return leaf

    return jax.tree_util.tree_map_with_path(value, variables)


def seconds_of(run: Callable[[], object]) -> float:
    """Seconds that a run takes."""
    times, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        run()
        times += 1
    return (time.perf_counter() - start) / times


def compare(batch: int) -> Row:
    """Images a second of both."""
    model = r50.get_config().model
    network = build_network(model, dtype="float32")
    variables = realistic(network.initialize(0))
    images = np.random.default_rng(1).standard_normal((batch, SIDE, SIDE, 3), np.float32)
    forward = jax.jit(network.apply)
    ours = jax.device_put((variables, images))
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    peer = load(TorchClass(model.stage_sizes, model.width, model.features), variables).eval()
    peer = peer.to(device, memory_format=torch.channels_last)
    theirs = (
        torch.tensor(images)
        .permute(0, 3, 1, 2)
        .to(device)
        .contiguous(memory_format=torch.channels_last)
    )

    def run_ours() -> jax.Array:
        return forward(*ours).block_until_ready()

    def run_peer() -> torch.Tensor:
        with torch.inference_mode():
            logits = peer(theirs)
            if device == "cuda":
                torch.cuda.synchronize()
            return logits

    expected = run_peer().cpu().numpy()
    difference = np.abs(np.asarray(run_ours()) - expected).max() / np.abs(expected).max()
    if not difference < TOLERANCE:
        raise SystemExit(f"the networks' logits differ by {difference:g} of the largest")
    pairs = [(seconds_of(run_ours), seconds_of(run_peer)) for _ in range(PAIRS)]
    speeds = [batch / statistics.median(times) for times in zip(*pairs, strict=True)]
    ratio = statistics.median(peer / ours for ours, peer in pairs)
    name = cpu() if device == "cpu" else jax.devices()[0].device_kind
    return Row(
        f"inference, {SIDE}x{SIDE}, batch {batch}, float32", name, "images/s", *speeds, ratio
    )


def main() -> None:
    """Measure, and write the rows."""
    record("inference", [compare(batch) for batch in (1, 8)], ("jax", "flax", "torch"))


if __name__ == "__main__":
    main()

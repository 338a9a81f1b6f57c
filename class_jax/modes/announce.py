"""What mode train says before it starts."""

import os

import jax
from ml_collections import ConfigDict

from class_jax import parallel
from class_jax.models.network import Network
from class_jax.training.loop import Plan
from datasets.inputs import TrainingSources


def announce(
    config: ConfigDict,
    network: Network,
    sources: TrainingSources,
    plan: Plan,
    start: int,
    *,
    resumed: bool,
) -> None:
    """Say what is about to happen: devices, parameters, examples, where the run starts."""
    fresh = f"encoder from {config.model.pretrained or 'random values'}"
    held_out = len(sources.held_out) if sources.held_out else 0
    devices = jax.devices()
    spread = f", in {parallel.process_count()} processes" if parallel.process_count() > 1 else ""
    lines = [
        f"devices: {len(devices)} × {devices[0].device_kind}{spread}",
        f"model: {network.count_parameters():,} parameters, computing in {config.model.dtype}",
        f"weights: {f'checkpoint of step {start}' if resumed else fresh}",
        f"examples: {len(sources.train)} to train on, {held_out} held out",
        f"starting at step {start} of {plan.total_steps}"
        if start < plan.total_steps
        else f"the run is complete: step {start} of {plan.total_steps}",
        *_guarantee(),
    ]
    parallel.log("\n".join(lines))


def _guarantee() -> tuple[str, ...]:
    """On GPUs, whether a resumed run will equal one that never stopped; elsewhere it does."""
    if jax.default_backend() != "gpu":
        return ()
    flag = "--xla_gpu_deterministic_ops=true"
    if flag in os.environ.get("XLA_FLAGS", ""):
        return ("a resumed run equals one that never stopped, bit for bit",)
    return (f"a resumed run equals one that never stopped but for rounding (XLA_FLAGS={flag}: "
            "bit for bit, and slower)",)  # fmt: skip

"""Saving and restoring the state of configs/r50.py.

    python -m benchmarks.checkpoints

How long a save blocks training, how long it takes until all is on the disk, how long the check of
its manifest takes and how long a restore; the medians of five. The peer writes and reads the same
bytes as one plain file. Half a minute on two cores.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from absl import logging
from etils import epath

from benchmarks.ours import Ours
from benchmarks.record import Row, device, record
from class_jax.runs.checkpoints import Checkpoints
from class_jax.runs.manifest import check_manifest
from class_jax.sharding import replicated_sharding
from class_jax.training.state import TrainState, restore_latest, save_state

TIMES = 5


def seconds_of(run: Callable[[], object]) -> float:
    """Return the seconds of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def plain(folder: Path, size: int) -> tuple[float, float]:
    """Return the seconds to write `size` bytes to the disk, and to read them."""
    file, data = folder / "plain", np.random.default_rng(0).bytes(size)

    def write() -> None:
        with file.open("wb") as handle:
            handle.write(data)
            os.fsync(handle.fileno())

    return seconds_of(write), seconds_of(file.read_bytes)


def once(ours: Ours, state: TrainState, folder: Path) -> tuple[float, float, float, float]:
    """Return the seconds that a save blocks the loop, that it takes, of a check, of a restore."""
    with Checkpoints(epath.Path(folder), writable=True) as checkpoints:
        blocked = seconds_of(lambda: save_state(checkpoints, state))
        written = blocked + seconds_of(checkpoints.wait)
    step = epath.Path(folder) / str(int(state.step))
    checked = seconds_of(lambda: check_manifest(step))
    with Checkpoints(epath.Path(folder), writable=False) as checkpoints:
        restored = seconds_of(
            lambda: jax.block_until_ready(
                restore_latest(
                    checkpoints,
                    ours.network,
                    ours.optimizer,
                    sharding=replicated_sharding(ours.mesh),
                )
            )
        )
    return blocked, written, checked, restored


def main() -> None:
    """Measure and write the rows."""
    logging.set_verbosity(logging.ERROR)  # orbax logs every file
    ours = Ours("float32")
    state, size = ours.state, sum(leaf.nbytes for leaf in jax.tree.leaves(ours.state))
    times, peers = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(TIMES):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            times.append(once(ours, state, folder / "checkpoints"))
            peers.append(plain(folder, size))
            shutil.rmtree(folder)
    blocked, written, checked, restored = map(statistics.median, zip(*times, strict=True))
    write, read = map(statistics.median, zip(*peers, strict=True))
    title = f"checkpoint of {size / 2**20:.0f} MiB"
    rows = [
        Row(f"{title}: held up by a save", device(), "s", blocked),
        Row(f"{title}: compared with its manifest", device(), "s", checked),
        *(
            Row(f"{title}: {name} (peer: a plain file)", device(), "s", mine, peer, peer / mine)
            for name, mine, peer in (
                ("until written", written, write),
                ("restored", restored, read),
            )
        ),
    ]
    record("checkpoints", rows, ("jax", "orbax-checkpoint"))


if __name__ == "__main__":
    main()

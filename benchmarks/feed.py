"""The host pipeline alone: batches a second for each number of workers.

    python -m benchmarks.feed

JPEG images and PNG masks of 400×300 are read, cropped, flipped and resized to 352². The peer is a
bare loop that decodes and resizes the same files by the same libraries, in one process. About two
minutes on two cores.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.record import Row, cpu, record
from class_jax.data.feed import TrainingStream, train_batches
from class_jax.data.images import read_image, read_mask, resize
from class_jax.data.sources import Pair, PairSource
from class_jax.data.synthetic import SyntheticSource

FILES, BATCH, SIDE = 256, 16, 352
WARM_UP, MEASURED = 8, 48  # batches


def write_files(folder: Path) -> list[Pair]:
    """Pictures that compress as photographs do."""
    source = SyntheticSource(FILES, seed=0, image_size=(300, 400))
    pairs = []
    for index in range(FILES):
        example = source[index]
        pair = Pair(example["name"], folder / f"{index}.jpg", folder / f"{index}.png")
        Image.fromarray(example["image"]).save(pair.image, quality=90)
        Image.fromarray(example["mask"]).save(pair.mask)
        pairs.append(pair)
    return pairs


def feed_rate(pairs: list[Pair], workers: int) -> float:
    """Images a second."""
    stream = TrainingStream(PairSource(pairs), batch_size=BATCH, sizes=(SIDE,), crop=0.125, seed=0)
    with train_batches(stream, num_workers=workers) as batches:
        for _ in range(WARM_UP):
            next(batches)
        start = time.perf_counter()
        for _ in range(MEASURED):
            next(batches)
        return MEASURED * BATCH / (time.perf_counter() - start)


def bare_rate(pairs: list[Pair]) -> float:
    """Images a second of a plain loop in one process."""
    start = time.perf_counter()
    for pair in pairs * 2:
        np.stack([resize(read_image(pair.image), SIDE, SIDE)])
        np.stack([resize(read_mask(pair.mask), SIDE, SIDE)])
    return 2 * len(pairs) / (time.perf_counter() - start)


def main() -> None:
    """Measure, and write the rows."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        pairs = write_files(Path(folder))
        bare = bare_rate(pairs)
        rows = []
        for workers in (0, 1, 2, *((cores,) if cores > 2 else ())):
            rate = feed_rate(pairs, workers)
            title = f"feed, {workers} workers" if workers else "feed, threads of one process"
            # Per core: two workers on two cores are compared with two bare loops.
            used = min(workers or cores, cores)
            rows.append(Row(title, cpu(), "images/s", rate, bare * used, rate / (bare * used)))
    record("feed", rows, ("grain", "numpy", "pillow", "opencv-python-headless"))


if __name__ == "__main__":
    main()

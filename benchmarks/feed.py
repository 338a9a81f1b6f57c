"""The host pipeline alone: images a second by number of workers.

    python -m benchmarks.feed

JPEG images and PNG masks of 400×300 are read, cropped, flipped and resized to 352². The peer is a
bare loop that decodes and resizes the same files by the same libraries, as many at once as the feed
has processes or threads. Then photographs of 12 megapixels, an epoch of DUTS-TR's size, and the
memory held. About two minutes on two cores.
"""

import functools
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.record import Row, cpu, record
from class_jax.command.process import tune_allocator
from class_jax.data.augment import augment
from class_jax.data.feed import THREADS, Batch, train_batches
from class_jax.data.images import load_image
from class_jax.data.masks import load_mask
from class_jax.data.resize import resize_bilinear
from class_jax.data.sources import Pair, PairSource
from datasets.synthetic import SyntheticSource

FILES, BATCH, SIDE = 256, 16, 352
WARM_UP, MEASURED, ROUNDS = 8, 192, 5  # batches, batches, times
EPOCH = 10_553  # images of DUTS-TR
LARGE, LARGE_FILES = (3000, 4000), 8  # height and width; how many


def write_files(folder: Path, count: int, size: tuple[int, int]) -> list[Pair]:
    """Write images that compress as photographs do, of a height and width."""
    source = SyntheticSource(count, seed=0, image_size=size)
    folder.mkdir()
    pairs = []
    for index in range(count):
        example = source.load(index)
        pair = Pair(example["name"], folder / f"{index}.jpg", (folder / f"{index}.png",))
        Image.fromarray(example["image"]).save(pair.image, quality=90)
        Image.fromarray(example["mask"]).save(pair.masks[0])
        pairs.append(pair)
    return pairs


def batches_of(source: PairSource, workers: int) -> AbstractContextManager[Iterator[Batch]]:
    """Return batches as training gets them."""
    return train_batches(
        source,
        batch_size=BATCH,
        sizes=(SIDE,),
        augment=functools.partial(augment, crop=0.125),
        seed=0,
        num_workers=workers,
    )


def feed_rate(
    pairs: list[Pair], workers: int, *, warm_up: int = WARM_UP, measured: int = MEASURED
) -> float:
    """Return images a second of the feed, over `measured` batches."""
    with batches_of(PairSource(tuple(pairs)), workers) as batches:
        deque(islice(batches, warm_up), maxlen=0)
        start = time.perf_counter()
        deque(islice(batches, measured), maxlen=0)
        return measured * BATCH / (time.perf_counter() - start)


def bare_loop(pairs: list[Pair]) -> float:
    """Return images a second of a plain loop."""
    start = time.perf_counter()
    for pair in pairs * 2:
        np.stack([resize_bilinear(load_image(pair.image).pixels, SIDE, SIDE)])
        np.stack([resize_bilinear(load_mask(pair.masks[0]).levels, SIDE, SIDE)])
    return 2 * len(pairs) / (time.perf_counter() - start)


def memory_of_an_epoch(pairs: list[Pair], workers: int) -> Row:
    """Measure the MiB of this process and its workers after an epoch and after a tenth of it."""
    steps = EPOCH // BATCH
    source = PairSource(tuple(pairs[index % FILES] for index in range(EPOCH)))
    held = []
    with batches_of(source, workers) as batches:
        for part in (steps // 10, steps - steps // 10):
            deque(islice(batches, part), maxlen=0)
            processes = [os.getpid(), *(worker.pid for worker in multiprocessing.active_children())]
            held.append(sum(resident_mib(process) for process in processes))
    made_by = f"{workers} workers" if workers else "threads"
    name = f"feed, memory after {EPOCH} images (peer: after a tenth), {made_by}"
    return Row(name, cpu(), "MiB", held[1], held[0], held[0] / held[1])


def resident_mib(process: int) -> float:
    """Return the MiB of a process, its share of shared memory included; on Linux."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Measure and write the rows."""
    cores = len(os.sched_getaffinity(0))
    cases = (0, *range(1, min(cores, 2) + 1), *((cores,) if cores > 2 else ()))
    with (
        tempfile.TemporaryDirectory() as folder,
        multiprocessing.get_context("spawn").Pool(cores) as pool,
    ):
        pairs = write_files(Path(folder) / "small", FILES, (300, 400))
        large = write_files(Path(folder) / "large", LARGE_FILES, LARGE)
        rows = []
        for workers in cases:
            # One worker has a core, threads have all.
            used = min(workers or min(cores, THREADS), cores)
            bare, rates = [], []
            for _ in range(ROUNDS):
                bare.append(sum(pool.map(bare_loop, [pairs] * used, chunksize=1)))
                rates.append(feed_rate(pairs, workers))
            ratio = statistics.median(x / y for x, y in zip(rates, bare, strict=True))
            title = f"feed, {workers} workers" if workers else f"feed, {used} threads"
            peer = f"{title} (peer: {used} bare loops)"
            medians = map(statistics.median, (rates, bare))
            rows.append(Row(peer, cpu(), "images/s", *medians, ratio))
        used = min(cores, THREADS)
        bare_rate = sum(pool.map(bare_loop, [large] * used, chunksize=1))
        rate = feed_rate(large, 0, warm_up=1, measured=3)
        name = f"feed, 12 megapixels, {used} threads (peer: {used} bare loops)"
        rows.append(Row(name, cpu(), "images/s", rate, bare_rate, rate / bare_rate))
        rows += [memory_of_an_epoch(pairs, workers) for workers in (2, 0)]
    record("feed", rows, ("grain", "numpy", "pillow", "opencv-python-headless"))


if __name__ == "__main__":
    tune_allocator()  # as the program does
    main()

"""Batches for the devices; the only file that imports Grain.

Batch k follows from (seed, k) alone: which examples it holds, how they are augmented, and their one
size. Workers, processes and devices only divide the work, and a resumed run starts at its step
without decoding what came before.
"""

import contextlib
import itertools
import os
import signal
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import grain
import numpy as np
from absl import flags

from class_jax.data.resize import resize
from class_jax.data.sources import Part, Source
from class_jax.errors import UserError

Batch = dict[str, np.ndarray]
# Fills the arguments `image` [S, S, 3] and `mask` [S, S], uint8, from an Example and a Generator.
Augment = Callable[..., None]
THREADS = min(8, os.cpu_count() or 1)


def stream_rng(seed: int, stream: str, index: int) -> np.random.Generator:
    """Return the random numbers of one purpose at one place: derived, never stored."""
    return np.random.default_rng([seed, zlib.crc32(stream.encode()), index])


def size_of_batch(step: int, sizes: Sequence[int], *, seed: int) -> int:
    """Return the side of all images in batch `step`, drawn from `sizes`."""
    return sizes[int(stream_rng(seed, "size", step).integers(len(sizes)))]


@contextlib.contextmanager
def train_batches(  # noqa: PLR0913 - each says one thing of a batch
    source: Source,
    *,
    batch_size: int,
    sizes: Sequence[int],
    augment: Augment,
    seed: int,
    rows: range | None = None,
    start_step: int = 0,
    num_workers: int = 0,
    mix: Sequence[Part] = (),
) -> Iterator[Iterator[Batch]]:
    """Yield an endless iterator of augmented batches; leaving the context ends its workers.

    Every epoch has its own order. Epochs are joined and cut into batches, so that all batches are
    full and no other shape must be compiled.

    Args:
      source: examples to train on.
      batch_size: of the global batch.
      sizes: sides in pixels, one of which is drawn for every batch.
      augment: crops, flips and resizes an example.
      seed: of all randomness here.
      rows: the rows of the global batch that this process makes; all by default.
      start_step: number of the first batch.
      num_workers: processes that decode and augment; 0: threads of this process.
      mix: the parts that the source consists of, in order, if they have weights; each is shuffled
        by itself.

    Yields:
      Iterator of {"image": uint8 [rows, S, S, 3], "mask": uint8 [rows, S, S]}.
    """
    rows = range(batch_size) if rows is None else rows
    make = _BatchMaker(source, batch_size, tuple(sizes), augment, seed, rows)
    indices = _mix_indices(mix or (Part(len(source.names), 1.0),), seed % 2**32)
    # There is no remainder, but without this option Grain refuses a batch of one.
    batches = indices.batch(batch_size, drop_remainder=True).map_with_index(make)
    iterator = iter(_read_ahead(batches[start_step:], num_workers))
    try:
        yield _explain_lost_workers(iterator)
    finally:
        iterator.close()


def _mix_indices(parts: Sequence[Part], seed: int) -> grain.MapDataset:
    """Return an endless order of examples, each drawn as often as its part's weight says."""
    ends = list(itertools.accumulate(part.length for part in parts))
    orders = [
        grain.MapDataset.range(end - part.length, end).seed(seed).shuffle().repeat()
        for part, end in zip(parts, ends, strict=True)
    ]
    if len(orders) == 1:
        return orders[0]
    return grain.MapDataset.mix(orders, weights=[part.length * part.weight for part in parts])


def _explain_lost_workers(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield batches; raise UserError if a worker process has ended."""
    try:
        yield from batches
    except RuntimeError as error:
        # Grain has no exception type for it.
        if not str(error).startswith("Worker process was terminated unexpectedly"):
            raise
        raise UserError(
            "a process that prepares batches was ended, by hand or for want of memory: the same "
            "command goes on; fewer config.data.workers need less memory."
        ) from error


class _BatchMaker(NamedTuple):
    """Makes batch `step` from the indices of its examples; picklable, for worker processes."""

    source: Source
    batch_size: int
    sizes: tuple[int, ...]
    augment: Augment
    seed: int
    rows: range

    def __call__(self, step: int, indices: np.ndarray) -> Batch:
        """Return the rows of batch `step`, filled in place: stacking would copy every image."""
        side = size_of_batch(step, self.sizes, seed=self.seed)
        batch = {
            "image": np.empty((len(self.rows), side, side, 3), np.uint8),
            "mask": np.empty((len(self.rows), side, side), np.uint8),
        }
        for image, mask, row in zip(batch["image"], batch["mask"], self.rows, strict=True):
            rng = stream_rng(self.seed, "augment", step * self.batch_size + row)
            example = self.source.load(int(indices[row]), side=side)
            self.augment(example, rng, image=image, mask=mask)
        return batch


def _read_ahead(batches: grain.MapDataset, num_workers: int) -> grain.IterDataset:
    """Make batches ahead of time by threads or worker processes; their order stays."""
    if num_workers == 0:
        options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=THREADS)
        return batches.to_iter_dataset(options)
    if not flags.FLAGS.is_parsed():
        # Grain hands absl's flags to its workers, and the command line does not use absl.
        flags.FLAGS.mark_as_parsed()
    # The memory that a killed worker leaves is freed by Python's tracker, which warns of it.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)
    workers = grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=2)
    return batches.to_iter_dataset(options).mp_prefetch(workers, worker_init_fn=_start_worker)


def _start_worker(index: int, count: int) -> None:
    """Leave signals to the main process: those of a terminal reach all processes."""
    del index, count
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Grain ends its workers by SIGKILL
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def eval_batches(
    source: Source, *, batch_size: int, size: int, rows: range | None = None
) -> Iterator[Batch]:
    """Yield all examples once, in order; the last batch is padded by repeating.

    Args:
      source: examples.
      batch_size: of the global batch.
      size: side that they are resized to, pixels.
      rows: the rows of the global batch that this process makes; all by default.

    Yields:
      {"image": uint8 [rows, size, size, 3], "mask": uint8 [rows, size, size], "valid": bool
      [rows]}; valid is False for padding.
    """
    rows = range(batch_size) if rows is None else rows
    total = len(source.names)
    for start in range(0, total, batch_size):
        places = np.arange(start + rows.start, start + rows.stop)
        examples = [source.load(min(int(place), total - 1), side=size) for place in places]
        yield {
            "image": np.stack([resize(example["image"], size, size) for example in examples]),
            "mask": np.stack([resize(example["mask"], size, size) for example in examples]),
            "valid": places < total,
        }

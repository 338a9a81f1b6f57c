"""Batches for the devices; the only file that knows Grain.

Everything about batch k follows from (seed, k): which images, in what order, how they are cropped
and flipped, and the one size they are resized to. Workers, processes and devices only share the
work, and a resumed run starts at its step without decoding what came before.
"""

import contextlib
import functools
import os
import signal
import zlib
from collections.abc import Iterator, Sequence

import grain
import numpy as np
from absl import flags

from class_jax.data.augment import augment
from class_jax.data.images import resize
from class_jax.data.memory import keep_freed_memory
from class_jax.data.sources import Example, Source

Batch = dict[str, np.ndarray]

ENDLESS = 2**40  # batches in the stream; no run is that long
THREADS = min(8, os.cpu_count() or 1)


def stream_rng(seed: int, stream: str, index: int) -> np.random.Generator:
    """The random numbers of one purpose at one place: derived, never stored."""
    return np.random.default_rng([seed, zlib.crc32(stream.encode()), index])


class TrainingStream:
    """Batches of augmented examples by their number, cut from an endless stream of epochs.

    Epochs are reshuffled and concatenated: an epoch's last partial batch is filled by the next
    epoch's first images. Every image comes once an epoch, every batch is full, and no new shape
    has to be compiled.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int,
        sizes: Sequence[int],
        crop: float,
        seed: int,
        rows: range | None = None,
    ) -> None:
        """Batches of `source`.

        Args:
          source: what to learn from.
          batch_size: of the whole batch.
          sizes: sides in pixels, one of which is drawn for each batch.
          crop: the largest share of each side that is cropped off.
          seed: of all randomness here.
          rows: of each batch, the rows to make, where other processes make the others; all by
            default. The batch that they make up together does not depend on how it is divided.
        """
        self._source, self._batch_size, self._sizes = source, batch_size, tuple(sizes)
        self._crop, self._seed = crop, seed
        self._rows = range(batch_size) if rows is None else rows

    def __len__(self) -> int:
        """How many batches there are: more than any run needs."""
        return ENDLESS

    def __getitem__(self, step: int) -> Batch:
        """The rows of batch `step`: images [b, S, S, 3] and masks [b, S, S], uint8."""
        size = size_of_batch(step, self._sizes, seed=self._seed)
        # Filled in place: stacking would copy every image once more.
        batch = {
            "image": np.empty((len(self._rows), size, size, 3), np.uint8),
            "mask": np.empty((len(self._rows), size, size), np.uint8),
        }
        for image, mask, row in zip(batch["image"], batch["mask"], self._rows, strict=True):
            place = step * self._batch_size + row
            rng = stream_rng(self._seed, "augment", place)
            augment(self._example(place), rng, crop=self._crop, image=image, mask=mask)
        return batch

    def _example(self, place: int) -> Example:
        """What lies at a place of the stream."""
        epoch, position = divmod(place, len(self._source))
        index = _shuffled(self._seed, epoch, len(self._source))[position]
        return self._source[int(index)]


def size_of_batch(step: int, sizes: tuple[int, ...], *, seed: int) -> int:
    """The side of all images in batch `step`, drawn from `sizes`."""
    return sizes[int(stream_rng(seed, "size", step).integers(len(sizes)))]


@functools.lru_cache(maxsize=2)  # the batch at the end of an epoch needs two
def _shuffled(seed: int, epoch: int, length: int) -> np.ndarray:
    return stream_rng(seed, "shuffle", epoch).permutation(length)


@contextlib.contextmanager
def train_batches(
    stream: TrainingStream, *, start_step: int = 0, num_workers: int = 0
) -> Iterator[Iterator[Batch]]:
    """The batches of a stream from batch `start_step` on, made ahead of time, without end.

    Args:
      stream: what makes them.
      start_step: the first batch.
      num_workers: processes that decode and augment; 0: threads of this process.

    Yields:
      An iterator of batches. Leaving the context ends its workers.
    """
    iterator = iter(_parallel(grain.MapDataset.source(stream)[start_step:], num_workers))
    try:
        yield iterator
    finally:
        iterator.close()


def _parallel(batches: grain.MapDataset, num_workers: int) -> grain.IterDataset:
    """Read ahead, by threads or by processes; the order stays."""
    if num_workers == 0:
        keep_freed_memory()
        options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=THREADS)
        return batches.to_iter_dataset(options)
    if not flags.FLAGS.is_parsed():
        # Grain hands its workers absl's flags, and main.py does not parse its own with absl.
        flags.FLAGS.mark_as_parsed()
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)
    workers = grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=2)
    return batches.to_iter_dataset(options).mp_prefetch(workers, worker_init_fn=_start_worker)


def _start_worker(index: int, count: int) -> None:
    """In a worker: a terminal's Ctrl-C reaches all processes, and only the main one answers it."""
    del index, count
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Grain ends its workers by SIGKILL


def eval_batches(
    source: Source, *, batch_size: int, size: int, rows: range | None = None
) -> Iterator[Batch]:
    """All examples in their order, each once; the last batch is padded by repeating.

    Args:
      source: the examples.
      batch_size: of the whole batch.
      size: side that they are resized to, pixels.
      rows: of each batch, those to make, where other processes make the others; all by default.

    Yields:
      {"image": uint8 [b, size, size, 3], "mask": uint8 [b, size, size], "valid": bool [b]}, valid
      being False for padding.
    """
    rows = range(batch_size) if rows is None else rows
    for start in range(0, len(source), batch_size):
        places = np.arange(start + rows.start, start + rows.stop)
        examples = [source[min(int(place), len(source) - 1)] for place in places]
        yield {
            "image": np.stack([resize(each["image"], size, size) for each in examples]),
            "mask": np.stack([resize(each["mask"], size, size) for each in examples]),
            "valid": places < len(source),
        }

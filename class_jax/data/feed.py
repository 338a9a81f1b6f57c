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
from class_jax.data.sources import Source
from class_jax.errors import UserError

Batch = dict[str, np.ndarray]

ENDLESS = 2**40  # batches in the stream; no run is that long
THREADS = min(8, os.cpu_count() or 1)


def stream_rng(seed: int, stream: str, index: int) -> np.random.Generator:
    """The random numbers of one purpose at one place: derived, never stored."""
    return np.random.default_rng([seed, zlib.crc32(stream.encode()), index])


class TrainingStream:
    """Augmented examples by their place in an endless stream of reshuffled epochs."""

    def __init__(
        self, source: Source, *, batch_size: int, sizes: Sequence[int], crop: float, seed: int
    ) -> None:
        """A stream of `source`, whose every image comes once an epoch.

        Args:
          source: what to learn from.
          batch_size: of the global batch.
          sizes: sides in pixels, one of which is drawn for each batch.
          crop: the largest share of each side that is cropped off.
          seed: of all randomness here.
        """
        self._source, self.batch_size, self._sizes = source, batch_size, tuple(sizes)
        self._crop, self._seed = crop, seed

    def __len__(self) -> int:
        """How many examples the stream has: whole batches, more than any run needs."""
        return ENDLESS * self.batch_size

    def __getitem__(self, place: int) -> Batch:
        """Image [S, S, 3] and mask [S, S] at `place`, where S is the size of its batch."""
        epoch, position = divmod(place, len(self._source))
        index = _shuffled(self._seed, epoch, len(self._source))[position]
        size = size_of_batch(place // self.batch_size, self._sizes, seed=self._seed)
        rng = stream_rng(self._seed, "augment", place)
        example = augment(self._source[int(index)], rng, size=size, crop=self._crop)
        return {"image": example["image"], "mask": example["mask"]}


@functools.lru_cache(maxsize=64)  # it is asked for each of a batch's images
def size_of_batch(step: int, sizes: tuple[int, ...], *, seed: int) -> int:
    """The side of all images in batch `step`, drawn from `sizes`."""
    return sizes[int(stream_rng(seed, "size", step).integers(len(sizes)))]


@functools.lru_cache(maxsize=2)  # the batch at the end of an epoch needs two
def _shuffled(seed: int, epoch: int, length: int) -> np.ndarray:
    return stream_rng(seed, "shuffle", epoch).permutation(length)


@contextlib.contextmanager
def train_batches(
    stream: TrainingStream,
    *,
    start_step: int = 0,
    num_workers: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Iterator[Batch]]:
    """This process's share of the training batches, from batch `start_step` on, without end.

    Batches are cut from a stream of concatenated epochs, each in an order of its own: an epoch's
    last partial batch is filled by the next epoch's first images. Every image comes once an
    epoch, every batch is full, and no new shape has to be compiled.

    Args:
      stream: where the batches are cut from.
      start_step: the first batch.
      num_workers: processes that decode and augment; 0: threads of this process.
      process_index: which of the program's processes this is.
      process_count: how many there are.

    Yields:
      An iterator of {"image": uint8 [b, S, S, 3], "mask": uint8 [b, S, S]}, b being
      batch_size / process_count. Leaving the context ends its workers.

    Raises:
      UserError: the processes do not divide the batch.
    """
    batch_size = stream.batch_size
    if batch_size % process_count:
        raise UserError(
            f"config.train.batch_size = {batch_size} does not divide over {process_count} "
            f"processes: choose a multiple of {process_count}."
        )
    # A stride over the whole stream: for any number of processes the shares of batch k together
    # are batch k. Grain's own sharding of a sampler would change the order.
    share = grain.MapDataset.source(stream)[start_step * batch_size :]
    share = share[process_index::process_count].batch(batch_size // process_count)
    iterator = iter(_parallel(share, num_workers))
    try:
        yield iterator
    finally:
        iterator.close()


def _parallel(batches: grain.MapDataset, num_workers: int) -> grain.IterDataset:
    """Read ahead, by threads or by processes; the order stays."""
    if num_workers == 0:
        options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=2 * THREADS)
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


def eval_batches(source: Source, *, batch_size: int, size: int) -> Iterator[Batch]:
    """All examples in their order, each once; the last batch is padded by repeating.

    Yields:
      {"image": uint8 [B, size, size, 3], "mask": uint8 [B, size, size], "valid": bool [B]}, valid
      being False for padding.
    """
    for start in range(0, len(source), batch_size):
        places = np.arange(start, start + batch_size)
        examples = [source[int(place)] for place in places if place < len(source)]
        padded = examples + examples[-1:] * (batch_size - len(examples))
        yield {
            "image": np.stack([resize(each["image"], size, size) for each in padded]),
            "mask": np.stack([resize(each["mask"], size, size) for each in padded]),
            "valid": places < len(source),
        }

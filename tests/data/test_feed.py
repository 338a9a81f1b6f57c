"""The same batches for any workers, processes and start; every image once an epoch."""

import functools
import itertools
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from class_jax.data.augment import Augmentation, augment
from class_jax.data.feed import eval_batches, size_of_batch, train_batches
from class_jax.errors import UserError

SIZES = (32, 48)


class NumberedSource:
    """Image i is of colour 10·i everywhere, so that a batch tells what is in it."""

    def __init__(self, length):
        self.names = [str(index) for index in range(length)]

    def __len__(self):
        return len(self.names)

    def load(self, index, *, side=None):
        image = np.full((40, 50, 3), 10 * index, np.uint8)
        image[:, 25:, 1] = 255 - 10 * index  # so that a flip shows
        return {"name": self.names[index], "image": image, "mask": image[..., 1]}


class BrokenSource(NumberedSource):
    def load(self, index, *, side=None):
        if index == 3:
            raise UserError("3.jpg is gone.")
        return super().load(index)


def batches(count, *, length=10, batch_size=4, source=NumberedSource, **options):
    options = {
        "seed": 1,
        "augment": functools.partial(augment, settings=Augmentation(crop=0.125)),
        **options,
    }
    feed = train_batches(source(length), batch_size=batch_size, sizes=SIZES, **options)
    with feed as found:
        return list(itertools.islice(found, count))


def indices(batch):
    return [int(image[0, 0, 0]) // 10 for image in batch["image"]]


def equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
        np.testing.assert_array_equal(one["mask"], other["mask"])


def test_every_image_comes_once_an_epoch_and_batches_are_full():
    got = [index for batch in batches(10) for index in indices(batch)]
    epochs = [got[start : start + 10] for start in range(0, 40, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_batch_may_hold_a_single_image():
    assert sorted(index for batch in batches(10, batch_size=1) for index in indices(batch)) == list(
        range(10)
    )


def test_a_set_smaller_than_a_batch_is_repeated():
    (batch,) = batches(1, length=3, batch_size=8)
    assert Counter(Counter(indices(batch)).values()) == Counter({3: 2, 2: 1})


def test_each_batch_has_one_of_the_sizes_and_all_occur():
    got = batches(12)
    sides = [batch["image"].shape[1] for batch in got]
    assert sides == [size_of_batch(step, SIZES, seed=1) for step in range(12)]
    assert set(sides) == set(SIZES)
    for batch, side in zip(got, sides, strict=True):
        assert batch["image"].shape == (4, side, side, 3)
        assert batch["mask"].shape == (4, side, side)
        assert batch["image"].dtype == batch["mask"].dtype == np.uint8


def test_seeds_differ_and_repeat():
    equal(batches(3), batches(3))
    assert not np.array_equal(batches(1)[0]["mask"], batches(1, seed=2)[0]["mask"])


@pytest.mark.parametrize("start", [1, 5])
def test_starting_later_gives_the_same_batches(start):
    equal(batches(3, start_step=start), batches(start + 3)[start:])


@pytest.mark.parametrize("share", [1, 2])
def test_processes_make_up_the_same_batches_together(share):
    whole = batches(6)
    rows = [range(start, start + share) for start in range(0, 4, share)]
    parts = zip(*(batches(6, rows=part) for part in rows), strict=True)
    equal([{name: np.concatenate([part[name] for part in step]) for name in step[0]}
           for step in parts], whole)  # fmt: skip


WORKERS = """
import functools, itertools
from class_jax.data.augment import Augmentation, augment
from class_jax.data.feed import train_batches
from datasets.synthetic import SyntheticSource
if __name__ == "__main__":
    results = []
    for workers in (0, 2):
        source = SyntheticSource(6, seed=0, image_size=(40, 40))
        feed = train_batches(source, batch_size=4, sizes=(32, 48), seed=1, num_workers=workers,
                             augment=functools.partial(augment, settings=Augmentation(crop=0.1)))
        with feed as found:
            results.append([batch["image"].tobytes() for batch in itertools.islice(found, 5)])
    assert results[0] == results[1]
"""


def test_worker_processes_change_nothing(tmp_path):
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_file_that_vanishes_is_a_clear_error():
    with pytest.raises(UserError, match=r"3\.jpg is gone"):
        batches(4, source=BrokenSource)


def test_any_function_augments():
    def invert(example, rng, *, image, mask):
        image[...] = 255 - cv2.resize(example["image"], image.shape[:2])
        mask[...] = cv2.resize(example["mask"], mask.shape)

    (batch,) = batches(1, augment=invert)
    assert sorted(set(255 - batch["image"][:, 0, 0, 0])) == sorted(
        10 * index for index in indices(batches(1)[0])
    )


def test_evaluation_keeps_order_and_marks_padding():
    got = list(eval_batches(NumberedSource(10), batch_size=4, size=32))
    assert [indices(batch) for batch in got] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 9, 9]]
    assert [batch["valid"].tolist() for batch in got] == [
        [True] * 4, [True] * 4, [True, True, False, False],
    ]  # fmt: skip
    assert all(batch["image"].shape == (4, 32, 32, 3) for batch in got)
    second = list(eval_batches(NumberedSource(10), batch_size=4, size=32, rows=range(2, 4)))
    assert [indices(batch) for batch in second] == [[2, 3], [6, 7], [9, 9]]
    assert [batch["valid"].tolist() for batch in second] == [[True] * 2, [True] * 2, [False] * 2]

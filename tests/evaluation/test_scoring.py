"""Maps measured by several processes, and interrupted, against the same ones in one go."""

import csv
import functools
import json
import sys

import cv2
import numpy as np
import pytest

from class_jax.data.folders import file_fingerprint
from class_jax.data.images import read_mask
from class_jax.evaluation import scoring
from class_jax.evaluation.protocols import PROTOCOLS, measure
from class_jax.evaluation.scores import Entry, Ledger
from class_jax.evaluation.scoring import Scorer, Task

COUNT = 12


@pytest.fixture
def tasks(tmp_path):
    """Files of maps and masks; the map of image 3 is no picture, the mask of 5 is empty."""
    rng = np.random.default_rng(0)
    made = []
    for index in range(COUNT):
        mask = np.zeros((30, 40), np.uint8)
        mask[8:20, 5 : 10 + index] = 255 * (index != 5)
        levels = cv2.GaussianBlur(mask, (0, 0), 2)[::2] // 2 + rng.integers(0, 90, (15, 40))
        paths = [tmp_path / f"{kind}{index}.png" for kind in ("map", "mask")]
        cv2.imwrite(str(paths[0]), levels.astype(np.uint8))
        cv2.imwrite(str(paths[1]), mask)
        made.append(made_task(index, *paths))
    made[3].map.write_text("no picture")
    return made


def made_task(index, map_path, mask_path):
    stamp = " ".join(map(file_fingerprint, (map_path, mask_path)))
    return Task(f"name {index}", map_path, functools.partial(read_mask, mask_path), stamp)


def score(folder, tasks, *, ready=None, protocols=PROTOCOLS, method="m"):
    with Ledger(folder, protocols) as ledger, Scorer(protocols, ledger) as scorer:
        return scorer.score("s", method, tasks, ready).scores()


def stopping(tasks, *, before):
    """The tasks until somebody presses Ctrl-C."""
    for index, task in enumerate(tasks):
        if index == before:
            raise KeyboardInterrupt
        yield task, None


def rows_of(folder):
    with (folder / "per_image.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same(first, second):
    """To the last bit."""
    for ours, theirs in zip(first, second, strict=True):
        assert ours.total.numbers() == theirs.total.numbers()
        assert ours.per_image == theirs.per_image
        assert ours.failed == theirs.failed


def test_sums_are_those_of_the_images(tasks, tmp_path):
    for row in score(tmp_path, tasks):
        singles = [
            measure(cv2.imread(str(task.map), 0), task.mask(), row.protocol)
            for task in tasks
            if task.name != "name 3"
        ]
        assert row.total.numbers() == sum(singles[1:], singles[0]).numbers()
        assert row.total.images == COUNT - 1
        assert list(row.failed) == ["name 3"]
        for task, single in zip([t for t in tasks if t.name != "name 3"], singles, strict=True):
            assert row.per_image[task.name] == single.figures()


def test_processes_compute_what_one_does(tasks, tmp_path, monkeypatch):
    alone = score(tmp_path / "alone", tasks)
    monkeypatch.setattr(scoring, "FEW", 0)
    monkeypatch.setattr(scoring, "AHEAD", 2)
    monkeypatch.setattr(scoring, "_cores", lambda: 2)
    drawn = []

    def ready():
        for task in tasks:
            drawn.append(task)
            yield task, "made no map" if task.name == "name 7" else None

    together = score(tmp_path / "together", tasks, ready=ready())
    assert len(drawn) == COUNT
    assert together[0].failed.pop("name 7") == "made no map"
    assert together[0].total.images == COUNT - 2
    without = score(tmp_path / "without", [t for t in tasks if t.name != "name 7"])
    assert_same(together, without)
    assert alone[0].total.images == COUNT - 1


def test_no_more_images_are_in_hand_than_the_processes_need(tasks, tmp_path, monkeypatch):
    class Pool:
        def __init__(self, *args, **kwargs):
            self.submitted = 0

        def submit(self, function, *args):
            self.submitted += 1
            future = scoring.Future()
            future.set_result(function(*args))
            return future

        def shutdown(self, **kwargs):
            pass

    pools = []
    monkeypatch.setattr(
        scoring, "ProcessPoolExecutor", lambda *a, **k: pools.append(Pool()) or pools[0]
    )
    monkeypatch.setattr(scoring, "FEW", 0)
    monkeypatch.setattr(scoring, "AHEAD", 1)
    monkeypatch.setattr(scoring, "_cores", lambda: 2)
    ahead = []
    with Ledger(tmp_path, PROTOCOLS) as ledger:
        add = scoring.Entry.add
        monkeypatch.setattr(
            scoring.Entry,
            "add",
            lambda *arguments: ahead.append(pools[0].submitted) or add(*arguments),
        )
        Scorer(PROTOCOLS, ledger).score("s", "m", tasks)
    in_hand = [submitted - done for done, submitted in enumerate(ahead)]
    assert max(in_hand) == 3  # one for each of two processes, and the one that is waited for
    assert len(pools) == 1


@pytest.mark.parametrize("before", [1, 4, 11])
def test_an_interrupted_command_goes_on(tasks, tmp_path, before):
    whole = score(tmp_path / "whole", tasks)
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        score(folder, tasks, ready=stopping(tasks, before=before))
    left = rows_of(folder)
    assert {row["image"] for row in left} == {t.name for t in tasks[:before]} - {"name 3"}
    measured = []

    def ready():
        for task in tasks:
            measured.append(task)
            # What was scored is not read again.
            stand_in = task._replace(map=tmp_path / "absent.png")
            yield (stand_in if len(measured) <= before else task), None

    assert_same(score(folder, tasks, ready=ready()), whole)
    assert len(measured) == COUNT
    assert rows_of(folder) == rows_of(tmp_path / "whole")
    assert not list(folder.glob(".*"))


def test_another_interruption_keeps_what_both_scored(tasks, tmp_path):
    for before in (3, 6):
        with pytest.raises(KeyboardInterrupt):
            score(tmp_path, tasks, ready=stopping(tasks, before=before))
    assert len(rows_of(tmp_path)) == 2 * (6 - 1)


def test_an_interruption_at_any_line_leaves_whole_images(tasks, tmp_path):
    outcomes = [
        {p: measure(cv2.imread(str(task.map), 0), task.mask(), p) for p in PROTOCOLS}
        for task in tasks[:3]
    ]
    outcomes[1] = "broken"
    stamps = [task.stamp for task in tasks[:3]]

    def added(entry, first=0):
        for name, stamp, outcome in list(zip("abc", stamps, outcomes, strict=True))[first:]:
            entry.add(name, stamp, outcome)
        return entry.to_json()

    whole = added(Entry("s", "m", PROTOCOLS))
    lines = 0
    while True:
        interrupted, countdown = Entry("s", "m", PROTOCOLS), [lines]

        def trace(frame, event, argument, countdown=countdown):
            if frame.f_code is Entry.add.__code__ and event == "line":
                if countdown[0] == 0:
                    raise KeyboardInterrupt
                countdown[0] -= 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            added(interrupted)
            break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        again = Entry("s", "m", PROTOCOLS)
        again.restore(json.loads(json.dumps(interrupted.to_json())), stamps)
        assert len(again.rows) == len(interrupted.rows)
        assert added(again, first=len(again.rows)) == whole
        lines += 1
    assert lines > 20


def test_what_has_changed_is_scored_again(tasks, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path, tasks, ready=stopping(tasks, before=6))
    cv2.imwrite(str(tasks[3].map), tasks[2].mask())  # mended
    mended = [made_task(i, t.map, t.mask.args[0]) for i, t in enumerate(tasks)]
    scores = score(tmp_path, mended)
    assert scores[0].failed == {}
    assert_same(scores, score(tmp_path / "whole", mended))


@pytest.mark.parametrize("change", ["other protocols", "other version", "damaged", "other method"])
def test_a_record_of_something_else_is_left_alone(tasks, tmp_path, change):
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path, tasks, ready=stopping(tasks, before=6))
    record = tmp_path / ".per_image.json"
    if change == "damaged":
        record.write_text(record.read_text()[:-100])
    if change == "other version":
        record.write_text(json.dumps(json.loads(record.read_text()) | {"made_by": "0"}))
    protocols = ("matlab",) if change == "other protocols" else PROTOCOLS
    method = "n" if change == "other method" else "m"
    scores = score(tmp_path, tasks, protocols=protocols, method=method)
    assert_same(scores, score(tmp_path / "whole", tasks, protocols=protocols))
    assert {row["method"] for row in rows_of(tmp_path)} == {method}


def test_order_does_not_matter(tasks, tmp_path):
    forth, back = score(tmp_path / "a", tasks), score(tmp_path / "b", tasks[::-1])
    for ours, theirs in zip(forth, back, strict=True):
        assert ours.total.figures() == pytest.approx(theirs.total.figures(), rel=0, abs=1e-12)
        assert ours.per_image == theirs.per_image

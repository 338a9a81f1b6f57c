"""The loop: bit-exact resume, order of validation and saving, non-finite losses, signals."""

import itertools
import json
import math
import os
import signal

import jax
import numpy as np
import pytest
from etils import epath
from hypothesis import given
from hypothesis import strategies as st

from class_jax.errors import UserError
from class_jax.runs.checkpoints import Checkpoints
from class_jax.sharding import replicated_sharding
from class_jax.training.interrupts import Interrupted
from class_jax.training.loop import count_steps, train_network
from class_jax.training.progress import NonFiniteError
from class_jax.training.state import restore_latest
from class_jax.training.summaries import Summaries
from tests.small_run import batches, train_section


def validation(score):
    """Validation that returns the next of some scores; variables carry no step, so it counts."""
    montage, steps = np.zeros((4, 4, 3), np.uint8), itertools.count(4, 4)
    return lambda variables: ({"val_mae": 0.1, "val_maxF": score(next(steps))}, montage)


def go(run, folder, *, train=None, stream=None, train_step=None, score=lambda step: step / 100):
    """Start or resume a run in `folder`; returns the last state."""
    with Checkpoints(epath.Path(folder / "checkpoints"), writable=True) as checkpoints:
        state = run.start()
        if checkpoints.steps():
            state = restore_latest(
                checkpoints, run.network, run.optimizer, sharding=replicated_sharding(run.mesh)
            )
        start = int(state.step)
        with Summaries(folder / "metrics.jsonl", start_step=start) as summaries:
            return train_network(
                state,
                stream or batches(start=start),
                train=train or run.train,
                train_step=train_step or run.step,
                validate=validation(score),
                checkpoints=checkpoints,
                summaries=summaries,
                mesh=run.mesh,
            )


@given(epochs=st.integers(1, 300), examples=st.integers(1, 20_000), batch_size=st.integers(1, 256))
def test_epochs_are_as_many_steps_as_show_every_example_so_often(epochs, examples, batch_size):
    train = train_section(epochs=epochs, batch_size=batch_size, total_steps=0)
    assert count_steps(train, examples) == math.ceil(epochs * examples / batch_size)
    train.total_steps = 7  # overrides the epochs
    assert count_steps(train, examples) == 7


def test_small_sets_are_shown_more_often_than_the_epochs_say():
    train = train_section(epochs=10, batch_size=8, total_steps=0, min_steps=400)
    assert count_steps(train, 20) == 400
    assert count_steps(train, 2000) == 2500


def test_the_papers_epochs_are_its_steps():
    assert count_steps(train_section(epochs=100, batch_size=32, total_steps=0), 10_553) == 32_979


def test_more_steps_than_can_be_counted_are_refused():
    with pytest.raises(UserError, match=r"3000000000 steps are too many"):
        count_steps(train_section(total_steps=3_000_000_000), 1)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses(folder):
    return [line["loss"] for line in lines(folder) if "loss" in line]


@pytest.mark.device
def test_a_stopped_run_goes_on_bit_for_bit(run_on_one, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    expected = go(run_on_one, whole)

    def breaking():
        yield from itertools.islice(batches(), 8)
        raise KeyboardInterrupt  # ends the run at once, as kill -9 does

    with pytest.raises(KeyboardInterrupt):
        go(run_on_one, broken, stream=breaking())
    with (broken / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')  # cut off in the middle of a line, as kill -9 does
    resumed = go(run_on_one, broken)
    jax.tree.map(np.testing.assert_array_equal, resumed, expected)
    assert losses(broken) == losses(whole)
    assert [line["step"] for line in lines(broken)] == [line["step"] for line in lines(whole)]


@pytest.mark.device
def test_best_and_latest_survive_and_scores_belong_to_their_step(run_on_one, tmp_path):
    go(run_on_one, tmp_path, score=lambda step: {4: 0.3, 8: 0.9, 12: 0.5}[step])
    with Checkpoints(epath.Path(tmp_path / "checkpoints"), writable=False) as checkpoints:
        assert checkpoints.steps() == [8, 9, 12]
        assert {step: s["val_maxF"] for step, s in checkpoints.scores().items()} == {
            8: 0.9,
            12: 0.5,
        }
    validated = [line for line in lines(tmp_path) if "val_maxF" in line]
    assert [line["step"] for line in validated] == [4, 8, 12]
    first = lines(tmp_path)[0]
    assert first["lr"] == 0.0
    assert first["images_per_second"] > 0
    assert {"loss_pixel", "loss_region", "loss_object", "lr_backbone"} <= first.keys()
    assert list(tmp_path.glob("events.out.tfevents.*"))


@pytest.mark.device
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_state(run_on_one, tmp_path):
    def poisoned(state, batch):
        state, metrics = run_on_one.step(state, batch)
        if int(state.step) == 6:  # a step at which a checkpoint is due
            metrics = {**metrics, "loss": metrics["loss"] * float("nan")}
        return state, metrics

    with pytest.raises(NonFiniteError, match="the loss at step 6 is nan"):
        go(run_on_one, tmp_path, train_step=poisoned)
    with Checkpoints(epath.Path(tmp_path / "checkpoints"), writable=False) as checkpoints:
        assert checkpoints.steps()[-1] == 4


def test_a_log_that_is_deleted_meanwhile_is_begun_anew(run_on_one, tmp_path):
    def deleting():
        for step, batch in enumerate(batches(), start=1):
            if step == 5:
                (tmp_path / "metrics.jsonl").unlink()
            yield batch

    go(run_on_one, tmp_path, stream=deleting())
    assert [line["step"] for line in lines(tmp_path) if "loss" in line] == list(range(5, 13))


class Unfinished:
    """A metric of a step on the devices: reading it waits until that step is done."""

    def __init__(self, value, step, begun):
        self.value, self.step, self.begun = value, step, begun

    def __array__(self, dtype=None, copy=None):
        assert self.begun[-1] > self.step or self.step == 4, "the devices have nothing to do"
        return np.asarray(self.value)


def test_the_host_waits_for_a_step_only_while_the_next_one_runs(run_on_one, tmp_path):
    begun = []

    def step(state, batch):
        state, metrics = run_on_one.step(state, batch)
        begun.append(len(begun) + 1)
        return state, {name: Unfinished(x, begun[-1], begun) for name, x in metrics.items()}

    train = train_section(total_steps=4, validate_every=0, checkpoint_every=99)
    go(run_on_one, tmp_path, train=train, train_step=step)
    assert losses(tmp_path) == pytest.approx(losses_of(run_on_one, 4))


def losses_of(run, count):
    """The losses of the first steps, without the loop."""
    state, found = run.start(), []
    for batch in itertools.islice(batches(), count):
        state, metrics = run.step(state, jax.device_put(batch))
        found.append(float(metrics["loss"]))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_and_stops(run_on_one, tmp_path, number):
    def signalling():
        for step, batch in enumerate(batches(), start=1):
            if step == 5:
                os.kill(os.getpid(), number)
            yield batch

    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="stopped at step 5 of 12") as stop:
        go(run_on_one, tmp_path, stream=signalling())
    assert stop.value.signal_number == number
    assert signal.getsignal(number) == before
    assert int(go(run_on_one, tmp_path).step) == 12
    assert [line["step"] for line in lines(tmp_path) if "loss" in line] == list(range(1, 13))


def test_a_picture_that_can_no_longer_be_read_stops_the_run_after_saving(run_on_one, tmp_path):
    def vanishing():
        yield from itertools.islice(batches(), 5)
        raise UserError("7.jpg does not exist.")

    with pytest.raises(UserError, match=r"7\.jpg"):
        go(run_on_one, tmp_path, stream=vanishing())
    with Checkpoints(epath.Path(tmp_path / "checkpoints"), writable=False) as checkpoints:
        assert checkpoints.steps()[-1] == 5


def test_maps_that_are_no_numbers_stop_the_run_before_it_is_saved(run_on_one, tmp_path):
    score = {4: 0.5, 8: float("nan")}.get
    with pytest.raises(NonFiniteError, match="step 8"):
        go(run_on_one, tmp_path, score=score)
    with Checkpoints(epath.Path(tmp_path / "checkpoints"), writable=False) as checkpoints:
        assert checkpoints.find("best")[0] == 4
        assert checkpoints.steps()[-1] == 6


def test_damaged_lines_of_metrics_are_dropped_on_resuming(tmp_path):
    file = tmp_path / "metrics.jsonl"
    whole = [json.dumps({"step": step, "loss": 1.0}) for step in (1, 2, 3)]
    damaged = ["}", '"step"', '{"loss": 2}', "\0\0\0}", whole[2], '{"step": 2, "los']
    file.write_text("\n".join([whole[0], *damaged[:4], whole[1], *damaged[4:]]))
    with Summaries(file, start_step=2) as summaries:
        summaries.write_scalars(3, {"loss": 0.5})
    assert [(row["step"], row["loss"]) for row in lines(tmp_path)] == [(1, 1), (2, 1), (3, 0.5)]


def test_workers_that_die_of_the_same_signal_lose_nothing(run_on_one, tmp_path):
    def dying():
        yield from itertools.islice(batches(), 5)
        os.kill(os.getpid(), signal.SIGINT)
        raise ValueError("Worker process was terminated unexpectedly")

    with pytest.raises(Interrupted, match="stopped at step 5 of 12"):
        go(run_on_one, tmp_path, stream=dying())
    with Checkpoints(epath.Path(tmp_path / "checkpoints"), writable=False) as checkpoints:
        assert checkpoints.find("latest")[0] == 5  # how it goes on from there is tested above

"""The loop: bit-exact resume, order of validation and saving, non-finite losses, signals."""

import dataclasses
import itertools
import json
import os
import signal

import jax
import numpy as np
import pytest
from etils import epath

from class_jax.checkpoints import Checkpoints
from class_jax.sharding import put_batch, replicated_sharding
from class_jax.training import loop
from class_jax.training.interrupts import Interrupted
from class_jax.training.loop import NonFiniteError, Plan, train
from class_jax.training.state import restored_state, training_part
from class_jax.training.summaries import Summaries
from tests.small_run import batches

PLAN = Plan(total_steps=12, batch_size=8, log_every=1, validate_every=4, checkpoint_every=3)


def validation(score):
    """Validation that gives the next of some scores."""
    picture = np.zeros((4, 4, 3), np.uint8)
    return lambda state: ({"val_mae": 0.1, "val_maxF": score(int(state.step))}, picture)


def go(run, folder, *, plan=PLAN, stream=None, train_step=None, score=lambda step: step / 100):
    """Start or resume a run in `folder`; gives the last state."""
    with Checkpoints(epath.Path(folder / "checkpoints"), writable=True) as checkpoints:
        state = run.start()
        if checkpoints.steps():
            variables, training = checkpoints.restore(
                checkpoints.steps()[-1],
                variables=state.variables,
                training=training_part(state),
                sharding=replicated_sharding(run.mesh),
            )
            state = restored_state(variables, training)
        start = int(state.step)
        with Summaries(folder, folder / "metrics.jsonl", start_step=start) as summaries:
            return train(
                state,
                stream or batches(start=start),
                train_step=train_step or run.step,
                validate=validation(score),
                plan=plan,
                checkpoints=checkpoints,
                summaries=summaries,
                mesh=run.mesh,
            )


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses(folder):
    return [line["loss"] for line in lines(folder) if "loss" in line]


def test_a_stopped_run_goes_on_bit_for_bit(run_on_one, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    expected = go(run_on_one, whole)

    def breaking():
        yield from itertools.islice(batches(), 8)
        raise ConnectionError("the data went away")

    with pytest.raises(ConnectionError):
        go(run_on_one, broken, stream=breaking())
    with (broken / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')  # cut off in the middle of a line, as kill -9 does
    resumed = go(run_on_one, broken)
    jax.tree.map(np.testing.assert_array_equal, resumed, expected)
    assert losses(broken) == losses(whole)
    assert [line["step"] for line in lines(broken)] == [line["step"] for line in lines(whole)]


def test_best_and_latest_survive_and_scores_belong_to_their_step(run_on_one, tmp_path):
    go(run_on_one, tmp_path, score=lambda step: {4: 0.3, 8: 0.9, 12: 0.5}[step])
    with Checkpoints(epath.Path(tmp_path / "checkpoints"), writable=False) as checkpoints:
        assert checkpoints.steps() == [8, 12]
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


def test_a_batch_is_sent_while_the_step_before_it_runs(run_on_one, tmp_path, monkeypatch):
    happened = []

    def put(batch, mesh):
        happened.append("send")
        return put_batch(batch, mesh)

    def step(state, batch):
        happened.append("step")
        return run_on_one.step(state, batch)

    def read(metrics):
        happened.append("read")
        return device_get(metrics)

    device_get = jax.device_get
    monkeypatch.setattr(loop, "put_batch", put)
    monkeypatch.setattr(loop.jax, "device_get", read)
    plan = dataclasses.replace(PLAN, total_steps=4, validate_every=0, checkpoint_every=99)
    go(run_on_one, tmp_path, plan=plan, train_step=step)
    # Nothing is read of a step before the next is sent and begun; of the last, at the end.
    begun = ["send", "step"]
    assert happened == [*begun, *begun, "read", *begun, "read", *begun, "read", "read"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
    with Summaries(tmp_path, file, start_step=2) as summaries:
        summaries.scalars(3, {"loss": 0.5})
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

"""Several processes as one program: two of four simulated devices each, on this machine."""

import csv
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from class_jax import parallel
from class_jax.errors import UserError
from class_jax.sharding import put_batch
from tests.program import ROOT, call, use_devices

ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT),
    "XLA_FLAGS": "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0",
}
PATIENCE = 180  # seconds


def test_an_address_that_cannot_serve(monkeypatch):
    monkeypatch.setattr(parallel, "PATIENCE_AT_START", 0)
    monkeypatch.setattr(parallel, "PATIENCE_FOR_NAME", 0)
    taken = socket.create_server(("", 0))
    port = taken.getsockname()[1]
    with taken, pytest.raises(UserError, match=f"localhost:{port} cannot be used .*in use.*free"):
        parallel.start(f"localhost:{port}", 2, 0)
    with (
        socket.create_server(("", port)),
        pytest.raises(UserError, match=r"cannot be used .*in use"),
    ):
        parallel.start(f"localhost:{port}", 1, 0)
    with pytest.raises(UserError, match=f"localhost:{port} cannot be used .*refused"):
        parallel.start(f"localhost:{port}", 2, 1)
    with pytest.raises(UserError, match=r"nowhere.invalid:99 cannot .*an address of process 0"):
        parallel.start("nowhere.invalid:99", 2, 1)


def test_flags_reach_their_check_and_types_are_said(run):
    status, _, err = run("--coordinator", "127.0.0.1:99")
    assert (status, err.count("\n")) == (2, 1)
    assert "--num_processes=N" in err
    status, _, err = run("--coordinator", "127.0.0.1:99", "--num_processes", "two")
    assert (status, err.count("\n")) == (2, 1)
    assert "invalid int value: 'two'" in err


def test_alone_a_process_is_all():
    parallel.start(None, None, None)
    assert (parallel.process_count(), parallel.process_index(), parallel.is_first()) == (1, 0, True)
    assert parallel.all_gather("x") == ["x"]
    assert parallel.run_on_first(lambda: 3) == parallel.run_on_all(lambda: 3) == 3
    assert list(parallel.local_indices(3)) == [0, 1, 2]
    parallel.check_same(1, "a number")
    assert parallel.shutdown(2) == 2


AGREEMENT = """
import sys
from class_jax import parallel
from class_jax.errors import UserError

def attempt(work):
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def fail():
    raise UserError("no such folder.")

def crash():
    raise ValueError("a fault")

me = int(sys.argv[2])
parallel.start(sys.argv[1], 2, me)
assert (parallel.process_count(), parallel.process_index(), parallel.is_first()) == (2, me, me == 0)
long = b"x" * 3_000_000
assert parallel.all_gather((me, long)) == [(0, long), (1, long)]
assert parallel.run_on_first(lambda: f"from {me}") == "from 0"
assert parallel.run_on_all(lambda: me) == me
assert list(parallel.local_indices(5)) == [[0, 2, 4], [1, 3]][me]
own, others = "UserError: no such folder.", "UserError: process {} stopped: no such folder."
assert attempt(lambda: parallel.run_on_first(fail)) == [own, others.format(0)][me]
assert attempt(lambda: parallel.run_on_all(fail if me else int)) == [others.format(1), own][me]
crashed = ["ValueError: a fault", "RuntimeError: process 0 stopped: a fault"]
assert attempt(lambda: parallel.run_on_first(crash)) == crashed[me]
assert attempt(lambda: parallel.run_on_all(int if me else crash)) == crashed[me]
assert "differ in their seed" in attempt(lambda: parallel.check_same(me, "their seed"))
parallel.check_same("equal", "nothing")
parallel.log("said once")
sys.exit(parallel.shutdown(3))
"""


def test_a_process_that_waits_answers_signals_between_turns():
    answers = iter([jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED: not yet")] * 2 + ["there"])
    asked = []

    def get(key, milliseconds):
        asked.append(milliseconds)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert parallel._once_there(get, "key") == "there"
    assert len(asked) == 3
    assert max(asked) <= 1000
    answers = iter([jax.errors.JaxRuntimeError("UNAVAILABLE: the others are gone")])
    with pytest.raises(jax.errors.JaxRuntimeError, match="UNAVAILABLE"):
        parallel._once_there(get, "key")


def address():
    """A free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def finished(processes):
    """Exit statuses and what each printed."""
    try:
        printed = ["".join(process.communicate(timeout=PATIENCE)) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], printed


def started(*commands):
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]


def test_processes_agree_on_values_and_on_failures(tmp_path):
    script, meeting = tmp_path / "agreement.py", address()
    script.write_text(AGREEMENT)
    statuses, printed = finished(started(*((script, meeting, i) for i in (0, 1))))
    assert statuses == [3, 3], printed
    assert ["said once" in each for each in printed] == [True, False]


def two(*arguments):
    """The program in two processes."""
    flags = ("--coordinator", address(), "--num_processes", 2, "--process_id")
    return started(*((ROOT / "main.py", *arguments, *flags, i) for i in (0, 1)))


def rows(workdir, key):
    """Step → value of what metrics.jsonl logs by that name; each step must be there once."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    found = [(line["step"], line[key]) for line in lines if key in line]
    assert len(dict(found)) == len(found)
    return dict(found)


def wait_for_step(workdir, step, processes):
    start = time.monotonic()
    while not (workdir / "metrics.jsonl").exists() or step not in rows(workdir, "loss"):
        assert time.monotonic() - start < PATIENCE
        assert all(process.poll() is None for process in processes), finished(processes)
        time.sleep(0.1)


def results(workdir):
    with (workdir / "eval" / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    return row


def test_one_run_in_turns_by_one_process_and_by_two(recipe, tmp_path, monkeypatch, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = (
        *("--config", recipe, "--config.data.image_sizes=32", "--config.eval.image_size=32"),
        *("--config.train.total_steps=8", "--config.train.validate_every=4"),
        *("--config.train.checkpoint_every=100", "--config.eval.after_training=false"),
        # Small steps: large ones multiply what other orders of addition round differently.
        *("--config.train.lr=0.0001", "--config.train.lr_backbone=0.0001"),
    )

    def alone(devices, workdir, *, interrupt_at=None):
        use_devices(monkeypatch, devices)
        calls = itertools.count(1)

        def put(batch, mesh):
            if next(calls) == interrupt_at:
                os.kill(os.getpid(), signal.SIGINT)
            return put_batch(batch, mesh)

        monkeypatch.setattr("class_jax.training.loop.put_batch", put)
        status, _, err = call(monkeypatch, capsys, *options, "--workdir", workdir)
        assert status == (130 if interrupt_at else 0), err

    alone(8, whole)
    alone(2, parts, interrupt_at=2)
    pair = two(*options, "--workdir", parts)
    wait_for_step(parts, 3, pair)
    pair[1].send_signal(signal.SIGTERM)  # to one of them, and both stop
    statuses, printed = finished(pair)
    assert statuses == [143, 143], printed
    assert "devices: 8 × cpu, in 2 processes" in printed[0]
    assert "starting at step 2 of 8" in printed[0]
    alone(4, parts)
    for name in ("loss", "grad_norm", "val_mae", "val_maxF"):
        expected, found = rows(whole, name), rows(parts, name)
        assert list(found) == list(expected)
        np.testing.assert_allclose([*found.values()], [*expected.values()], rtol=1e-4, err_msg=name)

    statuses, printed = finished(two("--mode", "eval", "--workdir", parts))
    assert statuses == [0, 0], printed
    shares = [int(re.search(r"process \d: (\d+) maps of held_out", each)[1]) for each in printed]
    assert sum(shares) == len(list((parts / "eval" / "held_out" / "maps").rglob("*.png")))
    assert shares[0] - shares[1] in (0, 1)
    assert ["tables and figures" in each for each in printed] == [True, False]
    by_two = results(parts)
    shutil.rmtree(parts / "eval")
    use_devices(monkeypatch, 1)
    assert call(monkeypatch, capsys, "--mode", "eval", "--workdir", parts)[0] == 0
    by_one = results(parts)
    assert by_one.keys() == by_two.keys()
    for name, value in by_one.items():
        if name in ("set", "method", "protocol"):
            assert by_two[name] == value
        else:
            assert float(by_two[name]) == pytest.approx(float(value), rel=1e-3), name

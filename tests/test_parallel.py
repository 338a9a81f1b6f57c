"""Several processes as one program: two of two simulated devices each, on this machine."""

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

from class_jax import Predictor, parallel
from class_jax.errors import UserError
from class_jax.sharding import put_batch
from tests.program import ROOT, call, pairs, use_devices

TIMEOUT = 180  # seconds


def test_a_port_that_another_program_serves_is_refused():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"localhost:{port} cannot be used .*in use.*a free"):
            parallel.start(f"localhost:{port}", 2, 0)


def test_a_number_beyond_the_count_is_refused(run):
    status, _, err = run(
        *("--coordinator", address(), "--num_processes", 2, "--process_id", 2),
    )
    assert status == 2
    assert "process" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_flags_reach_their_check_and_types_are_said(run):
    status, _, err = run("--coordinator", "127.0.0.1:99")
    assert (status, err.count("\n")) == (2, 1)
    assert "--num_processes=N" in err
    status, _, err = run("--coordinator", "127.0.0.1:99", "--num_processes", "two")
    assert (status, err.count("\n")) == (2, 1)
    assert "invalid int value: 'two'" in err


def test_alone_a_process_is_all():
    assert (parallel.process_count(), parallel.process_index(), parallel.is_first()) == (1, 0, True)
    assert parallel.all_gather("x") == ["x"]
    assert parallel.run_on_first(lambda: 3) == parallel.run_on_all(lambda: 3) == 3
    assert list(parallel.local_indices(3)) == [0, 1, 2]
    parallel.check_same(1, "a number")


AGREEMENT = """
import sys
from etils import epath
import jax
from class_jax import parallel
from class_jax.errors import UserError
from class_jax.sharding import make_mesh, replicate

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
shared, own = epath.Path(sys.argv[3]), epath.Path(sys.argv[3]) / str(me)
parallel.check_shared(shared)
assert me or not list(shared.glob(".seen-*"))  # the first takes it away
parallel.FILE_SECONDS = 0
own.mkdir()
(own / ".seen-before").write_text("of another run")
refused = attempt(lambda: parallel.check_shared(own))
assert "shared/1 is not the folder that process 0 writes to" in refused, refused
assert me or [file.name for file in own.glob(".seen-*")] == [".seen-before"]
(shard,) = replicate({"x": jax.numpy.arange(3)}, make_mesh())["x"].addressable_shards
assert shard.data.tolist() == [0, 1, 2]
parallel.log("logged once")
sys.exit(3)
"""


def address():
    """A free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def finished(processes):
    """Exit statuses and what each printed."""
    try:
        printed = ["".join(process.communicate(timeout=TIMEOUT)) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], printed


def started(*commands, folder=None, devices=2):
    """Processes that run these commands, on so many devices each."""
    flags = os.environ["XLA_FLAGS"].replace("count=8", f"count={devices}")
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": flags},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]


def test_processes_agree_on_values_and_on_failures(tmp_path):
    script, meeting, shared = tmp_path / "agreement.py", address(), tmp_path / "shared"
    script.write_text(AGREEMENT)
    shared.mkdir()
    commands = [(script, meeting, i, shared) for i in (0, 1)]
    statuses, printed = finished(started(*commands, devices=1))
    assert statuses == [3, 3], printed
    assert ["logged once" in text for text in printed] == [True, False]


WAITING = """
import sys, time
from class_jax import parallel

me = int(sys.argv[2])
parallel.start(sys.argv[1], 2, me)
parallel.all_gather("both are there")
print("ready", flush=True)
parallel.run_on_first(lambda: time.sleep(600))
"""


def test_ctrl_c_ends_a_process_that_waits_for_another(tmp_path):
    script, meeting = tmp_path / "waiting.py", address()
    script.write_text(WAITING)
    pair = started(*((script, meeting, i) for i in (0, 1)))
    try:
        while pair[1].stdout.readline() != "ready\n":
            pass
        time.sleep(1)  # by now it waits
        pair[1].send_signal(signal.SIGINT)
        assert pair[1].wait(TIMEOUT) == -signal.SIGINT
    finally:
        for process in pair:
            process.kill()
            process.communicate()


def test_processes_with_other_flags_are_refused_in_all(tmp_path):
    flags = (
        "--mode",
        "predict",
        "--input",
        ROOT / "docs" / "photo.png",
        "--coordinator",
        address(),
        "--num_processes",
        2,
    )
    checkpoints = ("best", "latest")
    pair = started(
        *((ROOT / "main.py", *flags, "--process_id", i, "--checkpoint", checkpoints[i])
          for i in (0, 1))
    )  # fmt: skip
    statuses, printed = finished(pair)
    assert statuses == [2, 2], printed
    expected = "differ in their flags: all processes need the same command"
    assert all(expected in text for text in printed)


def test_processes_that_do_not_see_the_same_checkpoints_are_refused_in_all(tmp_path):
    for name in ("0/runs/checkpoints", "1"):
        (tmp_path / name).mkdir(parents=True)
    image = pairs(tmp_path / "mine", count=1) / "images" / "00.jpg"
    flags = (
        "--mode",
        "predict",
        "--input",
        image,
        "--coordinator",
        address(),
        "--num_processes",
        2,
    )
    commands = [(ROOT / "main.py", *flags, "--process_id", i) for i in (0, 1)]
    pair = [started(command, folder=tmp_path / str(i))[0] for i, command in enumerate(commands)]
    statuses, printed = finished(pair)
    assert statuses == [2, 2], printed
    assert all("all processes need the same command and see the same files" in x for x in printed)


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
        assert time.monotonic() - start < TIMEOUT
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
        *("--config.train.lr=0.00001", "--config.train.lr_backbone=0.00001"),
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

    alone(2, whole)
    alone(2, parts, interrupt_at=2)
    pair = two(*options, "--workdir", parts)
    wait_for_step(parts, 3, pair)
    pair[1].send_signal(signal.SIGTERM)  # to one of them, and both stop
    statuses, printed = finished(pair)
    assert statuses == [143, 143], printed
    assert "devices: 4 × cpu, in 2 processes" in printed[0]
    assert "starting at step 2 of 8" in printed[0]
    alone(2, parts)
    # The gradient jumps where a unit is at the kink of its ReLU and rounding decides the side.
    for name, rtol in {"loss": 1e-4, "grad_norm": 0.02, "val_mae": 1e-4, "val_maxF": 1e-4}.items():
        expected, found = rows(whole, name), rows(parts, name)
        assert list(found) == list(expected)
        np.testing.assert_allclose([*found.values()], [*expected.values()], rtol=rtol, err_msg=name)

    statuses, printed = finished(two("--mode", "eval", "--workdir", parts))
    assert statuses == [0, 0], printed
    shares = [int(re.search(r"process \d: (\d+) maps of held_out", text)[1]) for text in printed]
    assert sum(shares) == len(list((parts / "eval" / "held_out" / "maps").rglob("*.png")))
    assert shares[0] - shares[1] in (0, 1)
    assert ["tables and figures" in text for text in printed] == [True, False]
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


def test_two_processes_start_from_what_one_has_trained(recipe, trained, tmp_path):
    options = (
        *("--config", recipe, "--workdir", tmp_path, "--config.eval.after_training=false"),
        *("--config.data.image_sizes=32", "--config.train.total_steps=1"),
        *("--config.train.lr=0", "--config.train.lr_backbone=0"),  # all but statistics stay
    )
    statuses, printed = finished(two(*options, f"--config.train.start_from={trained}"))
    assert statuses == [0, 0], printed
    assert f"of {trained} (best" in printed[0]
    source, found = (
        Predictor.load(workdir, checkpoint=checkpoint).engine.variables.params
        for workdir, checkpoint in ((trained, "best"), (tmp_path, "1"))
    )
    jax.tree.map(np.testing.assert_array_equal, found, source)

    missing = (*options[:2], "--workdir", tmp_path / "new")
    statuses, printed = finished(two(*missing, f"--config.train.start_from={tmp_path / 'none'}"))
    assert statuses == [2, 2], printed

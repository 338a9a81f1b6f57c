"""What happens to a run when something fails: the rows of docs/reliability.md.

`python -m pytest -m slow tests/test_reliability.py` runs those that take minutes.
"""

import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from class_jax.config import load_config
from class_jax.errors import UserError
from class_jax.files import atomic_write
from class_jax.models.network import build_network
from class_jax.runs.workdir import Workdir
from tests.program import ROOT, pairs

ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT),
    "XLA_FLAGS": os.environ["XLA_FLAGS"].replace("count=8", "count=1"),
}
TIMEOUT = 120  # seconds


def test_the_page_has_thirty_faults_or_more_and_names_tests_that_exist():
    page = (ROOT / "docs" / "reliability.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) >= 30
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    names = [name for row in rows for name in re.findall(r"`([a-z0-9_]{12,})(?:…|`)", row)]
    assert len(names) >= 30
    assert [name for name in names if f"def test_{name}" not in sources] == []


@pytest.fixture
def workdir(trained, tmp_path):
    """A copy of a workdir that holds a run of four steps, with checkpoints of two and four."""
    return shutil.copytree(trained, tmp_path / "run")


def flip_bits(folder):
    """Damage the largest file of a checkpoint as a failing disk does."""
    largest = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(largest.read_bytes())
    for place in range(64):
        data[(len(data) // 2 + 37 * place) % len(data)] ^= 255
    largest.write_bytes(data)


def lines_of(workdir):
    """The lines of a run's metrics, without the speeds."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]


# Checkpoints.


def test_training_goes_on_from_the_checkpoint_before_a_damaged_one(run, workdir, trained):
    flip_bits(workdir / "checkpoints" / "4")
    status, _, err = run("--workdir", workdir)
    assert status == 0, err
    assert "warning: the checkpoint of step 4 is damaged (" in err
    assert f"moved to {workdir}/checkpoints/damaged-4" in err
    assert "starting at step 2 of 4" in err
    assert lines_of(workdir) == lines_of(trained)


@pytest.mark.parametrize("mode", ["eval", "predict"])
def test_a_damaged_checkpoint_is_refused_with_the_steps_that_can_be_had(run, workdir, mode):
    flip_bits(workdir / "checkpoints" / "4")
    folder = pairs(workdir.parent / "mine", count=2)
    command = ("--mode", mode, "--workdir", workdir, "--input")
    paths = folder if mode == "eval" else folder / "images"
    status, _, err = run(*command, paths, "--checkpoint", "latest")
    assert status == 2
    assert "the checkpoint of step 4 is damaged (" in err
    assert "these steps can be used: 2." in err
    assert err.count("\n") == 1
    assert run(*command, paths, "--checkpoint", "2")[0] == 0


def test_a_run_without_its_checkpoints_does_not_start_anew(run, workdir):
    shutil.rmtree(workdir / "checkpoints")
    before = (workdir / "metrics.jsonl").read_bytes()
    status, _, err = run("--workdir", workdir)
    assert status == 2
    assert "holds a run, and no checkpoint that can be used" in err
    assert "begin anew in another workdir" in err
    assert (workdir / "metrics.jsonl").read_bytes() == before


def test_checkpoints_that_are_all_damaged_are_set_aside_and_said(run, workdir):
    for step in ("2", "4"):
        flip_bits(workdir / "checkpoints" / step)
    status, _, err = run("--workdir", workdir)
    assert status == 2
    assert err.count("is damaged") == 2
    assert "no checkpoint that can be used" in err


def test_a_folder_that_somebody_copied_or_named_as_a_checkpoint_is_not_taken_for_one(
    run, workdir, trained
):
    folder = workdir / "checkpoints"
    shutil.copytree(folder / "4", folder / "12")
    for name in ("4 (copy)", "007", "5"):
        (folder / name).mkdir()
    status, _, err = run("--workdir", workdir, "--config.train.total_steps=6")
    assert status == 0, err
    assert "the checkpoint of step 12 is damaged (it is that of step 4)" in err
    assert "the checkpoint of step 5 is damaged" in err
    assert "starting at step 4 of 6" in err
    assert lines_of(workdir)[: len(lines_of(trained))] == lines_of(trained)


# The other files of a workdir.


def test_a_run_that_lost_its_configuration_does_not_go_on_with_another(workdir):
    (workdir / "config.json").unlink()
    with pytest.raises(UserError, match=r"holds a run, and no config\.json"):
        load_config(None, Workdir(workdir), [])
    recipe = ROOT / "configs" / "quickstart.py"
    assert load_config(str(recipe), Workdir(workdir), []).train.total_steps > 0


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\0", b'{"count": 20'])
def test_damaged_examples_are_named(tmp_path, content):
    workdir = Workdir(tmp_path)
    (tmp_path / "examples.json").write_bytes(content)
    with pytest.raises(UserError, match=r"delete .*examples\.json if it is damaged"):
        workdir.check_examples(["a"])


def test_metrics_cut_in_mid_line_and_a_damaged_event_file_lose_no_step(run, workdir, trained):
    metrics = workdir / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-9] + b"\xff\0")
    for events in workdir.glob("events.out.tfevents.*"):
        events.write_bytes(events.read_bytes()[:7])
    assert run("--workdir", workdir, "--config.train.total_steps=6")[0] == 0
    lines = lines_of(workdir)
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert lines[0] == lines_of(trained)[0]


def test_times_in_the_future_change_nothing(run, workdir, trained):
    flip_bits(workdir / "checkpoints" / "4")
    later = time.time() + 10**6
    for path in workdir.rglob("*"):
        os.utime(path, (later, later))
    assert run("--workdir", workdir)[0] == 0
    assert lines_of(workdir) == lines_of(trained)


# Disks.


def fill(path):
    """Have every write to a file end as on a full disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/full")


def partial(path):
    """The name that this process writes a file under, before it has its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(LookupError), atomic_write(path) as name:
        raise LookupError
    return name


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@needs_full
def test_a_disk_that_is_full_for_metrics_is_said_and_the_run_can_go_on(run, workdir, trained):
    kept = (workdir / "metrics.jsonl").read_bytes()
    flip_bits(workdir / "checkpoints" / "4")
    fill(partial(workdir / "metrics.jsonl"))
    status, _, err = run("--workdir", workdir)
    assert status == 2
    assert "metrics.jsonl cannot be written (No space left on device)" in err
    assert "Traceback" not in err
    assert (workdir / "metrics.jsonl").read_bytes() == kept
    assert run("--workdir", workdir)[0] == 0
    assert lines_of(workdir) == lines_of(trained)


@needs_full
def test_a_disk_that_is_full_for_a_map_costs_that_map_alone(run, workdir, tmp_path):
    images = pairs(tmp_path / "mine", count=3) / "images"
    fill(partial(tmp_path / "out" / "01.png"))
    command = ("--mode", "predict", "--workdir", workdir, "--input", images, "--output", "out")
    status, _, err = run(*command)
    assert status == 1
    assert "01.png cannot be written (No space left on device)" in err
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"00.png", "02.png"}
    assert run(*command)[0] == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


@needs_full
@pytest.mark.parametrize("name", ["results.csv", "results.md", "per_image.csv", "pr_curves.png"])
def test_a_disk_that_is_full_for_a_table_leaves_none_that_is_half(run, workdir, name):
    fill(partial(workdir / "eval" / name))
    kept = (workdir / "eval" / name).read_bytes()
    status, _, err = run("--mode", "eval", "--workdir", workdir)
    assert status == 2
    assert f"{name} cannot be written (No space left on device)" in err
    assert (workdir / "eval" / name).read_bytes() == kept


def test_an_output_that_is_deleted_meanwhile_is_made_again(run, workdir, tmp_path, monkeypatch):
    images = pairs(tmp_path / "mine", count=3) / "images"
    write = cv2.resize  # called for each map
    monkeypatch.setattr(
        "class_jax.pictures.predictor.resize_bilinear",
        lambda logits, height, width: (
            shutil.rmtree(tmp_path / "out", ignore_errors=True),
            write(logits, (width, height)),
        )[1],
    )
    status, _, _ = run(
        "--mode", "predict", "--workdir", workdir, "--input", images, "--output", "out"
    )
    assert status == 0
    assert (tmp_path / "out" / "02.png").exists()


def test_a_write_that_fails_in_the_background_is_one_sentence_without_tracebacks(recipe, tmp_path):
    process = program(
        *("--config", recipe, "--workdir", tmp_path / "w"),
        limit=20_000,  # bytes of a file: a stand-in for a disk that fills up
        JAX_COMPILATION_CACHE_DIR="",
    )
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 2, err
    assert "error: the checkpoint of step 0 cannot be written to" in err
    assert "Traceback" not in err
    assert err.count("\n") < 10, err


# Files of a data set.


def cut(path):
    path.write_bytes(path.read_bytes()[:200])


def replace(path):
    cv2.imwrite(str(path), np.zeros((30, 30, 3), np.uint8))


@pytest.mark.parametrize("damage", [Path.unlink, cut, replace])
def test_a_picture_that_is_lost_during_training_stops_it_after_saving(
    run, recipe, tmp_path, damage
):
    folder = pairs(tmp_path / "mine")
    workdir = tmp_path / "w"

    def harm():
        metrics = workdir / "metrics.jsonl"
        while not metrics.exists() or metrics.read_text().count("\n") < 2:
            time.sleep(0.01)
        damage(folder / "images" / "03.jpg")

    thread = threading.Thread(target=harm)
    thread.start()
    status, _, err = run(
        *("--config", recipe, "--workdir", workdir, "--config.train.total_steps=2000"),
        *("--config.data.train=folder", f"--config.data.root={folder}"),
        f"--config.data.val_root={pairs(tmp_path / 'others', count=2)}",
        *("--config.train.validate_every=0", "--config.train.checkpoint_every=2000"),
    )
    thread.join()
    assert status == 2
    assert "03.jpg" in err
    assert "Traceback" not in err
    last = lines_of(workdir)[-1]["step"]
    assert last >= 2
    assert (workdir / "checkpoints" / str(last) / "manifest.sha256").exists()


def test_a_feed_worker_that_is_killed_stops_the_run_after_saving(recipe, tmp_path):
    workdir, before = tmp_path / "w", set(Path("/dev/shm").iterdir())
    process = program(
        *("--config", recipe, "--workdir", workdir, "--config.data.workers=1"),
        *("--config.train.total_steps=100000", "--config.train.validate_every=0"),
        "--config.train.checkpoint_every=100000",
    )
    try:
        wait_for_step(workdir, 2, process)
        for child in children(process.pid):
            if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(child, signal.SIGKILL)
        _, err = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    assert process.returncode == 2, err
    assert "a process that prepares batches was ended" in err
    assert "leaked" not in err
    assert "Traceback" not in err
    start = time.monotonic()
    while set(Path("/dev/shm").iterdir()) - before:  # other tests use it for moments
        assert time.monotonic() - start < TIMEOUT
        time.sleep(0.1)
    last = lines_of(workdir)[-1]["step"]
    assert (workdir / "checkpoints" / str(last) / "manifest.sha256").exists()


# Processes that are ended.


def program(*arguments, limit=None, **environment):
    """Start the program, which then writes no file of more than `limit` bytes."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "main.py"), *map(str, arguments)],
        env=ENVIRONMENT | environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if limit:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    return process


def children(pid):
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def wait_for_step(workdir, step, process):
    start = time.monotonic()
    while not (workdir / "metrics.jsonl").exists() or len(lines_of(workdir)) < step:
        assert time.monotonic() - start < TIMEOUT
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


OPTIONS = ("--config.train.total_steps=12", "--config.train.checkpoint_every=3")


@pytest.fixture(scope="module")
def uninterrupted(recipe, tmp_path_factory):
    """A run that was left alone, and the seconds it took."""
    workdir = tmp_path_factory.mktemp("uninterrupted")
    for _ in range(2):  # the second with compiled programs at hand, as those that are killed
        shutil.rmtree(workdir)
        start = time.monotonic()
        process = program("--config", recipe, "--workdir", workdir, *OPTIONS)
        assert process.wait(TIMEOUT) == 0
        seconds = time.monotonic() - start
    return workdir, seconds


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_run_that_is_killed_at_any_moment_goes_on_bit_for_bit(
    recipe, tmp_path, uninterrupted, seed
):
    whole, seconds = uninterrupted
    command = ("--config", recipe, "--workdir", tmp_path / "w", *OPTIONS)
    rng = random.Random(seed)
    for _ in range(2):
        process = program(*command)
        time.sleep(rng.uniform(0, seconds))
        process.kill()
        process.communicate()
    process = program(*command)
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    assert lines_of(tmp_path / "w") == lines_of(whole)
    for name in ("results.csv", "per_image.csv"):
        expected = (whole / "eval" / name).read_bytes()
        assert (tmp_path / "w" / "eval" / name).read_bytes() == expected


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", [0.05, 0.2, 0.4, 0.6, 0.75, 0.9, 0.97])
def test_a_signal_in_any_phase_loses_nothing(recipe, tmp_path, uninterrupted, number, moment):
    whole, seconds = uninterrupted
    command = ("--config", recipe, "--workdir", tmp_path / "w", *OPTIONS)
    process = program(*command)
    time.sleep(moment * seconds)
    process.send_signal(number)
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode in (0, 130, 143, -number), err
    process = program(*command)
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    assert lines_of(tmp_path / "w") == lines_of(whole)


@pytest.mark.slow
def test_predicting_and_evaluating_beside_a_training_that_saves_all_the_time(recipe, tmp_path):
    workdir, images = tmp_path / "w", pairs(tmp_path / "mine", count=2) / "images"
    training = program(
        *("--config", recipe, "--workdir", workdir, "--config.train.total_steps=1000000"),
        *("--config.train.checkpoint_every=1", "--config.train.validate_every=0"),
    )
    try:
        wait_for_step(workdir, 3, training)
        for turn in range(6):
            for mode in (
                ("predict", "--input", images, "--output", tmp_path / str(turn)),
                ("eval",),
            ):
                process = program("--mode", *mode, "--workdir", workdir)
                _, err = process.communicate(timeout=TIMEOUT)
                assert process.returncode == 0, err
    finally:
        training.kill()
        training.communicate()


# Several processes.


def two(*arguments):
    """The program in two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{free.getsockname()[1]}"
    flags = ("--coordinator", at, "--num_processes", 2, "--process_id")
    return [program(*arguments, *flags, process) for process in (0, 1)]


LONG = (
    "--config.train.total_steps=100000",
    "--config.train.validate_every=0",
    "--config.train.checkpoint_every=100000",
)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_process_that_is_lost_ends_the_other(recipe, tmp_path, lost):
    pair = two("--config", recipe, "--workdir", tmp_path / "w", *LONG)
    try:
        wait_for_step(tmp_path / "w", 2, pair[0])
        pair[lost].kill()
        _, err = pair[1 - lost].communicate(timeout=TIMEOUT)
    finally:
        for process in pair:
            process.kill()
            process.communicate()
    assert pair[1 - lost].returncode == -signal.SIGABRT, err  # by JAX
    assert "another task died" in err
    if lost == 1:  # process 0 serves JAX's connections, and its loss aborts the others at once
        assert "error: process 0 cannot compute with the others" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_picture_that_is_lost_ends_all_processes(recipe, tmp_path):
    folder, workdir = pairs(tmp_path / "mine"), tmp_path / "w"
    data = (
        *("--config.data.train=folder", f"--config.data.root={folder}"),
        f"--config.data.val_root={pairs(tmp_path / 'others', count=2)}",
    )
    pair = two("--config", recipe, "--workdir", workdir, *LONG, *data)
    try:
        wait_for_step(workdir, 2, pair[0])
        (folder / "images" / "03.jpg").unlink()
        errors = [process.communicate(timeout=TIMEOUT)[1] for process in pair]
    finally:
        for process in pair:
            process.kill()
    assert all(process.returncode for process in pair), errors
    assert any("03.jpg does not exist" in error for error in errors)
    last = lines_of(workdir)[-1]["step"]
    assert last >= 2
    assert not (workdir / "checkpoints" / str(last)).exists()


def test_a_home_and_a_folder_for_temporary_files_that_are_not_there(workdir, tmp_path):
    images = pairs(tmp_path / "mine", count=1) / "images"
    process = program(
        *("--mode", "predict", "--workdir", workdir, "--input", images, "--output", tmp_path / "o"),
        HOME="/nonexistent",
        TMPDIR="/nonexistent",
        JAX_COMPILATION_CACHE_DIR="",
    )
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    assert (tmp_path / "o" / "00.png").exists()


# Files of strangers.


@pytest.mark.parametrize(
    ("leaf", "value"),
    [
        ("model.width", 10**9),
        ("model.features", 10**9),
        ("model.stage_sizes", [10**6] * 5),
        ("train.batch_size", 10**12),
        ("data.image_sizes", [10**9]),
        ("eval.image_size", 10**9),
        ("eval.batch_size", 10**12),
    ],
)
def test_a_configuration_of_absurd_sizes_is_refused(workdir, leaf, value):
    file = workdir / "config.json"
    config = json.loads(file.read_text())
    section, name = leaf.split(".")
    config[section][name] = value
    file.write_text(json.dumps(config))
    with pytest.raises(UserError, match=f"config.{leaf} = "):
        load_config(None, Workdir(workdir), [])


def test_a_network_that_no_machine_holds_is_refused_before_memory_is_asked_for(workdir):
    config = load_config(None, Workdir(workdir), ["--config.model.width=60000"])
    with pytest.raises(UserError, match="at most can be used: reduce its width"):
        build_network(config.model, dtype="float32")


def test_a_configuration_nested_without_end_is_refused(workdir):
    (workdir / "config.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="is not a configuration in JSON"):
        Workdir(workdir).load_config()


def test_a_pipe_and_a_folder_named_as_pictures_do_not_block(run, workdir, tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name, words in (("pipe.jpg", "neither a file nor a folder"), ("folder.jpg", "no images")):
        status, _, err = run("--mode", "predict", "--workdir", workdir, "--input", tmp_path / name)
        assert status == 2
        assert words in err

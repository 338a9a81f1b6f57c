"""What is saved comes back; latest and best are kept; failures are told in a sentence."""

import contextlib
import dataclasses
import hashlib
import itertools
import resource
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest
from etils import epath

from class_jax.errors import UserError
from class_jax.models.network import build_network
from class_jax.networks.places import keep_trying
from class_jax.runs.checkpoints import Checkpoints, read_checkpoints
from class_jax.runs.manifest import DamagedError, list_steps, set_damaged_aside
from class_jax.sharding import replicated_sharding
from class_jax.training.state import restore_latest, save_state
from tests.small_run import SMALL_MODEL, mesh_of, small_run


@pytest.fixture
def folder(tmp_path):
    return epath.Path(tmp_path / "checkpoints")


def save(checkpoints, step, max_f=None):
    """Save a small state that no compression makes smaller, and wait until it is written."""
    scores = None if max_f is None else {"val_maxF": max_f, "val_mae": 0.1}
    values = np.random.default_rng(step).standard_normal(10_000, np.float32)
    parts = {"variables": {"params": values}, "training": {"step": np.int32(step)}}
    checkpoints.save(step, parts, scores=scores)
    checkpoints.wait()


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_everything_comes_back(folder, small_network, one_device, ema_decay):
    run = small_run(small_network, one_device, ema_decay=ema_decay)
    state = dataclasses.replace(run.start(), step=jax.numpy.int32(3))
    if ema_decay:
        state = dataclasses.replace(state, ema=jax.tree.map(lambda x: x + 1, state.ema))
    sharding = replicated_sharding(one_device)
    with Checkpoints(folder, writable=True) as checkpoints:
        save_state(checkpoints, state)
        checkpoints.wait()
        restored = restore_latest(
            checkpoints, small_network, run.optimizer, ema=ema_decay > 0, sharding=sharding
        )
        evaluated = checkpoints.restore_variables(3, small_network.shapes, sharding)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    jax.tree.map(np.testing.assert_array_equal, evaluated, state.eval_variables)


def test_the_two_latest_and_the_best_are_kept_and_found(folder):
    with Checkpoints(folder, writable=True) as checkpoints:
        for step, max_f in ((1, 0.5), (2, 0.9), (3, None), (4, 0.7), (5, None)):
            save(checkpoints, step, max_f)
    with Checkpoints(folder, writable=False) as checkpoints:
        assert checkpoints.steps() == [2, 4, 5]
        assert checkpoints.find("latest")[0] == 5
        assert checkpoints.find("best") == (2, "best, val_maxF 0.9000")
        assert checkpoints.find("5")[0] == 5
        with pytest.raises(UserError, match=r"3 is not a checkpoint of .*: 2, 4, 5"):
            checkpoints.find("3")


def test_best_is_the_latest_where_nothing_was_validated(folder):
    with Checkpoints(folder, writable=True) as checkpoints:
        save(checkpoints, 7)
        assert checkpoints.find("best") == (7, "latest, as nothing was validated")


def test_two_checkpoints_of_one_step_have_different_fingerprints(folder):
    found = []
    for _ in range(2):
        with Checkpoints(folder, writable=True) as checkpoints:
            save(checkpoints, 1)
            found += [checkpoints.fingerprint(1), checkpoints.fingerprint(1)]
        folder.rmtree()
    assert found[0] == found[1]
    assert found[1] != found[2]


def test_a_checkpoint_larger_than_the_disk_is_refused_before_it_is_written(folder):
    with Checkpoints(folder, writable=True) as checkpoints:
        save(checkpoints, 1)
        huge = np.broadcast_to(np.float32(0), 2**50)  # takes no memory
        with pytest.raises(UserError, match=r"step 2 .* \(it needs \d+ MB\); its disk has \d+ MB"):
            checkpoints.save(2, {"variables": {"w": huge}, "training": {"step": np.int32(2)}})
        assert checkpoints.steps() == [1]


@contextlib.contextmanager
def files_limited_to(size):
    """A stand-in for a disk that fills up while files are written."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_fills_up_during_a_save_is_told_with_step_and_folder(folder):
    expected = r"the checkpoint of step 2 cannot be written to .*checkpoints \(.+\); its disk has"
    with Checkpoints(folder, writable=True) as checkpoints:
        save(checkpoints, 1)
        with files_limited_to(10_000), pytest.raises(UserError, match=expected) as failure:
            save(checkpoints, 2)
    assert failure.value.__cause__ is not None
    assert "the same command then goes on" in str(failure.value)
    with Checkpoints(folder, writable=True) as checkpoints:
        assert checkpoints.steps() == [1]
        save(checkpoints, 2)
        assert checkpoints.steps() == [1, 2]


def test_a_write_that_fails_in_the_background_is_told_when_the_folder_is_closed(folder):
    values = np.random.default_rng(0).standard_normal(10_000, np.float32)
    with (
        files_limited_to(10_000),
        pytest.raises(UserError, match="step 2 cannot be written"),
        Checkpoints(folder, writable=True) as checkpoints,
    ):
        checkpoints.save(2, {"variables": {"w": values}, "training": {"step": np.int32(2)}})


def test_another_network_is_named(folder, run_on_one):
    other = build_network({**SMALL_MODEL, "features": 16}, dtype="float32")
    with Checkpoints(folder, writable=True) as checkpoints:
        save_state(checkpoints, run_on_one.start())
        checkpoints.wait()
        with pytest.raises(UserError, match=r"another network: \d+ arrays differ"):
            checkpoints.restore_variables(0, other.shapes, replicated_sharding(run_on_one.mesh))


def test_reading_creates_nothing(folder):
    with pytest.raises(UserError, match="convert the authors'"):
        Checkpoints(folder, writable=False)
    assert not folder.exists()
    folder.mkdir(parents=True)
    with (
        Checkpoints(folder, writable=False) as checkpoints,
        pytest.raises(UserError, match="holds no checkpoint"),
    ):
        checkpoints.find("best")


def test_a_damaged_checkpoint_without_a_manifest_is_named(folder, run_on_one):
    state = run_on_one.start()
    with Checkpoints(folder, writable=True) as checkpoints:
        save_state(checkpoints, state)
    for file in Path(folder, "0", "variables").rglob("*"):
        if file.is_file() and file.stat().st_size > 1000:
            file.write_bytes(file.read_bytes()[:100])
    (folder / "0" / "manifest.sha256").unlink()
    shapes = run_on_one.network.shapes
    with (
        Checkpoints(folder, writable=False) as checkpoints,
        pytest.raises(DamagedError, match=r"step 0 is damaged .*; no other can be used"),
    ):
        checkpoints.restore_variables(0, shapes, replicated_sharding(run_on_one.mesh))


def files_of(checkpoint):
    found = (path for path in Path(checkpoint).rglob("*") if path.is_file())
    return {path.relative_to(checkpoint).as_posix(): path for path in found}


def test_a_manifest_lists_the_sha256_of_all_files(folder):
    with Checkpoints(folder, writable=True) as checkpoints:
        save(checkpoints, 1)
    files = files_of(folder / "1")
    lines = files.pop("manifest.sha256").read_text().splitlines()
    for later in ("_CHECKPOINT_METADATA", "commit_success.txt"):
        files.pop(later, None)  # older versions of orbax write no second one
    expected = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    assert {line[66:]: line[:64] for line in lines} == expected


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "one bit": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "deleted": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_to_every_file_is_found_and_the_step_before_is_left(
    folder, tmp_path, monkeypatch, damage
):
    monkeypatch.setattr("class_jax.runs.checkpoints.VANISHING_SECONDS", 0)
    with Checkpoints(folder, writable=True) as checkpoints:
        save(checkpoints, 1)
        save(checkpoints, 2)
    whole = folder.rename(tmp_path / "whole")
    # Orbax reads no more of the first than that it is JSON, and nothing of the second.
    if damage == "one bit":
        spared = {"_CHECKPOINT_METADATA", "commit_success.txt"}
    else:
        spared = {"commit_success.txt"}
    for name in files_of(whole / "2").keys() - spared:
        shutil.copytree(whole, folder)
        DAMAGES[damage](Path(folder) / "2" / name)
        expected = r"step 2 is damaged \(.*\); these steps can be used: 1\."
        with (
            Checkpoints(folder, writable=False) as checkpoints,
            pytest.raises(DamagedError, match=expected),
        ):
            checkpoints.find("latest")
        (line,) = set_damaged_aside(folder)
        assert "the checkpoint of step 2 is damaged" in line
        assert {path.name for path in folder.iterdir()} == {"1", "damaged-2"}
        with Checkpoints(folder, writable=True) as checkpoints:
            assert checkpoints.steps() == [1]
        folder.rmtree()


def test_one_that_is_set_aside_replaces_none_that_was(folder):
    for _ in range(2):
        with Checkpoints(folder, writable=True) as checkpoints:
            save(checkpoints, 2)
        (folder / "2" / "variables" / "_METADATA").unlink()
        set_damaged_aside(folder)
    assert {path.name for path in folder.iterdir()} == {"damaged-2", "damaged-2-1"}


def test_a_checkpoint_without_a_manifest_is_damaged(folder):
    with Checkpoints(folder, writable=True) as checkpoints:
        save(checkpoints, 1)
    (folder / "1" / "manifest.sha256").unlink()
    with (
        Checkpoints(folder, writable=False) as checkpoints,
        pytest.raises(DamagedError, match=r"manifest\.sha256 is missing"),
    ):
        checkpoints.find("latest")
    (line,) = set_damaged_aside(folder)
    assert "manifest.sha256 is missing" in line


def test_reading_while_a_training_prunes(folder):
    stop = threading.Event()

    def train():
        with Checkpoints(folder, writable=True) as checkpoints:
            for step in itertools.count(1):
                save(checkpoints, step)
                if stop.is_set():
                    return

    shapes = {"variables": {"params": np.zeros(10_000, np.float32)}}
    sharding = replicated_sharding(mesh_of(1))

    def read(checkpoints):
        step, _ = checkpoints.find("latest")
        return step, checkpoints.restore(step, shapes, sharding)["variables"]["params"]

    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(train)
        try:
            while not folder.exists() or not list_steps(folder):
                time.sleep(0.01)
            for _ in range(20):
                step, values = keep_trying(lambda: read_checkpoints(folder, read))
                expected = np.random.default_rng(step).standard_normal(10_000, np.float32)
                np.testing.assert_array_equal(values, expected)
        finally:
            stop.set()
        training.result()
    assert step > 3


def test_what_a_run_starts_from_is_not_predicted_with(folder, run_on_one):
    with Checkpoints(folder, writable=True) as checkpoints:
        save_state(checkpoints, run_on_one.start(), untrained=True)
    with (
        Checkpoints(folder, writable=False) as checkpoints,
        pytest.raises(UserError, match="no trained network yet"),
    ):
        checkpoints.find("best")

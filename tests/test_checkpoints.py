"""What is saved comes back; latest and best are kept; another network is refused in a sentence."""

from pathlib import Path

import jax
import numpy as np
import pytest
from etils import epath

from class_jax.checkpoints import Checkpoints
from class_jax.errors import UserError
from class_jax.models.network import build_network
from class_jax.sharding import replicated_sharding
from class_jax.training.state import training_part
from tests.small_run import SMALL_MODEL


@pytest.fixture
def folder(tmp_path):
    return epath.Path(tmp_path / "checkpoints")


def save(checkpoints, step, state, max_f=None):
    scores = None if max_f is None else {"val_maxF": max_f, "val_mae": 0.1}
    checkpoints.save(step, variables=state.variables, training=training_part(state), scores=scores)
    checkpoints.wait()


def test_everything_comes_back(folder, run_on_one):
    state = run_on_one.start()
    with Checkpoints(folder, writable=True) as checkpoints:
        save(checkpoints, 3, state)
        variables, training = checkpoints.restore(
            3,
            variables=state.variables,
            training=training_part(state),
            sharding=replicated_sharding(run_on_one.mesh),
        )
    jax.tree.map(np.testing.assert_array_equal, variables, state.variables)
    jax.tree.map(np.testing.assert_array_equal, training, training_part(state))
    assert jax.tree.structure(training) == jax.tree.structure(training_part(state))


def test_latest_and_best_are_kept_and_found(folder, run_on_one):
    state = run_on_one.start()
    with Checkpoints(folder, writable=True) as checkpoints:
        for step, max_f in ((1, 0.5), (2, 0.9), (3, None), (4, 0.7), (5, None)):
            save(checkpoints, step, state, max_f)
    with Checkpoints(folder, writable=False) as checkpoints:
        assert checkpoints.steps() == [2, 5]
        assert checkpoints.find("latest")[0] == 5
        assert checkpoints.find("best") == (2, "best, val_maxF 0.9000")
        assert checkpoints.find("5")[0] == 5
        with pytest.raises(UserError, match=r"steps kept in .*: 2, 5"):
            checkpoints.find("3")


def test_best_is_the_latest_where_nothing_was_validated(folder, run_on_one):
    with Checkpoints(folder, writable=True) as checkpoints:
        save(checkpoints, 7, run_on_one.start())
        assert checkpoints.find("best") == (7, "latest, as nothing was validated")


def test_a_full_disk_is_seen_before_writing(folder, run_on_one, monkeypatch):
    state = run_on_one.start()
    with Checkpoints(folder, writable=True) as checkpoints:
        save(checkpoints, 1, state)
        left = type("Usage", (), {"free": 1000})
        monkeypatch.setattr("class_jax.checkpoints.shutil.disk_usage", lambda _: left)
        with pytest.raises(UserError, match=r"step 2 needs 5 MB and the disk of .* has 0 MB left"):
            save(checkpoints, 2, state)
        assert checkpoints.steps() == [1]


def test_another_network_is_named(folder, run_on_one):
    other = build_network({**SMALL_MODEL, "features": 16}, dtype="float32")
    with Checkpoints(folder, writable=True) as checkpoints:
        save(checkpoints, 1, run_on_one.start())
        with pytest.raises(UserError, match=r"another network: \d+ arrays differ"):
            checkpoints.restore_variables(1, other.shapes, replicated_sharding(run_on_one.mesh))


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


def test_a_damaged_checkpoint_is_named(folder, run_on_one):
    state = run_on_one.start()
    with Checkpoints(folder, writable=True) as checkpoints:
        save(checkpoints, 1, state)
    for file in Path(folder, "1", "variables").rglob("*"):
        if file.is_file() and file.stat().st_size > 1000:
            file.write_bytes(file.read_bytes()[:100])
    shapes = run_on_one.network.shapes
    with (
        Checkpoints(folder, writable=False) as checkpoints,
        pytest.raises(UserError, match=r"checkpoints/1 cannot be read"),
    ):
        checkpoints.restore_variables(1, shapes, replicated_sharding(run_on_one.mesh))

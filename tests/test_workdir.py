"""A run's folder: created, refused, locked."""

import pytest

from class_jax.errors import UserError
from class_jax.workdir import Workdir


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written to"):
        Workdir(tmp_path / "file" / "run").create()


def test_one_training_at_a_time(tmp_path):
    workdir = Workdir(tmp_path)
    with (
        workdir.lock(),
        pytest.raises(UserError, match="another process is training"),
        Workdir(tmp_path).lock(),
    ):
        pass
    with workdir.lock():
        pass


def test_relative_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Workdir("runs/").path == tmp_path / "runs"


def test_a_run_knows_its_examples(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.check_examples(["a"])  # nothing noted yet
    workdir.save_examples(["a", "b", "c"])
    workdir.check_examples(["a", "b", "c"])
    with pytest.raises(UserError, match=r"3 other examples \(2 were found"):
        workdir.check_examples(["a", "b"])
    with pytest.raises(UserError, match=r"3 other examples \(3 were found"):
        workdir.check_examples(["a", "b", "d"])

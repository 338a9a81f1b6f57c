"""A run's folder: created, refused, locked."""

import pytest
from etils import epath

from class_jax.errors import UserError
from class_jax.networks.places import find
from class_jax.runs.workdir import Workdir


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


def test_a_workdir_of_a_user_that_there_is_not():
    with pytest.raises(UserError, match=r"~nobody-of-this-name.*no such user"):
        Workdir("~nobody-of-this-name/run")


def test_checking_a_workdir_creates_nothing(tmp_path):
    Workdir(tmp_path / "a" / "b").check()
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_holds_the_logs_of_whichever_machine_trained(tmp_path, monkeypatch):
    # A folder stands for the bucket; what is copied when is the same.
    monkeypatch.setenv("HOME", str(tmp_path))
    first = Workdir("gs://bucket/run")
    assert str(first.checkpoints) == "gs://bucket/run/checkpoints"
    assert first.local == tmp_path / ".cache" / "class_jax" / "gs" / "bucket" / "run"
    second = Workdir("gs://bucket/run")
    second.local = tmp_path / "another machine"
    second.metrics_file = second.local / "metrics.jsonl"
    for workdir in (first, second):
        workdir.path = epath.Path(tmp_path / "bucket")
        workdir.create()
    first.fetch()  # there is nothing yet
    first.metrics_file.write_text("one\n")
    (first.local / "events.out.tfevents.1").write_text("events")
    first.publish()
    first.metrics_file.write_text("one\ntwo\n")
    first.publish()
    assert (tmp_path / "bucket" / "events.out.tfevents.1").read_text() == "events"
    second.fetch()
    assert second.metrics_file.read_text() == "one\ntwo\n"


def test_a_local_workdir_copies_nothing(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.metrics_file.write_text("one\n")
    workdir.fetch()
    workdir.publish()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_bucket_that_cannot_be_reached(monkeypatch):
    def refuse(_):
        raise ImportError("Please install gcsfs")

    workdir = Workdir("gs://bucket/run")
    monkeypatch.setattr(type(workdir.path), "exists", refuse)
    for ask in (workdir.check, workdir.load_config, workdir.holds_run, lambda: find(workdir.path)):
        with pytest.raises(UserError, match=r"^gs://bucket/run cannot be reached .*gcsfs"):
            ask()


def test_a_run_knows_its_examples(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.check_examples(["a"])  # nothing noted yet
    workdir.save_examples(["a", "b", "c"])
    workdir.check_examples(["a", "b", "c"])
    with pytest.raises(UserError, match=r"other examples than the 2 that were found"):
        workdir.check_examples(["a", "b"])
    with pytest.raises(UserError, match=r"other examples than the 3 that were found"):
        workdir.check_examples(["a", "b", "d"])

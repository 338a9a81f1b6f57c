"""Processes that do not see one workdir, or were given other flags."""

import argparse

import pytest

from class_jax import hosts
from class_jax.errors import UserError
from class_jax.modes import sharing, startup
from class_jax.modes.sharing import check_shared, check_trained
from class_jax.workdir import Workdir


@pytest.fixture
def second(tmp_path, monkeypatch):
    """This process as the second of two, whose first writes into tmp_path / "first"."""
    first = tmp_path / "first"
    first.mkdir()
    monkeypatch.setattr(hosts, "count", lambda: 2)
    monkeypatch.setattr(hosts, "index", lambda: 1)
    monkeypatch.setattr(hosts, "together", lambda work: work())
    monkeypatch.setattr(sharing, "PATIENCE", 0)
    return first


def test_a_workdir_that_the_first_process_does_not_share(second, tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "from_first", lambda work: sharing._marked(Workdir(second).path))
    check_shared(Workdir(second))  # both see it
    other = tmp_path / "other"
    monkeypatch.setattr(
        hosts,
        "from_first",
        lambda work: (
            Workdir(other).path / ".seen-by-all",
            sharing._marked(Workdir(second).path)[1],
        ),
    )
    with pytest.raises(UserError, match="other is not the first process's"):
        check_shared(Workdir(other))
    other.mkdir()
    (other / ".seen-by-all").write_text("of a run before")
    with pytest.raises(UserError, match="other is not the first process's"):
        check_shared(Workdir(other))


def test_the_mark_is_taken_away(tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "count", lambda: 2)  # and this is the first
    check_shared(Workdir(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_that_one_process_does_not_see(second, monkeypatch):
    monkeypatch.setattr(hosts, "exchange", lambda value: [repr(True), value])
    with pytest.raises(UserError, match="differ in whether they see checkpoints in --workdir"):
        check_trained(Workdir(second))
    (second / "checkpoints").mkdir()
    check_trained(Workdir(second))


def test_convert_is_for_one_process():
    flags = argparse.Namespace(mode="convert", distributed=False, coordinator="a:1")
    with pytest.raises(UserError, match="convert runs in one process"):
        startup.join(flags)


def test_flags_must_be_the_same_but_for_the_process(monkeypatch):
    flags = argparse.Namespace(
        mode="predict", checkpoint="best", process_id=1, coordinator="a:1", num_processes=2,
        distributed=False,
    )  # fmt: skip
    theirs = {**vars(flags), "process_id": 0}
    monkeypatch.setattr(hosts, "start", lambda *by_hand, detect: None)
    monkeypatch.setattr(
        hosts, "exchange", lambda value: [repr({**theirs, "process_id": None}), value]
    )
    startup.join(flags)
    theirs["checkpoint"] = "latest"
    with pytest.raises(UserError, match="differ in their flags"):
        startup.join(flags)

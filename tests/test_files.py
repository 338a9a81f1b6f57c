"""Files are written whole, or not at all."""

import os
import subprocess
import sys

from class_jax.files import atomic_write
from tests.program import ROOT

WRITER = """
import sys
from pathlib import Path
from class_jax.files import atomic_write

with atomic_write(Path(sys.argv[1])) as partial:
    with partial.open("w") as file:
        file.write("first half, ")
        file.flush()
        print("begun", flush=True)
        sys.stdin.readline()
        file.write("second half")
"""


def test_two_commands_that_write_one_file_at_once_leave_a_whole_one(tmp_path):
    path = tmp_path / "map.png"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    with atomic_write(path) as partial:
        partial.write_text("ours")
    assert path.read_text() == "ours"
    process.communicate("\n")
    assert process.returncode == 0
    assert path.read_text() == "first half, second half"
    assert list(tmp_path.iterdir()) == [path]


def test_names_may_be_as_long_as_the_system_takes(tmp_path):
    for name in ("n" * 255, "ü" * 127):
        with atomic_write(tmp_path / name) as partial:
            partial.write_text(name)
        assert (tmp_path / name).read_text() == name


def test_what_a_killed_command_left_is_removed_by_the_next_that_writes_there(tmp_path):
    def start(name):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / name)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "begun\n"
        return process

    killed, living = start("a.png"), start("b.png")
    killed.kill()
    killed.wait()
    assert len(list(tmp_path.glob(".*.partial"))) == 2
    with atomic_write(tmp_path / "c.png") as partial:
        partial.write_text("ours")
    (left,) = tmp_path.glob(".*.partial")
    assert left.name.startswith(".b.png")  # of a command that is at work
    living.communicate("\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.png", "c.png"]

"""Standard output and error that outlive their reader."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import ROOT

PROGRAM = """
import os, sys
from pathlib import Path
from class_jax.command.streams import is_output_lost, protect_streams

protect_streams()
sys.stdin and sys.stdin.readline()
for stream in (sys.stdout, sys.stderr):
    for number in range(3):
        print("täglich \\udcff", number, file=stream, flush=True)
file = Path(sys.argv[1]).open("w")
Path(sys.argv[2]).write_text(f"{is_output_lost()} {file.fileno() > 2}")
"""


def answer(folder, **streams):
    """Run a program that prints; return whether it lost output, and its process."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder / "opened"), str(folder / "answer")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        **streams,
    )
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()  # nobody reads on
    process.communicate(b"\n") if not streams.get("stdout") else process.stdin.close()
    assert process.wait(60) == 0
    return (folder / "answer").read_text()


def test_a_reader_that_has_gone_ends_nothing(tmp_path):
    assert answer(tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) == "True True"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_the_output_ends_nothing_and_is_known(tmp_path):
    with Path("/dev/full").open("w") as full:
        assert answer(tmp_path, stdout=full, stderr=full) == "True True"


def test_streams_that_were_closed_are_not_given_to_files(tmp_path):
    closing = 'exec "$0" "$@" >&- 2>&- <&-'
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "opened"), str(tmp_path / "answer")]
    subprocess.run(
        ["sh", "-c", closing, *command], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True
    )
    assert (tmp_path / "answer").read_text() == "False True"
    assert (tmp_path / "opened").read_text() == ""


def test_what_is_read_arrives_whole(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "opened"), str(tmp_path / "answer")],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        input=b"\n",
        capture_output=True,
        check=True,
    )
    expected = "".join(f"täglich \\udcff {number}\n" for number in range(3)).encode()
    assert (done.stdout, done.stderr) == (expected, expected)
    assert (tmp_path / "answer").read_text() == "False True"


def test_what_was_printed_before_comes_first():
    program = """
import sys
from class_jax.command.streams import protect_streams

print("first")
protect_streams()
print("second", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "first\nsecond\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_one_command_lost_is_no_failure_of_the_next(tmp_path):
    program = """
import os, sys
from class_jax.command.cli import main

full, file = os.open("/dev/full", os.O_WRONLY), os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
statuses = []
for target in (full, file, full, file):
    os.dup2(target, 1)
    statuses.append(main(["help", "score"]))
print(*statuses, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "page")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "1 0 1 0"
    assert (tmp_path / "page").read_text().count("--predictions") >= 2

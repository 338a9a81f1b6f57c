"""The start page and help by mode."""

import subprocess
import sys

import pytest

from class_jax.command.parsing import parse_flags
from class_jax.modes.table import MODES
from tests.program import ROOT

SLOW = ("jax", "numpy", "PIL", "cv2")
CALL = f"""
import sys
from class_jax.command import cli
status = cli.main(sys.argv[1:])
print(status, [name for name in {SLOW} if name in sys.modules])
"""


def call(folder, *arguments):
    """The lines of standard output of a call in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", CALL, *arguments], cwd=folder, capture_output=True, text=True,
        check=True, env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "arguments",
    [(), ("--help",), ("help",), ("predict", "-h"), ("help", "serve")],
)
def test_pages_import_nothing_slow_and_write_nothing(tmp_path, arguments):
    *page, status = call(tmp_path, *arguments)
    assert status == "0 []"
    assert page
    assert list(tmp_path.iterdir()) == []


def test_without_arguments_a_few_commands_are_shown(tmp_path):
    *page, _ = call(tmp_path)
    assert len(page) < 15
    assert sum("class-jax" in line for line in page) >= 4


def test_the_help_lists_the_modes_in_a_line_each(run):
    status, out, _ = run("--help")
    assert status == 0
    for mode in MODES.values():
        assert any(line.split() == [mode.name, *mode.purpose.split()] for line in out.splitlines())


@pytest.mark.parametrize("mode", MODES)
def test_the_help_of_a_mode_shows_its_flags_alone(run, mode):
    status, out, _ = run(mode, "--help")
    assert (status, out) == run("help", mode)[:2] == run("--mode", mode, "-h")[:2]
    others = {flag.name for other in MODES.values() for flag in other.flags}
    own = {flag.name for flag in MODES[mode].flags}
    shown = {name for name in others if f"--{name} " in out or f"--{name}\n" in out}
    example = out.splitlines()[-1]
    assert own <= shown | {"help"}
    assert not {name for name in shown - own if name not in example}
    assert f"class-jax {mode} {MODES[mode].example}" in example


@pytest.mark.parametrize("mode", MODES.values(), ids=lambda mode: mode.name)
def test_the_example_of_a_mode_parses(mode, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photo.jpg", "maps/A", "maps/B", "ECSSD/masks"):
        (tmp_path / name).mkdir(parents=True)
    assert parse_flags([mode.name, *mode.example.split()])[0].mode == mode.name

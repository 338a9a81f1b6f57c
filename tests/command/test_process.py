"""A process is set up once, with an allocator for large arrays."""

import os
import platform
import signal
import subprocess
import sys

import pytest

from tests.program import ROOT

REUSE = """
import resource
from class_jax.command.process import tune_allocator
tune_allocator()
bytearray(b"x") * 2**26
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    bytearray(b"x") * 2**26
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tunes the C library of Linux")
@pytest.mark.parametrize("of_user", [None, "glibc.malloc.perturb=0"])
def test_large_arrays_reuse_memory_unless_the_user_has_settings(of_user):
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    done = subprocess.run(
        [sys.executable, "-c", REUSE], cwd=ROOT, capture_output=True, text=True, check=True,
        env=environment | ({"GLIBC_TUNABLES": of_user} if of_user else {}),
    )  # fmt: skip
    new_pages = 10 * 2**26 // os.sysconf("SC_PAGE_SIZE")
    is_reused = int(done.stdout) < new_pages / 100
    assert is_reused == (of_user is None)


TWICE = """
import json, logging, os, signal, sys, warnings
from class_jax.command import cli


def state():
    loggers = {name: (logging.getLogger(name).level, logging.getLogger(name).handlers)
               for name in ("", "asyncio", "absl", "jax")}
    signals = [signal.getsignal(number) for number in signal.valid_signals()]
    return [sys.stdout, sys.stderr, sys.excepthook, sys.unraisablehook, sys.path[:], loggers,
            signals, dict(os.environ), warnings.filters[:]]


states = []
for _ in range(3):
    assert cli.main(sys.argv[1:]) == 0
    states.append(state())
assert states[1] == states[0], [pair for pair in zip(*states[:2]) if pair[0] != pair[1]]
assert states[2] == states[0]
print("the same", file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [("--help",), ("prepare", "--config", "configs/quickstart.py")]
)
def test_a_second_call_in_one_process_changes_nothing(arguments, tmp_path):
    words = [*arguments, "--workdir", str(tmp_path)] if "prepare" in arguments else arguments
    done = subprocess.run(
        [sys.executable, "-c", TWICE, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "the same\n")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent")
@pytest.mark.parametrize("module", ["logging", "class_jax.files", "ml_collections", "numpy", "jax"])
def test_ctrl_c_while_modules_are_imported_ends_in_a_line(module, tmp_path):
    process = subprocess.Popen(
        [sys.executable, ROOT / "main.py", "train", "--config", "configs/quickstart.py"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPROFILEIMPORTTIME": "1"},
    )  # fmt: skip
    # Python prints a line for each module that was imported.
    for line in process.stderr:
        if line.split("|")[-1].strip() == module:
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=60)
    *rest, said = [line for line in err.splitlines() if "|" not in line]
    assert (process.returncode, out, said) == (130, "", "interrupted")
    # The signal may cut a line of the imported modules in two.
    assert len(rest) <= 1, rest
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []

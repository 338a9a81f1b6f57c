"""A process is set up once; it starts itself again, once, with an allocator for large arrays."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import ROOT

PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
given_on_request = pytest.mark.skipif(
    not (sys.platform == "linux" and PAGES.exists() and "[madvise]" in PAGES.read_text()),
    reason="this system gives large pages to all programs or to none",
)
TUNED = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432"
    ":glibc.malloc.trim_threshold=268435456"
)
PROGRAM = """
import os, re, sys
print(os.getpid(), sys.argv[1:])
from class_jax.command.process import tune_allocator
tune_allocator()
block = bytearray(b"x") * 2**26
pages = re.search(r"AnonHugePages: +(\\d+)", open("/proc/self/smaps_rollup").read())
print(os.environ.get("GLIBC_TUNABLES"), int(pages[1]) * 1024 >= 2**25, sys.stdin.read())
"""


def start(arguments, *, setting=None, typed="typed", **options):
    """Lines that a Python process prints, with a value of the C library's variable."""
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    if setting is not None:
        environment["GLIBC_TUNABLES"] = setting
    done = subprocess.run(
        [sys.executable, "-u", *map(str, arguments)],
        env=environment | {"PYTHONPATH": str(ROOT)}, input=typed, capture_output=True, text=True,
        check=True, **options,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.fixture
def program(tmp_path):
    """A program in a folder whose name has a space."""
    file = tmp_path / "a folder" / "program.py"
    file.parent.mkdir()
    file.write_text(PROGRAM)
    return file


@given_on_request
@pytest.mark.parametrize("before", [None, "glibc.malloc.perturb=0"])
@pytest.mark.parametrize("as_module", [False, True])
def test_a_process_has_large_pages_and_keeps_number_flags_and_input(program, before, as_module):
    way = ["-m", "program"] if as_module else [program]
    first, again, result = start([*way, "--flag", "a b"], setting=before, cwd=program.parent)
    assert first == again
    assert first.endswith("['--flag', 'a b']")
    expected = ":".join(filter(None, (before, TUNED)))
    assert result == f"{expected} True typed"


@given_on_request
def test_a_setting_of_the_users_stays(program):
    *_, result = start([program], setting="glibc.malloc.hugetlb=0")
    settings, has_large_pages, _ = result.split()
    assert settings.split(":")[0] == "glibc.malloc.hugetlb=0"
    assert "hugetlb=1" not in settings
    assert has_large_pages == "False"


@given_on_request
@pytest.mark.parametrize(
    "before",
    [
        "sys.settrace(lambda *event: None)  # a debugger",
        "import pdb",
        "sys.executable = ''",
        "sys.argv[0] = 'main.py'  # run by another program",
        "sys.argv.append('--flag')",
    ],
)
def test_what_cannot_be_started_again_goes_on(program, before):
    program.write_text(f"import os, sys\n{before}\n{PROGRAM}")
    _, result = start([program])
    assert result == "None False typed"


@given_on_request
def test_a_process_whose_variables_are_erased_is_started_again_once(program):
    program.write_text(f"import os\nos.environ.pop('GLIBC_TUNABLES', None)\n{PROGRAM}")
    first, again, result = start([program])
    assert first == again
    assert result.startswith("None ")


@given_on_request
def test_a_program_from_standard_input_or_the_command_line_goes_on():
    (_, result) = start(["-", "--flag"], typed=PROGRAM)
    assert result.rstrip() == "None False"
    (_, result) = start(["-c", PROGRAM])
    assert result == "None False typed"


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
    # Python prints a line for each module that was imported, also those of a second start.
    for line in process.stderr:
        if line.split("|")[-1].strip() == module:
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=60)
    said = [line for line in err.splitlines() if "|" not in line]  # a signal may cut such a line
    assert (process.returncode, out, said) == (130, "", ["interrupted"])
    assert list(tmp_path.iterdir()) == []

"""The command starts itself again, once, with large pages of memory."""

import os
import subprocess
import sys

import pytest

from class_jax.command import PAGES
from tests.program import ROOT

given_on_request = pytest.mark.skipif(
    not (sys.platform == "linux" and PAGES.exists() and "[madvise]" in PAGES.read_text()),
    reason="this system gives large pages to all programs or to none",
)
PROGRAM = """
import os, re, sys
print(os.getpid(), sys.argv[1:])
from class_jax.command import ask_for_huge_pages
ask_for_huge_pages()
block = bytearray(b"x") * 2**26
pages = re.search(r"AnonHugePages: +(\\d+)", open("/proc/self/smaps_rollup").read())
print(os.environ.get("GLIBC_TUNABLES"), int(pages[1]) * 1024 >= 2**25, sys.stdin.read())
"""


def run(setting, program=PROGRAM):
    """Lines that the program prints, with a value of the C library's variable."""
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    if setting is not None:
        environment["GLIBC_TUNABLES"] = setting
    done = subprocess.run(
        [sys.executable, "-u", "-c", program, "--flag", "a b"],
        cwd=ROOT, env=environment, input="typed", capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@given_on_request
@pytest.mark.parametrize("before", [None, "glibc.malloc.perturb=0"])
def test_a_process_has_large_pages_and_keeps_number_flags_and_input(before):
    first, again, result = run(before)
    assert first == again
    assert first.endswith("['--flag', 'a b']")
    expected = ":".join(filter(None, (before, "glibc.malloc.hugetlb=1")))
    assert result == f"{expected} True typed"


@given_on_request
def test_a_setting_of_the_users_stays():
    first, result = run("glibc.malloc.hugetlb=0")
    assert first.endswith("['--flag', 'a b']")
    assert result == "glibc.malloc.hugetlb=0 False typed"


@given_on_request
def test_a_debugger_keeps_its_process():
    _, result = run(None, "import sys; sys.settrace(lambda *event: None)" + PROGRAM)
    assert result == "None False typed"

"""Where compiled programs are kept."""

import os
import subprocess
import sys

from class_jax.command.process import cache_compiled_programs
from tests.program import ROOT

KEPT = """
import os
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
from class_jax.command.process import cache_compiled_programs
cache_compiled_programs()
import jax
print(jax.jit(lambda x: x + 1)(1))
"""


def test_programs_are_kept_in_the_users_cache(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KEPT], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("2\n", "")
    kept = list((tmp_path / ".cache" / "class_jax" / "compiled").rglob("*-cache"))
    assert len(kept) == 1


def test_a_home_that_cannot_be_written_is_no_matter(tmp_path):
    (tmp_path / "home").write_text("no folder")
    done = subprocess.run(
        [sys.executable, "-c", KEPT], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"HOME": str(tmp_path / "home"), "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_the_environment_decides(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_MAX_SIZE", "1")
    cache_compiled_programs()

    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == ""
    assert os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] == "1"

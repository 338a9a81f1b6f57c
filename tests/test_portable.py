"""Nothing needs what only Unix has, as far as hiding it here can show."""

import subprocess
import sys

from tests.program import ROOT
from tests.test_house import imports

HIDE = """
import importlib, os, pathlib, signal, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None  # an import of it fails
for module, name in ((os, "sched_getaffinity"), (os, "fork"), (signal, "pthread_sigmask")):
    delattr(module, name)
os.process_cpu_count = os.cpu_count  # where there is no affinity, as Python 3.13 has it
"""
IMPORT_ALL = """
for path in sorted(pathlib.Path("class_jax").rglob("*.py")):
    importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
print("imported")
"""
WORK = """
import numpy as np
from PIL import Image
from class_jax import files

folder = pathlib.Path(sys.argv[1])
with files.lock(folder / "a.lock", wait=False):
    try:
        with files.lock(folder / "a.lock", wait=False):
            print("locked twice")
    except TimeoutError:
        print("locked once")
from class_jax.command import cli
for name in ("maps", "masks"):
    (folder / name).mkdir()
    for index in range(70):  # enough for several processes
        Image.fromarray(np.eye(20, dtype=np.uint8) * 255).save(folder / name / f"{index}.png")
if __name__ == "__main__":
    flags = ["--predictions", str(folder / "maps"), "--masks", str(folder / "masks")]
    sys.exit(cli.main(["--mode", "score", *flags, "--output", str(folder / "out")]))
"""


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", HIDE + code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_module_can_be_imported():
    done = run(IMPORT_ALL)
    assert done.stdout == "imported\n", done.stderr


def test_locks_memory_and_scoring_work(tmp_path):
    done = run(WORK, tmp_path)
    assert done.stdout.startswith("locked once"), done.stderr
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "results.csv").exists()


def test_the_code_imports_nothing_that_only_unix_has():
    for folder in ("class_jax", "datasets"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not {"fcntl", "resource", "pwd", "grp", "termios"} & set(imports(path)), path

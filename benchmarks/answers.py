"""Processor time until the program answers: pages, and mistakes by kind.

    python -m benchmarks.answers

Each is the least of five calls, in an empty folder. Half a minute on two cores.
"""

import resource
import subprocess
import sys
import tempfile

from benchmarks.record import ROOT, Row, cpu, record

CALLS = 5
ANSWERS = {
    "start page": (),
    "--help": ("--help",),
    "help of a mode": ("predict", "--help"),
    "a misspelt mode": ("predcit",),
    "an unknown flag": ("predict", "--colour"),
    "no such input": ("predict", "none.jpg"),
    "no such recipe": ("train", "--config", "none.py"),
    "a misspelt leaf": ("train", "--config.seeed=1"),
    "eval without a run": ("eval",),
    "export without a run": ("export", "--workdir", "none"),
    "serve without a run": ("serve", "--workdir", "none"),
    "score without maps": ("score", "--predictions", "none", "--masks", "none"),
    "prepare without images": (
        "prepare", "--config", "configs/folder.py", "--config.data.root=none",
    ),
    "train without images": ("train", "--config", "configs/folder.py", "--config.data.root=none"),
}  # fmt: skip


def processor_seconds(folder: str, *arguments: str) -> float:
    """Return the least processor seconds of a call that succeeds, or is answered by a sentence."""
    spent = []
    for _ in range(CALLS):
        before = _children()
        done = subprocess.run(
            [sys.executable, ROOT / "main.py", *arguments],
            cwd=folder, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode in (0, 2), done.stderr
        spent.append(_children() - before)
    return min(spent)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and write the rows."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            Row(f"answer: {name}", cpu(), "s of processor", processor_seconds(folder, *arguments))
            for name, arguments in ANSWERS.items()
        ]
    record("answers", rows, ("jax", "numpy"))


if __name__ == "__main__":
    main()

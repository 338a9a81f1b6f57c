"""Run all benchmarks, one after another, in separate processes: `python -m benchmarks`."""

import subprocess
import sys

from class_jax.command.process import tune_allocator

NAMES = (
    *("training", "inference", "engines", "feed", "loss", "depthwise", "profile", "attention"),
    *("growth", "checkpoints", "startup", "start", "answers", "scoring", "endurance", "roofline"),
)


def main() -> int:
    """Run all; return 1 if one failed."""
    if len(sys.argv) > 1:
        print(
            "error: python -m benchmarks runs all and takes no arguments; one of them is python -m "
            f"benchmarks.NAME, with {', '.join(NAMES)}.",
            file=sys.stderr,
        )
        return 2
    failed = [
        name
        for name in NAMES
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    ]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    tune_allocator()  # as the program does
    sys.exit(main())

"""Whether memory, open files or threads grow in a long run.

    python -m benchmarks.endurance

3,000 steps of a small network with 200 validations and checkpoints, then 200 evaluations, all in
one process on one device. The peer of each row is the second tenth, when all is warm. Ten
minutes on two cores; Linux only.
"""

import shutil
import tempfile
import threading
from pathlib import Path

from benchmarks.record import Row, cpu, record
from class_jax.command import cli

STEPS, EVALUATIONS = 3000, 200
PAUSE = 0.2  # seconds between two samples
LEAVES = {
    "model.backbone": "vgg",
    "model.stage_sizes": "(1,1,1,1,1)",
    "model.width": 4,
    "model.features": 8,
    "data.num_train": 20,
    "data.num_val": 10,
    "data.image_sizes": 64,
    "train.batch_size": 8,
    "train.total_steps": STEPS,
    "train.validate_every": STEPS // EVALUATIONS,
    "train.checkpoint_every": STEPS // EVALUATIONS,
    "eval.image_size": 64,
    "eval.batch_size": 8,
    "eval.after_training": "false",
}
UNITS = {"memory": "MiB", "open files": "files", "threads": "threads"}
Usage = dict[str, float]


def usage() -> Usage:
    """Return what this process holds now."""
    own = Path("/proc/self")
    status = dict(line.split(":", 1) for line in (own / "status").read_text().splitlines())
    return {
        "memory": int(status["VmRSS"].split()[0]) / 1024,
        "open files": len(list((own / "fd").iterdir())),
        "threads": int(status["Threads"]),
    }


def call(*arguments: str) -> None:
    """Run the program; RuntimeError if it fails."""
    if status := cli.main([*arguments]):
        raise RuntimeError(f"status {status}")


def train(workdir: Path) -> list[Usage]:
    """Train, and return samples at equal intervals of steps."""
    samples: dict[int, Usage] = {}
    done = threading.Event()

    def sample() -> None:
        metrics = workdir / "metrics.jsonl"
        while not done.wait(PAUSE):
            if metrics.exists():
                samples[metrics.read_text().count('"loss"')] = usage()

    thread = threading.Thread(target=sample)
    thread.start()
    overrides = [f"--config.{name}={value}" for name, value in LEAVES.items()]
    call("--config", "configs/quickstart.py", "--workdir", str(workdir), *overrides)
    done.set()
    thread.join()
    return [samples[step] for step in sorted(samples) if step > 0]


def evaluate(workdir: Path) -> list[Usage]:
    """Make all maps and score them, many times; return a sample after each."""
    samples = []
    for _ in range(EVALUATIONS):
        shutil.rmtree(workdir / "eval", ignore_errors=True)
        call("--mode", "eval", "--workdir", str(workdir))
        samples.append(usage())
    return samples


def rows(title: str, samples: list[Usage]) -> list[Row]:
    """Return the highest values of the last tenth, beside those of the second."""
    tenth = max(len(samples) // 10, 1)
    found = []
    for name, unit in UNITS.items():
        late = max(sample[name] for sample in samples[-tenth:])
        early = max(sample[name] for sample in samples[tenth : 2 * tenth] or samples)
        found.append(Row(f"{title}: {name}", cpu(), unit, late, early, early / late))
    return found


def main() -> None:
    """Measure and write the rows."""
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        steps = rows(f"{STEPS} steps, {EVALUATIONS} validations and checkpoints", train(workdir))
        record("endurance", steps, ("jax", "orbax-checkpoint"))
        record(
            "endurance",
            rows(f"{EVALUATIONS} evaluations", evaluate(workdir)),
            ("jax", "orbax-checkpoint"),
        )


if __name__ == "__main__":
    main()

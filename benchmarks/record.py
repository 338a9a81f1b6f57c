"""Rows of results: a table on the terminal, and JSON with all that is needed to repeat them."""

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from class_jax.files import atomic_write

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PAUSE = 0.3  # seconds between turns: threads of the last one's may spin for a while


@dataclasses.dataclass(frozen=True)
class Row:
    """A measured value beside its peer's; `ratio` above 1 says that ours is better."""

    name: str
    device: str
    unit: str
    ours: float
    peer: float | None = None
    ratio: float | None = None


def cpu() -> str:
    """Return the processor's name and how many cores may be used."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


def device() -> str:
    """Return the name of the device that JAX computes on."""
    import jax  # noqa: PLC0415 - scoring does without, and its memory is measured

    return cpu() if jax.default_backend() == "cpu" else jax.devices()[0].device_kind


def seconds_of(run: Callable[[], object], *, at_least: float = 0.5) -> float:
    """Return the seconds of a run: the mean over as many runs as fill the time."""
    times, start = 0, time.perf_counter()
    while not times or time.perf_counter() - start < at_least:
        run()
        times += 1
    return (time.perf_counter() - start) / times


def interleaved(
    *runs: Callable[[], object], rounds: int = 5, at_least: float = 0.5
) -> list[list[float]]:
    """Return the seconds of all runs, round by round, taken in turns: load is shared fairly."""

    def turn(run: Callable[[], object]) -> float:
        time.sleep(PAUSE)
        run()  # compiles; and caches are warm again
        return seconds_of(run, at_least=at_least)

    for run in runs:
        run()
    return [[turn(run) for run in runs] for _ in range(rounds)]


def against_peer(name: str, images: int, times: list[list[float]]) -> Row:
    """Return images a second from interleaved times, of ours and of a peer if there is one.

    The ratio is the median over the rounds.
    """
    speeds = [images / statistics.median(column) for column in zip(*times, strict=True)]
    ratios = [peer / ours for ours, *peers in times for peer in peers]
    return Row(
        name, device(), "images/s", *speeds, ratio=statistics.median(ratios) if ratios else None
    )


def record(benchmark: str, rows: Sequence[Row], packages: Sequence[str]) -> None:
    """Print the rows and write them to results/BENCHMARK.json with date, commit and versions.

    Rows of other names and other devices stay in the file.
    """
    about = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": _commit(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }
    for row in rows:
        peer = "" if row.peer is None else f"  peer {row.peer:12.5g}"
        ratio = "" if row.ratio is None else f"  ratio {row.ratio:6.2f}"
        print(f"{row.name:48} {row.ours:12.5g} {row.unit:14}{peer}{ratio}  [{row.device}]")
    file = RESULTS / f"{benchmark}.json"
    found = json.loads(file.read_text()) if file.exists() else []
    new = {(row.name, row.device) for row in rows}
    kept = [row for row in found if (row["name"], row["device"]) not in new]
    kept += [dataclasses.asdict(row) | about for row in rows]
    lines = ",\n".join(map(json.dumps, kept))
    with atomic_write(file) as partial:
        partial.write_text(f"[\n{lines}\n]\n")


def _commit() -> str:
    """Return the commit, with a plus if files differ from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = git(
        "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results"
    )
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")

"""Scoring 2,000 maps: our processes against a plain loop over PySODMetrics; intervals; memory.

    python -m benchmarks.scoring

Takes about five minutes on two cores. Fails if the figures of the two differ by 1e-12.
"""

import functools
import multiprocessing
import resource
import tempfile
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np
import py_sod_metrics

from benchmarks.record import Row, against_peer, cpu, record
from class_jax.evaluation.measuring import Task, read_truth
from class_jax.evaluation.protocols import Figures
from class_jax.evaluation.scoring import MapSet, Scorer

IMAGES, HEIGHT, WIDTH = 2000, 300, 400
DIFFERENT = 200  # pairs that are drawn; the others are the same ones again
FEW, MANY = 500, 5000  # images whose peak memory is compared
ROUNDS = 3  # of scoring with and without intervals, in turns
TOLERANCE = 1e-12


def draw_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Write maps and masks: an ellipse, and a map that a network might make of it."""
    pairs = []
    for index in range(DIFFERENT):
        rng = np.random.default_rng(index)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        centre = (int(rng.integers(80, 320)), int(rng.integers(60, 240)))
        axes = (int(rng.integers(30, 120)), int(rng.integers(30, 100)))
        cv2.ellipse(mask, centre, axes, float(rng.integers(180)), 0, 360, 255, -1)
        soft = cv2.GaussianBlur(mask, (0, 0), 6).astype(int)
        levels = np.clip(soft + rng.integers(-30, 30, mask.shape), 0, 255).astype(np.uint8)
        paths = folder / f"map{index}.png", folder / f"mask{index}.png"
        for path, picture in zip(paths, (levels, mask), strict=True):
            cv2.imwrite(str(path), picture)
        pairs.append(paths)
    return pairs


def ours(pairs: list[tuple[Path, Path]], images: int, *, intervals: bool = True) -> Figures:
    """Score as `score` does, with the intervals and the breakdown or without."""
    files = (pairs[index % DIFFERENT] for index in range(images))
    tasks = [
        Task(str(index), map_path, functools.partial(read_truth, mask_path))
        for index, (map_path, mask_path) in enumerate(files)
    ]
    with Scorer(["pysod"]) as scorer:
        (scores,) = scorer.score(MapSet("drawn", "drawn", tasks))
    assert scores.total.images == images
    if intervals:
        scores.analyze()
    return scores.total.figures()


def peer(pairs: list[tuple[Path, Path]], images: int) -> Figures:
    """Score as the examples of PySODMetrics do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        f_measure = py_sod_metrics.Fmeasure()
    others = (
        py_sod_metrics.WeightedFmeasure(),
        py_sod_metrics.Smeasure(),
        py_sod_metrics.Emeasure(),
        py_sod_metrics.MAE(),
    )
    for index in range(images):
        levels, mask = (cv2.imread(str(path), 0) for path in pairs[index % DIFFERENT])
        for metric in (f_measure, *others):
            metric.step(levels, mask)
    f = f_measure.get_results()["fm"]
    weighted, s, e, mae = (metric.get_results() for metric in others)
    return {
        **{"adpF": f["adp"], "meanF": f["curve"].mean(), "maxF": f["curve"].max()},
        **{
            "adpE": e["em"]["adp"],
            "meanE": e["em"]["curve"].mean(),
            "maxE": e["em"]["curve"].max(),
        },
        **{"wF": weighted["wfm"], "S": s["sm"], "MAE": mae["mae"]},
    }


def _time(pairs: list[tuple[Path, Path]], *, intervals: bool) -> float:
    """Return the seconds of scoring half of the images."""
    start = time.perf_counter()
    ours(pairs, IMAGES // 2, intervals=intervals)
    return time.perf_counter() - start


def peak_memory(pairs: list[tuple[Path, Path]], images: int) -> float:
    """Return the peak MiB of a process that scores and of the largest of its workers."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_peak, args=(sender, pairs, images))
    process.start()
    peak = receiver.recv()
    process.join()
    return peak


def _send_peak(sender: Connection, pairs: list[tuple[Path, Path]], images: int) -> None:
    ours(pairs, images)
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    sender.send(sum(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024)


def main() -> None:
    """Measure, compare and write the rows."""
    with tempfile.TemporaryDirectory() as scratch:
        pairs = draw_pairs(Path(scratch))
        start = time.perf_counter()
        plain = peer(pairs, IMAGES)
        between = time.perf_counter()
        figures = ours(pairs, IMAGES)
        seconds = (time.perf_counter() - between, between - start)
        turns = [[_time(pairs, intervals=flag) for flag in (True, False)] for _ in range(ROUNDS)]
        difference = max(abs(figures[name] - plain[name]) for name in figures)
        few, many = (peak_memory(pairs, images) for images in (FEW, MANY))
    speed, plain_speed = (IMAGES / time for time in seconds)
    title = f"scoring, {IMAGES} maps of {WIDTH}x{HEIGHT}, start included"
    rows = [
        Row(title, cpu(), "images/s", speed, plain_speed, speed / plain_speed),
        against_peer("scoring with intervals (peer: without)", IMAGES // 2, turns),
        Row("scoring, largest difference of a figure", cpu(), "1", difference),
        Row(f"scoring, peak at {MANY} images (peer: {FEW})", cpu(), "MiB", many, few, few / many),
    ]
    record("scoring", rows, ("pysodmetrics", "numpy", "scipy", "opencv-python-headless"))
    if difference > TOLERANCE:
        raise SystemExit(f"figures differ by {difference:g}, and {TOLERANCE:g} is allowed")


if __name__ == "__main__":
    main()

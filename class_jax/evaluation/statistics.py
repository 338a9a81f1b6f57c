"""The uncertainty of figures: the bootstrap over images, and its intervals.

Every method of a set is resampled by the same draws, so that the difference of two methods'
replicates is a paired bootstrap.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from class_jax.evaluation.protocols import MEASUREMENTS, NUM_THRESHOLDS, Figures

RESAMPLES = 2000
SEED = 0
TAILS = (0.025, 0.975)  # what a 95 % interval leaves out
BLOCK = 2**20  # draws at a time, and
CHUNK = 1024  # images at a time: memory does not grow with their number

Interval = tuple[float, float]  # NaN, NaN if there is none


class Sample(NamedTuple):
    """The measurements of a method's maps on a set by a protocol, image by image."""

    protocol: str
    figures: dict[str, np.ndarray]  # float64 [N] for each name
    curves: np.ndarray  # float32 [N, C, 256], in the order of the protocol's CURVES
    properties: np.ndarray  # float64 [N, P], of the masks

    def take(self, rows: np.ndarray) -> "Sample":
        """Return the sample of some images, given by their numbers."""
        figures = {name: values[rows] for name, values in self.figures.items()}
        return Sample(self.protocol, figures, self.curves[rows], self.properties[rows])


class Statistics(NamedTuple):
    """The replicates of a method's figures on a set, and what a paired test needs beside them."""

    replicates: dict[str, np.ndarray]  # float64 [RESAMPLES] for each figure
    at_best: dict[str, np.ndarray]  # float64 [N]: F, E of each image where the set's are largest

    def intervals(self) -> dict[str, Interval]:
        """Return the 95 % interval of each figure."""
        return {name: find_interval(values) for name, values in self.replicates.items()}


def summarize(sample: Sample) -> Statistics:
    """Return the replicates of the figures, and each image's F and E at the best threshold.

    The mean of an image's F at the threshold where the averaged F is largest is maxF itself (by
    `pysod`), so these values stand for maxF in tests that need one value an image.
    """
    kind = MEASUREMENTS[sample.protocol]
    by_name = {name: sample.curves[:, index] for index, name in enumerate(kind.CURVES)}
    averaged = {name: curve.mean(axis=0, dtype=np.float64) for name, curve in by_name.items()}
    best_f, best_e = kind.f_of(averaged).argmax(), averaged["e_curve"].argmax()
    at_best = {
        "maxF": kind.f_of({name: curve[:, best_f] for name, curve in by_name.items()}),
        "maxE": by_name["e_curve"][:, best_e],
    }
    return Statistics(
        resample(sample), {name: values.astype(np.float64) for name, values in at_best.items()}
    )


def average(sample: Sample) -> Figures:
    """Return the figures over all images of a sample (at least one)."""
    values, curves = _flatten(sample)
    means = values.mean(axis=0), curves.mean(axis=0, dtype=np.float64)
    return {name: float(value) for name, value in _combine(sample, *means).items()}


def resample(sample: Sample) -> dict[str, np.ndarray]:
    """Return each figure over RESAMPLES draws of N images with replacement: float64 [RESAMPLES].

    The draws depend on N alone. A single image has no spread to draw from: NaN.
    """
    if len(sample.curves) < 2:
        return {name: np.full(RESAMPLES, np.nan) for name in sample.figures}
    return _combine(sample, *average_resamples(*_flatten(sample)))


def find_interval(replicates: np.ndarray) -> Interval:
    """Return the percentile interval of replicates; NaN, NaN if they are not finite."""
    if not np.isfinite(replicates).all():
        return (np.nan, np.nan)
    low, high = np.quantile(replicates, TAILS)
    return (float(low), float(high))


def average_resamples(*arrays: np.ndarray) -> list[np.ndarray]:
    """Return the means of arrays [N, K] over resamples of the N rows: float64 [RESAMPLES, K].

    Products are of float32, and of deviations from the mean: constants stay exact.
    """
    images = len(arrays[0])
    centres = [array.mean(axis=0, dtype=np.float64).astype(array.dtype) for array in arrays]
    means = [np.tile(centre.astype(np.float64), (RESAMPLES, 1)) for centre in centres]
    done = 0
    for counts in _draw_counts(images):
        block = slice(done, done + len(counts))
        weights = counts.astype(np.float32) / np.float32(images)
        for array, centre, mean in zip(arrays, centres, means, strict=True):
            for start in range(0, images, CHUNK):
                rows = slice(start, start + CHUNK)
                deviations = (array[rows] - centre).astype(np.float32, copy=False)
                mean[block] += weights[:, rows] @ deviations
        done += len(counts)
    return means


def _draw_counts(images: int) -> Iterator[np.ndarray]:
    """Yield how often each image is drawn, in blocks of resamples: int [b, images]."""
    rng = np.random.default_rng(SEED)
    at_once = max(1, BLOCK // images)
    for start in range(0, RESAMPLES, at_once):
        block = min(at_once, RESAMPLES - start)
        drawn = rng.integers(images, size=(block, images), dtype=np.int32)
        drawn += images * np.arange(block, dtype=np.int32)[:, None]
        yield np.bincount(drawn.ravel(), minlength=block * images).reshape(block, images)


def _flatten(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return the figures as [N, V] and the curves as [N, C·256]."""
    values = np.stack(list(sample.figures.values()), axis=1)
    return values, sample.curves.reshape(len(values), -1)


def _combine(sample: Sample, values: np.ndarray, curves: np.ndarray) -> dict[str, np.ndarray]:
    """Return the figures from averaged figures [..., V] and averaged curves [..., C·256]."""
    kind = MEASUREMENTS[sample.protocol]
    split = functools.partial(np.take, curves.reshape(*curves.shape[:-1], -1, NUM_THRESHOLDS))
    of_curves = kind.figures_of(
        {name: split(index, axis=-2) for index, name in enumerate(kind.CURVES)}
    )
    by_name = {name: values[..., index] for index, name in enumerate(sample.figures)}
    return by_name | of_curves

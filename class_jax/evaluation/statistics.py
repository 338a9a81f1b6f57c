"""The uncertainty of figures: the bootstrap over images, and its intervals.

Every method of a set is resampled by the same draws, so that the difference of two methods'
replicates is a paired bootstrap.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from class_jax.evaluation.protocols import METRICS, PROTOCOLS, Curves, Figures, figures_of

RESAMPLES = 2000
SEED = 0
TAILS = (0.025, 0.975)  # quantiles of a 95 % interval
CHUNK = 256  # images at a time: no array but the sample grows with their number

Interval = tuple[float, float]
NO_INTERVAL = (np.nan, np.nan)


class Sample(NamedTuple):
    """The measurements of a method's maps on a set by a protocol, image by image."""

    protocol: str
    figures: dict[str, np.ndarray]  # float64 [N] for each name
    curves: np.ndarray  # float32 [N, C, 256], in the order of the protocol's KEPT
    properties: np.ndarray  # float64 [N, P], of the masks


class Statistics(NamedTuple):
    """The replicates of a method's figures on a set, and what a paired test needs beside them."""

    replicates: dict[str, np.ndarray]  # float64 [RESAMPLES] for each figure
    by_image: dict[str, np.ndarray]  # float64 [N]: a value of each image, their mean the figure

    def intervals(self) -> dict[str, Interval]:
        """Return the 95 % interval of each figure."""
        return {name: find_interval(values) for name, values in self.replicates.items()}


NO_STATISTICS = Statistics({}, {})


def summarize(sample: Sample) -> Statistics:
    """Return the replicates of the figures, and each image's values.

    For maxF and maxE these are F and E at the threshold where the averaged ones are largest, whose
    mean is maxF itself (by `pysod`).
    """
    averaged = _complete(sample, sample.curves.mean(axis=0, dtype=np.float64))
    by_image = dict(sample.figures)
    for name in sample.figures:
        curve, reduce = METRICS[name].curve or ("", None)
        if reduce is np.max:
            best = averaged[curve].argmax()
            of_images = _complete(sample, sample.curves[..., best, None])
            by_image[name] = of_images[curve][:, 0].astype(np.float64)
    return Statistics(resample(sample, np.arange(len(sample.curves))), by_image)


def average(sample: Sample, rows: np.ndarray) -> Figures:
    """Return the figures over some images of a sample, given by their numbers (at least one)."""
    means = [_average_rows(array, rows) for array in _flatten(sample)]
    return {name: float(value) for name, value in _combine(sample, *means).items()}


def resample(sample: Sample, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return each figure over RESAMPLES draws of images with replacement: float64 [RESAMPLES].

    Args:
      sample: of a method on a set.
      rows: the numbers of the images to draw from, N of them; N are drawn, and the draws depend on
        N alone. A single image has no spread: NaN.
    """
    if len(rows) < 2:
        return {name: np.full(RESAMPLES, np.nan) for name in sample.figures}
    return _combine(sample, *average_resamples(_flatten(sample), rows))


def find_interval(replicates: np.ndarray) -> Interval:
    """Return the percentile interval of replicates; NaN, NaN if they are not finite."""
    if not np.isfinite(replicates).all():
        return NO_INTERVAL
    low, high = np.quantile(replicates, TAILS)
    return (float(low), float(high))


def average_resamples(arrays: Sequence[np.ndarray], rows: np.ndarray) -> list[np.ndarray]:
    """Return the means of arrays [M, K] over resamples of N rows: float64 [RESAMPLES, K].

    Products are of float32, and of deviations from the mean: constants stay exact.
    """
    centres = [_average_rows(array, rows).astype(array.dtype) for array in arrays]
    means = [np.tile(centre.astype(np.float64), (RESAMPLES, 1)) for centre in centres]
    for chunk, counts in _draw_counts(len(rows)):
        weights = counts.astype(np.float32) / np.float32(len(rows))
        for array, centre, mean in zip(arrays, centres, means, strict=True):
            deviations = (array[rows[chunk]] - centre).astype(np.float32, copy=False)
            np.add(mean, weights @ deviations, out=mean)
    return means


def _draw_counts(images: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield how often each of some images is drawn, for one chunk of them after another.

    The counts of a resample are multinomial: first how many draws fall into each chunk, then which
    of its images they are.

    Yields:
      The chunk, and int [RESAMPLES, images of the chunk].
    """
    rng = np.random.default_rng(SEED)
    starts = range(0, images, CHUNK)
    sizes = [min(CHUNK, images - start) for start in starts]
    totals = rng.multinomial(images, np.array(sizes) / images, size=RESAMPLES)
    for start, size, draws in zip(starts, sizes, totals.T, strict=True):
        drawn = rng.integers(size, size=draws.sum())
        drawn += np.repeat(np.arange(RESAMPLES) * size, draws)
        counts = np.bincount(drawn, minlength=RESAMPLES * size)
        yield slice(start, start + size), counts.reshape(RESAMPLES, size)


def _average_rows(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the mean of some rows of an array [M, K], float64 [K], without a copy of them all."""
    total = np.zeros(array.shape[1])
    for start in range(0, len(rows), CHUNK):
        total += array[rows[start : start + CHUNK]].sum(axis=0, dtype=np.float64)
    return total / len(rows)


def _flatten(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return the figures as [N, V] and the curves as [N, C·256]."""
    values = np.stack(list(sample.figures.values()), axis=1)
    return values, sample.curves.reshape(len(values), -1)


def _combine(sample: Sample, values: np.ndarray, curves: np.ndarray) -> dict[str, np.ndarray]:
    """Return the figures from averaged figures [..., V] and averaged curves [..., C·256]."""
    by_name = dict(zip(sample.figures, np.moveaxis(values, -1, 0), strict=True))
    split = curves.reshape(*curves.shape[:-1], *sample.curves.shape[1:])
    return by_name | figures_of(_complete(sample, split), sample.figures)


def _complete(sample: Sample, curves: np.ndarray) -> Curves:
    """Return curves, [..., C, T], by their names, [..., T] each, that of F among them."""
    protocol = PROTOCOLS[sample.protocol]
    return protocol.complete(dict(zip(protocol.KEPT, np.moveaxis(curves, -2, 0), strict=True)))

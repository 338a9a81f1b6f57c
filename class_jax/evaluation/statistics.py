"""The uncertainty of figures: the bootstrap over images, and its intervals.

Every method of a set is resampled by the same draws, so that the difference of two methods'
replicates is a paired bootstrap.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from class_jax.evaluation.protocols import METRICS, Measurement

RESAMPLES = 2000
SEED = 0
TAILS = (0.025, 0.975)  # quantiles of a 95 % interval
CHUNK = 256  # images at a time, so that memory stays bounded

Interval = tuple[float, float]


class Statistics(NamedTuple):
    """The replicates of a method's figures on a set, and what a paired test needs beside them."""

    replicates: Mapping[str, np.ndarray] = {}  # float64 [RESAMPLES] for each figure
    by_image: Mapping[str, np.ndarray] = {}  # float64 [N]: values whose mean is the figure

    def intervals(self) -> dict[str, Interval]:
        """Return the 95 % interval of each figure."""
        return {name: find_interval(values) for name, values in self.replicates.items()}


def summarize(measured: Measurement) -> Statistics:
    """Return the replicates of the figures of N images, `sums` [N, K], and each image's values.

    For maxF and maxE these are F and E at the threshold where the averaged ones are largest, whose
    mean is maxF itself (by `pysod`).
    """
    of_images, averaged = measured.curves(), average(measured).curves()
    by_image = measured.figures()
    for name in by_image:
        metric = METRICS[name]
        if metric.take is np.max:
            by_image[name] = of_images[metric.curve][:, averaged[metric.curve].argmax()]
    return Statistics(resample(measured).figures(), by_image)


def average(measured: Measurement) -> Measurement:
    """Return the mean of images' measurements, `sums` [N, K] with N of at least one."""
    return dataclasses.replace(measured, sums=measured.sums.mean(axis=0))


def resample(measured: Measurement) -> Measurement:
    """Return the means over draws of N images with replacement: `sums` [RESAMPLES, K].

    N images are drawn of N measurements, `sums` [N, K], and the draws depend on N alone: how often
    an image is drawn is multinomial. Products are of float32, and of deviations from the mean:
    constants stay exact. A single image has no spread: NaN.
    """
    values = measured.sums
    images, mean = len(values), values.mean(axis=0)
    means = np.tile(mean if images > 1 else np.full_like(mean, np.nan), (RESAMPLES, 1))
    rng = np.random.default_rng(SEED)
    chunks = np.split(values, range(CHUNK, images, CHUNK))
    shares = [len(chunk) / images for chunk in chunks]
    # First how many draws fall into each chunk, then which of its images they are.
    for chunk, draws in zip(chunks, rng.multinomial(images, shares, RESAMPLES).T, strict=True):
        size = len(chunk)
        drawn = rng.integers(size, size=draws.sum())
        drawn += np.repeat(np.arange(RESAMPLES) * size, draws)
        counts = np.bincount(drawn, minlength=RESAMPLES * size).reshape(RESAMPLES, size)
        weights = counts.astype(np.float32) / np.float32(images)
        means += weights @ (chunk - mean).astype(np.float32)
    return dataclasses.replace(measured, sums=means)


def find_interval(replicates: np.ndarray) -> Interval:
    """Return the percentile interval of replicates; NaN, NaN if they are not finite."""
    if not np.isfinite(replicates).all():
        return (np.nan, np.nan)
    low, high = np.quantile(replicates, TAILS)
    return (float(low), float(high))

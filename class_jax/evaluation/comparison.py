"""Compare the methods of a set pair by pair: differences, intervals, tests, verdicts in words."""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from class_jax.evaluation.protocols import METRICS
from class_jax.evaluation.scoring import SetScores
from class_jax.evaluation.statistics import Interval, find_interval

LEVEL = 0.05
BETTER, WORSE, EQUAL = "better", "worse", "not distinguishable"


class Comparison(NamedTuple):
    """A method beside another one, by one figure on one set."""

    set_name: str
    protocol: str
    measure: str
    method: str
    other: str
    images: int
    difference: float  # the method's figure less the other's
    interval: Interval  # of the difference, 95 %
    p: float  # of the Wilcoxon signed-rank test
    p_holm: float  # corrected for the number of pairs
    verdict: str  # about the method


class PairedTest(NamedTuple):
    """The outcome of a Wilcoxon signed-rank test."""

    p: float
    direction: int  # 1 if the first values rank higher, -1 if lower, 0 if neither


def compare_methods(scores: Iterable[SetScores]) -> list[Comparison]:
    """Compare all pairs of methods that were measured on the same images of a set, two or more.

    A method is better or worse if two things agree: the paired-bootstrap interval of the difference
    excludes 0, and the Wilcoxon test, corrected by Holm over the pairs, rejects in its direction.
    """
    by_set: dict[tuple[str, str], list[SetScores]] = {}
    for row in scores:
        if row.statistics is not None and row.has_salient:
            by_set.setdefault((row.set_name, row.protocol), []).append(row)
    return [
        comparison
        for rows in by_set.values()
        for measure in rows[0].total.figures()
        for comparison in _compare_by(measure, rows)
    ]


def have_same_images(rows: Sequence[SetScores]) -> bool:
    """Return whether the methods of a set were measured on the same images."""
    return all(row.per_image.keys() == rows[0].per_image.keys() for row in rows)


def run_paired_test(first: np.ndarray, second: np.ndarray) -> PairedTest:
    """Run SciPy's Wilcoxon signed-rank test, two-sided, on two values of each image [N]."""
    from scipy import stats  # noqa: PLC0415 - takes long, and a single method needs no test

    differences = first - second
    if not np.isfinite(differences).all():
        return PairedTest(np.nan, 0)
    if not differences.any():
        return PairedTest(1.0, 0)
    ranks = stats.rankdata(np.abs(differences))
    direction = int(np.sign(ranks @ np.sign(differences)))
    return PairedTest(float(stats.wilcoxon(first, second).pvalue), direction)


def correct_by_holm(p: Sequence[float]) -> np.ndarray:
    """Return p values corrected for their number by Holm's step-down method; NaN stays NaN."""
    values = np.asarray(p, np.float64)
    corrected = np.full_like(values, np.nan)
    order = np.argsort(values)[: np.count_nonzero(np.isfinite(values))]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1)
    return corrected


def find_equals(comparisons: Iterable[Comparison], method: str) -> set[str]:
    """Return the methods that are not distinguishable from a method, by one figure on one set."""
    return {
        name
        for found in comparisons
        if found.verdict == EQUAL
        for name, partner in ((found.method, found.other), (found.other, found.method))
        if partner == method
    }


def _compare_by(measure: str, rows: Sequence[SetScores]) -> list[Comparison]:
    """Compare the methods of a set by one figure."""
    pairs = [
        pair
        for pair in itertools.combinations(rows, 2)
        if have_same_images(pair) and pair[0].total.images > 1
    ]
    values = {row.method: _values_by_image(row, measure) for row in rows}
    tests = [run_paired_test(values[one.method], values[two.method]) for one, two in pairs]
    corrected = correct_by_holm([test.p for test in tests])
    found = []
    for (one, two), test, p_holm in zip(pairs, tests, corrected, strict=True):
        interval = find_interval(_replicates(one, measure) - _replicates(two, measure))
        difference = one.total.figures()[measure] - two.total.figures()[measure]
        label = one.set_name, one.protocol, measure, one.method, two.method, one.total.images
        verdict = _judge(measure, interval, test.direction if p_holm < LEVEL else 0)
        found.append(Comparison(*label, difference, interval, test.p, float(p_holm), verdict))
    return found


def _judge(measure: str, interval: Interval, direction: int) -> str:
    """Return the verdict about the first of two methods.

    Args:
      measure: the figure.
      interval: of the difference.
      direction: in which the test rejects, or 0 if it does not.
    """
    low, high = interval
    if (low > 0 and direction > 0) or (high < 0 and direction < 0):
        return BETTER if (direction > 0) != METRICS[measure].lower_is_better else WORSE
    return EQUAL


def _values_by_image(row: SetScores, measure: str) -> np.ndarray:
    """Return one value of each image, float64 [N], whose mean is the figure."""
    assert row.statistics is not None
    if measure in row.statistics.at_best:
        return row.statistics.at_best[measure]
    return np.array([figures[measure] for figures in row.per_image.values()])


def _replicates(row: SetScores, measure: str) -> np.ndarray:
    assert row.statistics is not None
    return row.statistics.replicates[measure]

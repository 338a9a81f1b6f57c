"""Compare the methods of a set pair by pair: differences, intervals, tests, verdicts in words."""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from class_jax.evaluation.protocols import METRICS
from class_jax.evaluation.scoring import SetScores, group_by
from class_jax.evaluation.statistics import find_interval

LEVEL = 0.05
BETTER, WORSE, EQUAL = "better", "worse", "not distinguishable"


class Comparison(NamedTuple):
    """A method compared with another, by one figure on one set: a row of comparison.csv."""

    set: str
    protocol: str
    measure: str
    method: str
    against: str
    images: int
    difference: float  # the method's figure less the other's
    low: float  # of the difference, 95 %
    high: float
    p: float  # of the Wilcoxon signed-rank test
    p_holm: float  # corrected for the number of pairs
    verdict: str  # about the method


def compare_methods(scores: Iterable[SetScores]) -> list[Comparison]:
    """Compare all pairs of methods that were measured on the same images of a set, two or more.

    A method is better or worse if two things agree: the paired-bootstrap interval of the difference
    excludes 0, and the Wilcoxon test, corrected by Holm over the pairs, rejects in its direction.
    """
    usable = (row for row in scores if row.has_salient and row.total.images > 1)
    return [
        comparison
        for rows in group_by(usable, lambda row: (row.set_name, row.protocol)).values()
        for measure in rows[0].total.names
        for comparison in _compare_by(measure, rows)
    ]


def have_same_images(rows: Sequence[SetScores]) -> bool:
    """Return whether the methods of a set were measured on the same images."""
    return all(row.per_image.keys() == rows[0].per_image.keys() for row in rows)


def run_paired_test(first: np.ndarray, second: np.ndarray) -> tuple[float, int]:
    """Run SciPy's Wilcoxon signed-rank test, two-sided, on two values of each image [N].

    Returns:
      p, and 1 if the first values rank higher, -1 if lower, 0 if neither.
    """
    from scipy import stats  # noqa: PLC0415 - takes long, and a single method needs no test

    differences = first - second
    if not np.isfinite(differences).all():
        return np.nan, 0
    if not differences.any():
        return 1.0, 0
    direction = int(np.sign(stats.rankdata(np.abs(differences)) @ np.sign(differences)))
    return float(stats.wilcoxon(first, second).pvalue), direction


def correct_by_holm(p: Sequence[float]) -> np.ndarray:
    """Return p values corrected for their number by Holm's step-down method; NaN stays NaN."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values)  # NaN comes last
    factors = np.count_nonzero(np.isfinite(values)) - np.arange(len(values))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1)
    return corrected


def find_equals(comparisons: Iterable[Comparison], method: str) -> set[str]:
    """Return the methods that are not distinguishable from a method, by one figure on one set."""
    pairs = [{c.method, c.against} for c in comparisons if c.verdict == EQUAL]
    return set().union(*(pair - {method} for pair in pairs if method in pair))


def _compare_by(measure: str, rows: Sequence[SetScores]) -> list[Comparison]:
    """Compare the methods of a set by one figure."""
    pairs = [pair for pair in itertools.combinations(rows, 2) if have_same_images(pair)]
    tests = [run_paired_test(*(row.statistics.by_image[measure] for row in pair)) for pair in pairs]
    corrected = correct_by_holm([p for p, _ in tests])
    found = []
    for (one, two), (p, direction), p_holm in zip(pairs, tests, corrected, strict=True):
        replicates = (row.statistics.replicates[measure] for row in (one, two))
        interval = find_interval(np.subtract(*replicates))
        difference = one.total.figures()[measure] - two.total.figures()[measure]
        label = one.set_name, one.protocol, measure, one.method, two.method, one.total.images
        verdict = EQUAL
        # The ends of the interval have the sign that the ranks have.
        if p_holm < LEVEL and min(np.multiply(interval, direction)) > 0:
            verdict = BETTER if (direction > 0) != METRICS[measure].lower_is_better else WORSE
        found.append(Comparison(*label, difference, *interval, p, float(p_holm), verdict))
    return found

"""Paired comparisons, against SciPy, worked examples and trials under the null."""

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from class_jax.evaluation.comparison import (
    compare_methods,
    correct_by_holm,
    find_equals,
    run_paired_test,
)
from class_jax.evaluation.scoring import SetScores
from class_jax.evaluation.statistics import find_interval, summarize
from tests.evaluation.measurements import FIGURES, measurement_of
from tests.evaluation.test_statistics import resampled

IMAGES = 80


def scores_of(method, shift, *, noise=0.02, images=IMAGES, set_name="toys", seed=0):
    """Scores that differ from those of others by `shift` and by noise of their own."""
    shared = np.random.default_rng(seed).beta(8, 2, images)
    own = np.random.default_rng([seed, sum(map(ord, method))])
    values = {name: shared + shift + own.normal(0, noise, images) for name in FIGURES}
    # Flat curves, of which mean and largest value are one.
    values |= {"meanF": values["maxF"], "meanE": values["maxE"]}
    flat = {n: values[f"max{n}"][:, None] * np.ones(256) for n in ("F", "E")}
    measured = measurement_of(values, {**flat, "precision": flat["F"], "recall": flat["F"]})
    total = dataclasses.replace(measured, images=images, sums=measured.sums.sum(axis=0))
    per_image = {
        f"{i:03d}": {name: column[i] for name, column in values.items()} for i in range(images)
    }
    row = SetScores(set_name, method, "pysod", total, per_image, {}, True, Counter())
    return SetScores(**vars(row) | {"statistics": summarize(measured)})


def by_measure(comparisons):
    return {(c.measure, c.method, c.against): c for c in comparisons}


def test_differences_p_values_and_verdicts():
    rows = [scores_of("A", 0), scores_of("B", -0.05), scores_of("C", 0.0005)]
    found = by_measure(compare_methods(rows))
    assert len(found) == 3 * len(FIGURES)
    values = {row.method: row.per_image for row in rows}
    for (measure, one, two), comparison in found.items():
        columns = [np.array([v[measure] for v in values[m].values()]) for m in (one, two)]
        assert comparison.difference == pytest.approx(np.mean(columns[0] - columns[1]), abs=1e-9)
        assert comparison.p == pytest.approx(stats.wilcoxon(*columns).pvalue, rel=1e-12)
        assert comparison.images == IMAGES
        t = stats.ttest_rel(*columns).confidence_interval()  # near the bootstrap's
        interval = comparison.low, comparison.high
        np.testing.assert_allclose(interval, (t.low, t.high), rtol=0, atol=1e-3)
    assert found["S", "A", "B"].verdict == "better"
    assert found["MAE", "A", "B"].verdict == "worse"
    assert found["S", "B", "C"].verdict == "worse"
    assert found["S", "A", "C"].verdict == "not distinguishable"


def test_p_values_are_corrected_over_the_pairs_of_a_figure():
    # A worked example: Holm (1979) by hand, 0.01·4, 0.013·3, 0.02·2, 0.04·1, kept increasing.
    corrected = correct_by_holm([0.04, 0.013, 0.01, 0.02])
    np.testing.assert_allclose(corrected, [0.04, 0.04, 0.04, 0.04])
    np.testing.assert_allclose(correct_by_holm([0.01, 0.02, 0.9]), [0.03, 0.04, 0.9])
    np.testing.assert_allclose(correct_by_holm([0.5, np.nan, 0.6]), [1, np.nan, 1])
    rows = [scores_of(m, shift) for m, shift in (("A", 0), ("B", 0.004), ("C", 0.002))]
    found = by_measure(compare_methods(rows))
    of_s = [found["S", *pair] for pair in itertools.combinations("ABC", 2)]
    np.testing.assert_allclose([c.p_holm for c in of_s], correct_by_holm([c.p for c in of_s]))


def test_methods_that_score_alike_are_not_distinguishable():
    first = scores_of("A", 0)
    same = SetScores(**vars(first) | {"method": "B"})
    for comparison in compare_methods([first, same]):
        assert (comparison.difference, comparison.low, comparison.high) == (0, 0, 0)
        assert comparison.p == 1
        assert comparison.verdict == "not distinguishable"


def test_a_few_large_gains_against_many_small_losses_are_no_verdict():
    # The mean and the ranks disagree, so neither method is called better.
    loss, gain = np.full(60, -0.01), np.full(8, 0.4)
    differences = np.concatenate([loss, gain])
    assert find_interval(resampled(differences[:, None])[:, 0])[0] > 0
    p, direction = run_paired_test(differences, 0 * differences)
    assert p < 0.05
    assert direction == -1


def test_only_methods_on_the_same_images_are_compared():
    whole, part = scores_of("A", 0), scores_of("B", 0, images=IMAGES - 1)
    assert compare_methods([whole, part]) == []
    assert compare_methods([whole, scores_of("B", 0, set_name="others")]) == []
    assert compare_methods([scores_of(m, 0, images=1) for m in "AB"]) == []
    pairs = {(c.method, c.against) for c in compare_methods([whole, part, scores_of("C", 0)])}
    assert pairs == {("A", "C")}


def test_equals_of_a_method_are_found_on_either_side_of_a_pair():
    rows = [scores_of("A", 0), scores_of("B", -0.05), scores_of("C", 0.0005)]
    of_s = [c for c in compare_methods(rows) if c.measure == "S"]
    assert find_equals(of_s, "A") == {"C"}
    assert find_equals(of_s, "C") == {"A"}
    assert find_equals(of_s, "B") == set()


def test_under_the_null_tests_reject_in_5_percent_of_2000_trials_and_verdicts_in_fewer():
    rng = np.random.default_rng(0)
    # Scores of two methods that differ by noise; that of hard images is larger.
    differences = rng.normal(0, 1, (60, 2000)) * rng.gamma(2, 0.01, (60, 1))
    tests = [run_paired_test(column, 0 * column) for column in differences.T]
    rejected = np.array([p < 0.05 for p, _ in tests])
    intervals = np.array([find_interval(column) for column in resampled(differences).T])
    excluded = (intervals[:, 0] > 0) | (intervals[:, 1] < 0)
    assert rejected.mean() == pytest.approx(0.05, abs=0.015)  # three deviations of 2,000 trials
    assert excluded.mean() == pytest.approx(0.05, abs=0.02)
    assert (rejected & excluded).mean() <= 0.05


def test_among_four_equal_methods_a_difference_is_found_in_at_most_5_percent_of_trials():
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(300):
        values = rng.normal(0.8, 0.1, (4, 40))
        pairs = itertools.combinations(values, 2)
        found += np.min(correct_by_holm([run_paired_test(*pair)[0] for pair in pairs])) < 0.05
    assert found / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)

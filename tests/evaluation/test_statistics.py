"""The bootstrap, against draws of its own, known distributions and coverage by simulation."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from class_jax.evaluation.protocols import BETA2, PROTOCOLS, Measurement
from class_jax.evaluation.statistics import (
    RESAMPLES,
    average,
    find_interval,
    resample,
    summarize,
)
from tests.evaluation.measurements import AVERAGED, FIGURES, images_of, measurement_of

THRESHOLDS = 256


def plain_figures(measured, rows):
    """The figures of some images, from their definitions."""
    means = measured.sums[rows].mean(axis=0)
    curves = dict(zip(PROTOCOLS[measured.protocol].CURVES, means[5:].reshape(-1, 256), strict=True))
    if measured.protocol == "pysod":
        f = curves["F"]
    else:
        precision, recall = curves["precision"], curves["recall"]
        f = (1 + BETA2) * precision * recall / np.maximum(BETA2 * precision + recall, 1e-300)
    e = curves["E"]
    figures = dict(zip(AVERAGED, means, strict=False))
    return figures | {"meanF": f.mean(), "maxF": f.max(), "meanE": e.mean(), "maxE": e.max()}


def resampled(values):
    """The means over resamples of values of images, [N, trials]."""
    return resample(Measurement("pysod", (), 1, values)).sums


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_intervals_are_those_of_an_independent_bootstrap(protocol):
    measured = images_of(protocol)
    intervals = summarize(measured).intervals()
    rng = np.random.default_rng(99)
    draws = [plain_figures(measured, rng.integers(60, size=60)) for _ in range(4000)]
    for name in FIGURES:
        replicates = np.array([draw[name] for draw in draws])
        # The Monte Carlo error of a 2.5 % quantile of 2,000 normal draws is 0.06 deviations; both
        # bootstraps have one.
        tolerance = 4 * replicates.std() * 0.06 * np.sqrt(1.5)
        expected = np.quantile(replicates, [0.025, 0.975])
        np.testing.assert_allclose(intervals[name], expected, rtol=0, atol=tolerance)
    for name, value in average(measured).figures().items():
        assert value == pytest.approx(plain_figures(measured, np.arange(60))[name], abs=1e-12)


def test_methods_of_a_set_are_resampled_together():
    first = images_of()
    better = dataclasses.replace(first, sums=first.sums + 0.001)
    difference = resample(better).figures()["MAE"] - resample(first).figures()["MAE"]
    np.testing.assert_allclose(difference, 0.001, rtol=0, atol=1e-6)


def test_means_of_many_images_have_the_spread_that_theory_gives():
    values = np.random.default_rng(1).exponential(
        1, (3000, 1)
    )  # several chunks, the last a small one
    means = resampled(values)
    assert means.shape == (RESAMPLES, 1)
    assert means.std() == pytest.approx(values.std() / np.sqrt(3000), rel=0.06)
    assert means.mean() == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(3000 * 2000))


def test_a_figure_that_all_images_share_has_no_spread():
    measured = images_of(images=7)
    constant = dataclasses.replace(measured, sums=np.full_like(measured.sums, 1 / 3))
    for name, interval in summarize(constant).intervals().items():
        figure = average(constant).figures()[name]
        assert interval == pytest.approx((figure, figure), rel=0, abs=1e-15)


def test_one_image_or_an_undefined_figure_has_no_interval():
    assert np.isnan(list(summarize(images_of(images=1)).intervals().values())).all()
    measured = images_of()
    measured.sums[3, AVERAGED.index("S")] = np.nan
    intervals = summarize(measured).intervals()
    assert np.isnan(intervals["S"]).all()
    assert np.isfinite(intervals["MAE"]).all()


def test_values_at_the_best_threshold_average_to_the_largest_of_the_curve():
    measured = images_of()
    by_image, figures = summarize(measured).by_image, average(measured).figures()
    for name in ("maxF", "maxE"):
        assert by_image[name].shape == (60,)
        assert by_image[name].mean() == pytest.approx(figures[name], abs=1e-12)


def test_intervals_of_means_cover_in_95_percent_of_2000_trials():
    # The columns are trials; beta values are skewed as scores are.
    values = stats.beta(6, 2).rvs((100, 2000), random_state=0)
    means = resampled(values)
    covered = np.mean([low <= 0.75 <= high for low, high in map(find_interval, means.T)])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_intervals_of_the_largest_f_cover_in_95_percent_of_trials():
    rng = np.random.default_rng(0)
    peak = 1 - 2 * (np.linspace(-1, 1, THRESHOLDS) - 0.3) ** 2  # at a threshold that is found
    hits = 0
    for _ in range(300):
        skill = rng.beta(6, 2, (100, 1))
        curve = skill * peak.clip(0)
        curves = dict.fromkeys(("F", "E", "precision", "recall"), curve)
        measured = measurement_of(dict.fromkeys(AVERAGED, skill[:, 0]), curves)
        low, high = find_interval(resample(measured).figures()["maxF"])
        hits += low <= 0.75 * peak.max() <= high
    assert hits / 300 == pytest.approx(0.95, abs=0.04)  # three deviations of 300 trials

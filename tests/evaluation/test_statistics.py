"""The bootstrap, against draws of its own, known distributions and coverage by simulation."""

import numpy as np
import pytest
from scipy import stats

from class_jax.evaluation.protocols import BETA2, PROTOCOLS, names_of
from class_jax.evaluation.statistics import (
    RESAMPLES,
    Sample,
    average,
    average_resamples,
    find_interval,
    resample,
    summarize,
)

THRESHOLDS = 256
FIGURES = names_of("published")
ALL = np.arange(60)


def sample_of(protocol="pysod", images=60, seed=0):
    """Figures and curves of images that have something in common."""
    rng = np.random.default_rng(seed)
    skill = rng.beta(8, 2, images)
    figures = {name: skill * rng.uniform(0.8, 1, images) for name in FIGURES}
    shape = 1 - (np.linspace(-1, 1, THRESHOLDS) - rng.normal(0, 0.2, (images, 1))) ** 2
    curves = [skill[:, None] * shape.clip(0) * rng.uniform(0.9, 1, (images, 1)) for _ in range(3)]
    kept = np.stack(curves[: len(PROTOCOLS[protocol].KEPT)], axis=1).astype(np.float32)
    return Sample(protocol, figures, kept, np.zeros((images, 6)))


def plain_figures(sample, rows):
    """The figures of some images, from their definitions in float64."""
    means = sample.curves[rows].astype(np.float64).mean(axis=0)
    if sample.protocol == "pysod":
        f, e = means
    else:
        precision, recall, e = means
        f = (1 + BETA2) * precision * recall / np.maximum(BETA2 * precision + recall, 1e-300)
    figures = {name: values[rows].mean() for name, values in sample.figures.items()}
    return figures | {"meanF": f.mean(), "maxF": f.max(), "meanE": e.mean(), "maxE": e.max()}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_intervals_are_those_of_an_independent_bootstrap(protocol):
    sample = sample_of(protocol)
    intervals = summarize(sample).intervals()
    rng = np.random.default_rng(99)
    draws = [plain_figures(sample, rng.integers(60, size=60)) for _ in range(4000)]
    for name in FIGURES:
        replicates = np.array([draw[name] for draw in draws])
        # The Monte Carlo error of a 2.5 % quantile of 2,000 normal draws is 0.06 deviations; both
        # bootstraps have one.
        tolerance = 4 * replicates.std() * 0.06 * np.sqrt(1.5)
        expected = np.quantile(replicates, [0.025, 0.975])
        np.testing.assert_allclose(intervals[name], expected, rtol=0, atol=tolerance)
    for name, value in average(sample, ALL).items():
        assert value == pytest.approx(plain_figures(sample, np.arange(60))[name], abs=1e-12)


def test_methods_of_a_set_are_resampled_together():
    first = sample_of()
    better = first._replace(figures={name: v + 0.001 for name, v in first.figures.items()})
    difference = resample(better, ALL)["MAE"] - resample(first, ALL)["MAE"]
    np.testing.assert_allclose(difference, 0.001, rtol=0, atol=1e-6)


def test_means_of_many_images_have_the_spread_that_theory_gives():
    values = np.random.default_rng(1).exponential(
        1, (3000, 1)
    )  # several chunks, the last a small one
    (means,) = average_resamples([values], np.arange(3000))
    assert means.shape == (RESAMPLES, 1)
    assert means.std() == pytest.approx(values.std() / np.sqrt(3000), rel=0.06)
    assert means.mean() == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(3000 * 2000))


def test_a_figure_that_all_images_share_has_no_spread():
    sample = sample_of(images=7)
    constant = sample._replace(
        figures={name: np.full(7, 1 / 3) for name in FIGURES},
        curves=np.full_like(sample.curves, 0.7),
    )
    for name, interval in summarize(constant).intervals().items():
        assert interval == pytest.approx((average(constant, ALL[:7])[name],) * 2, rel=0, abs=1e-15)


def test_one_image_or_an_undefined_figure_has_no_interval():
    assert np.isnan(list(summarize(sample_of(images=1)).intervals().values())).all()
    sample = sample_of()
    sample.figures["S"][3] = np.nan
    intervals = summarize(sample).intervals()
    assert np.isnan(intervals["S"]).all()
    assert np.isfinite(intervals["MAE"]).all()


def test_values_at_the_best_threshold_average_to_the_largest_of_the_curve():
    sample = sample_of()
    by_image, figures = summarize(sample).by_image, average(sample, ALL)
    for name in ("maxF", "maxE"):
        assert by_image[name].shape == (60,)
        assert by_image[name].mean() == pytest.approx(figures[name], abs=1e-7)


def test_intervals_of_means_cover_in_95_percent_of_2000_trials():
    # The columns are trials; beta values are skewed as scores are.
    values = stats.beta(6, 2).rvs((100, 2000), random_state=0)
    (means,) = average_resamples([values], np.arange(100))
    covered = np.mean([low <= 0.75 <= high for low, high in map(find_interval, means.T)])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_intervals_of_the_largest_f_cover_in_95_percent_of_trials():
    rng = np.random.default_rng(0)
    peak = 1 - 2 * (np.linspace(-1, 1, THRESHOLDS) - 0.3) ** 2  # at a threshold that is found
    hits = 0
    for _ in range(300):
        skill = rng.beta(6, 2, (100, 1, 1))
        curves = (skill * peak.clip(0) * np.ones((1, 2, 1))).astype(np.float32)
        sample = Sample("pysod", {"maxF": skill[:, 0, 0]}, curves, np.zeros((100, 6)))
        low, high = find_interval(resample(sample, np.arange(100))["maxF"])
        hits += low <= 0.75 * peak.max() <= high
    assert hits / 300 == pytest.approx(0.95, abs=0.04)  # three deviations of 300 trials

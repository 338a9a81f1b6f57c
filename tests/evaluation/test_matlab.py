"""The protocol `matlab` against figures from Octave and closed forms.

Its weighted F is PySODMetrics': 1e-5 from Octave's on photographs.
"""

from pathlib import Path

import numpy as np
import py_sod_metrics
import pytest

from class_jax.data.resize import resize_bicubic
from class_jax.evaluation.protocols import Measurement, measure
from tests.evaluation.test_protocols import FULL, GREY, ZERO, G, P, drawn_pairs, golden_pairs

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "imresize_octave.npz")
NAMES = ("MAE", "S", "wF", "adpF", "maxF", "adpE")


def matlab(prediction, mask):
    return measure(prediction, mask, "matlab")


def total_of(pairs):
    return sum((matlab(*pair) for pair in pairs), Measurement.zero("matlab"))


def test_golden_figures():
    # Octave, on the three pairs; the mask of the third is empty.
    figures = total_of(golden_pairs()).figures()
    expected = {
        **{"maxF": 0.5901103925, "adpF": 0.5816750824, "MAE": 0.0363530344},
        **{"S": 0.5703453750, "adpE": 0.6346729300},
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected, rel=0, abs=1e-9)
    # Ties of nearest pixels fall differently in Octave.
    assert figures["wF"] == pytest.approx(0.5579830970, rel=0, abs=1e-5)


def test_weighted_f_is_that_of_pysodmetrics_on_the_resized_map():
    for prediction, mask in drawn_pairs()[3:]:
        oracle = py_sod_metrics.WeightedFmeasure()
        # A map that spans all levels and a mask of 0 and 255 are the same stretched or not.
        levels = resize_bicubic(prediction, *mask.shape)
        levels.flat[:2] = (0, 255)
        binary = np.where(mask >= (int(mask.max()) + 1) // 2, 255, 0).astype(np.uint8)
        oracle.step(levels, binary)
        expected = oracle.get_results()["wfm"]
        assert matlab(levels, mask).figures()["wF"] == pytest.approx(expected, rel=0, abs=1e-9)


@pytest.mark.parametrize(
    ("prediction", "mask", "values"),  # MAE, S, wF, adpF, maxF, adpE
    [
        (P, G, (0.475230, 0.383090, 0.378862, 0.155689, 0.339603, 0.287116)),
        (P, ZERO, (0.0,) * 6),
        (P, FULL, (0.500328, 0.499672, 0.820313, 0.043624, 1.0, 0.010471)),
        (ZERO, G, (0.0,) * 6),
        (255 - G, G, (1.0, -0.298917, 0.009838, 0.0, 0.308176, 0.251309)),
    ],
    ids=["ordinary", "empty mask", "full mask", "zero map", "inverse map"],
)
def test_figures_of_the_formula_pair(prediction, mask, values):
    figures = matlab(prediction, mask).figures()
    assert [figures[name] for name in NAMES] == pytest.approx(values, rel=0, abs=1e-6)


def test_a_constant_map_is_clamped_and_not_stretched():
    assert matlab(GREY, G).figures()["MAE"] == pytest.approx(np.mean(G == 0), abs=1e-12)
    assert matlab(GREY, G).figures() == matlab(FULL, G).figures()


def test_what_is_skipped_stays_in_the_denominator():
    one, three = matlab(P, G), total_of([(P, G), (ZERO, G), (P, ZERO)])
    assert three.images == 3
    expected = {name: value / 3 for name, value in one.figures().items()}
    # F comes from averaged precision and recall, and 3·P·R / (β²·3·P + 3·R) is a third too.
    assert three.figures() == pytest.approx(expected, rel=0, abs=1e-12)


def test_max_f_is_that_of_averaged_precision_and_recall():
    # Above 0 precision and recall are (1, 1) and (1, 1/3); at 0 they are (1/2, 1) and (1, 1).
    half = np.array([[255, 0]] * 4, np.uint8)
    third, full = np.array([[255, 0, 0]] * 4, np.uint8), np.full((4, 3), 255, np.uint8)
    above = 1.3 * 1 * (2 / 3) / (0.3 * 1 + 2 / 3)
    at_zero = 1.3 * 0.75 * 1 / (0.3 * 0.75 + 1)
    figures = total_of([(half, half), (third, full)]).figures()
    assert figures["maxF"] == pytest.approx(max(above, at_zero), abs=1e-12)
    assert figures["meanF"] == pytest.approx((255 * above + at_zero) / 256, abs=1e-12)


def test_the_threshold_of_adaptive_e_is_strict_and_not_clamped():
    # Two thirds salient, perfectly: twice the mean is 4/3, which nothing exceeds, and E is that
    # of marking nothing.
    mask = np.array([[255, 255, 0]] * 4, np.uint8)
    assert measure(mask, mask).figures()["adpE"] == pytest.approx(12 / 11, abs=1e-12)
    # E is 1/4 wherever a constant map meets a mask that is not.
    assert matlab(mask, mask).figures()["adpE"] == pytest.approx(12 / 11 / 4, abs=1e-12)
    # A perfect map of a quarter: twice the mean is 1/2, and all is found.
    quarter = np.array([[255, 0, 0, 0]] * 4, np.uint8)
    assert matlab(quarter, quarter).figures()["adpE"] == pytest.approx(16 / 15, abs=1e-12)
    # Half of the pixels at 1: twice the mean is 1, which is not exceeded.
    half = np.array([[255, 0]] * 4, np.uint8)
    assert matlab(half, half).figures()["adpE"] == pytest.approx(8 / 7 / 4, abs=1e-12)


def test_masks_are_salient_from_half_of_their_range():
    soft = np.where(G > 0, 100, 10).astype(np.uint8)
    assert matlab(P, soft).figures() == matlab(P, G).figures()
    steps = np.where(G > 0, 128, 127).astype(np.uint8)
    steps[0, 0], steps[0, 1] = 0, 255
    binary = np.where(steps >= 128, 255, 0).astype(np.uint8)
    assert matlab(P, steps).figures() == matlab(P, binary).figures()


def test_both_protocols_agree_on_ordinary_images():
    for prediction, mask in golden_pairs()[:2]:
        ours, theirs = matlab(prediction, mask).figures(), measure(prediction, mask).figures()
        same = ("MAE", "S", "adpF", "adpE", "maxF")
        assert {n: ours[n] for n in same} == pytest.approx({n: theirs[n] for n in same}, abs=1e-10)
        assert ours["wF"] == pytest.approx(theirs["wF"], abs=1e-4)


def test_enlarging_is_octaves_imresize():
    expected = GOLDEN["47x70"]
    np.testing.assert_array_equal(resize_bicubic(GOLDEN["source"], *expected.shape), expected)


@pytest.mark.parametrize("shape", ["13x18", "13x70", "24x9"])
def test_shrinking_is_octaves_imresize_with_weights_that_sum_to_one(shape):
    # Octave's do not quite, MATLAB's do: a level or two of 255.
    expected = GOLDEN[shape].astype(int)
    difference = np.abs(resize_bicubic(GOLDEN["source"], *expected.shape) - expected)
    assert difference.max() <= 2
    assert difference.mean() < 0.6
    mask = np.where(expected > 99, 255, 0).astype(np.uint8)
    same_size = resize_bicubic(GOLDEN["source"], *mask.shape)
    assert matlab(GOLDEN["source"], mask).figures() == matlab(same_size, mask).figures()

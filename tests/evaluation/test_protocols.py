"""The figures against PySODMetrics run plainly, published values, brute force and closed forms."""

import gc
import os
import pickle
import tracemalloc
import warnings
from pathlib import Path

import cv2
import numpy as np
import py_sod_metrics
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from class_jax.evaluation.protocols import Measurement, measure, names_of

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"
REAL_DATA = "CLASS_JAX_REAL_DATA"

# Columns: MAE, S, wF, adpF, meanF, maxF, adpE, meanE, maxE.
NAMES = ("MAE", "S", "wF", "adpF", "meanF", "maxF", "adpE", "meanE", "maxE")
GOLDEN_FIGURES = {
    "0001": (
        *(0.03298454138209591, 0.9210707603955615, 0.8761355555108066),
        *(0.9112183811346113, 0.9081914124658708, 0.9228291977606369),
        *(0.9726025218651195, 0.9556087834918177, 0.9763442755675746),
    ),
    "19": (
        *(0.07607456167979003, 0.7899653644701837, 0.7978082705808892),
        *(0.8338068660768952, 0.8229617660904299, 0.8437945270883846),
        *(0.9314162682346705, 0.9200852473308117, 0.9332416118461454),
    ),
    "aerial-1867541__340": (
        *(0.0021076512379636504, 0.9978923487620364, 0.0, 0.0, 0.0, 0.0),
        *(0.9186092299913952, 0.9941834572299817, 1.0),
    ),
}
GOLDEN_TOTAL = (
    *(0.03705558476661653, 0.9029761578759272, 0.5579812753638986),
    *(0.5816750824038355, 0.577051059518767, 0.5886784581120638),
    *(0.9408760066970617, 0.9566258293508704, 0.9669544828922699),
)

# The authors' published maps of three ECSSD images; masks are larger than the maps.
AUTHORS_FIGURES = {
    "0044": (
        *(0.0222357410, 0.9577654881, 0.9795691268, 0.9813402605, 0.9846885132),
        *(0.9895836972, 0.9594780923, 0.9740924664, 0.9841148178),
    ),
    "0052": (
        *(0.0145912092, 0.9703276175, 0.9773968205, 0.9871572759, 0.9812986213),
        *(0.9885862850, 0.9867775597, 0.9817685703, 0.9920186086),
    ),
    "0057": (
        *(0.0049751585, 0.9874207425, 0.9918777759, 0.9963904117, 0.9905690906),
        *(0.9965367692, 0.9966686175, 0.9921335272, 0.9978126028),
    ),
}
AUTHORS_TOTAL = (
    *(0.0139340362, 0.9718379493, 0.9829479077, 0.9882959827, 0.9855187417),
    *(0.9914666862, 0.9809747565, 0.9826648546, 0.9909765671),
)


def grey(path):
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert picture is not None, path
    return picture


def golden_pairs():
    return [
        (grey(GOLDEN / "maps" / f"{n}.png"), grey(GOLDEN / "masks" / f"{n}.png"))
        for n in GOLDEN_FIGURES
    ]


def drawn_pairs(count=6):
    """Noisy maps of other sizes than their masks; one constant, one mask empty and one full."""
    rng = np.random.default_rng(5)
    pairs = []
    for _ in range(count):
        height, width = rng.integers(20, 50, 2)
        mask = np.zeros((height, width), np.uint8)
        mask[height // 4 : -3, 4 : width // 2] = rng.integers(120, 256)
        prediction = cv2.GaussianBlur(mask, (0, 0), 3)[::2, ::2] // 2
        pairs.append((prediction + rng.integers(0, 90, prediction.shape, dtype=np.uint8), mask))
    pairs[0][0][:] = 77
    pairs[1][1][:] = 0
    pairs[2][1][:] = 255
    return pairs


def total_of(pairs):
    total = Measurement.zero()
    for prediction, mask in pairs:
        total += measure(prediction, mask)
    return total


def plain_loop(pairs):
    """PySODMetrics as its README uses it, with the toolkit's resizing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        f_measure = py_sod_metrics.Fmeasure()
    metrics = {
        "wF": py_sod_metrics.WeightedFmeasure(),
        "S": py_sod_metrics.Smeasure(),
        "E": py_sod_metrics.Emeasure(),
        "MAE": py_sod_metrics.MAE(),
    }
    for prediction, mask in pairs:
        resized = cv2.resize(prediction, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
        for metric in (f_measure, *metrics.values()):
            metric.step(resized, mask)
    f_results = f_measure.get_results()
    f, e = f_results["fm"], metrics["E"].get_results()["em"]
    figures = {
        **{"adpF": f["adp"], "meanF": f["curve"].mean(), "maxF": f["curve"].max()},
        **{"adpE": e["adp"], "meanE": e["curve"].mean(), "maxE": e["curve"].max()},
        "wF": metrics["wF"].get_results()["wfm"],
        "S": metrics["S"].get_results()["sm"],
        "MAE": metrics["MAE"].get_results()["mae"],
    }
    return figures, {"F": f["curve"], "E": e["curve"], **f_results["pr"]}


def assert_figures(figures, values, tolerance):
    assert figures == pytest.approx(dict(zip(NAMES, values, strict=True)), rel=0, abs=tolerance)


@pytest.mark.parametrize("pairs", [golden_pairs(), drawn_pairs()], ids=["golden", "drawn"])
def test_equals_a_plain_pysodmetrics_loop(pairs):
    total = total_of(pairs)
    figures, curves = plain_loop(pairs)
    assert tuple(total.figures()) == names_of("published")
    assert total.figures() == pytest.approx(figures, rel=0, abs=1e-12)
    ours = total.curves()
    for mine, theirs in (("F", "F"), ("E", "E"), ("precision", "p"), ("recall", "r")):
        np.testing.assert_allclose(ours[mine], curves[theirs], rtol=0, atol=1e-12)


def test_golden_figures():
    for (prediction, mask), values in zip(golden_pairs(), GOLDEN_FIGURES.values(), strict=True):
        assert_figures(measure(prediction, mask).figures(), values, 1e-9)
    assert_figures(total_of(golden_pairs()).figures(), GOLDEN_TOTAL, 1e-9)


@pytest.mark.skipif(REAL_DATA not in os.environ, reason=f"{REAL_DATA} names no folder")
def test_figures_of_the_authors_maps():
    folder = Path(os.environ[REAL_DATA]) / "classnet"
    pairs = [
        (grey(folder / "maps" / f"{n}.png"), grey(folder / "masks" / f"{n}.png"))
        for n in AUTHORS_FIGURES
    ]
    for pair, values in zip(pairs, AUTHORS_FIGURES.values(), strict=True):
        assert_figures(measure(*pair).figures(), values, 1e-9)
    assert_figures(total_of(pairs).figures(), AUTHORS_TOTAL, 1e-9)


def formula_pair():
    """A map and a disc of 12×16 pixels that anyone can write down."""
    y, x = np.mgrid[:12, :16]
    prediction = ((7 * x**2 + 13 * y + 5 * x * y) % 256).astype(np.uint8)
    return prediction, (((x - 6) ** 2 + (y - 5) ** 2 <= 16) * 255).astype(np.uint8)


P, G = formula_pair()
ZERO, FULL, GREY = (np.full_like(G, level) for level in (0, 255, 128))


@pytest.mark.parametrize(
    ("prediction", "mask", "values"),  # MAE, S, wF, adpF, maxF, adpE
    [
        (P, G, (0.475230, 0.383090, 0.378862, 0.155689, 0.339603, 0.287116)),
        (P, ZERO, (0.499672, 0.500328, 0.0, 0.0, 0.0, 0.994764)),
        (P, FULL, (0.500328, 0.499672, 0.820313, 0.043624, 1.0, 0.010471)),
        (ZERO, G, (0.255208, 0.372396, 0.046804, 0.308176, 0.308176, 0.251309)),
        (GREY, G, (0.500960, 0.399537, 0.298334, 0.0, 0.308176, 0.251309)),
        (255 - G, G, (1.0, 0.0, 0.009838, 0.0, 0.308176, 0.0)),
    ],
    ids=["ordinary", "empty mask", "full mask", "zero map", "constant map", "inverse map"],
)
def test_figures_of_the_formula_pair(prediction, mask, values):
    figures = measure(prediction, mask).figures()
    names = ("MAE", "S", "wF", "adpF", "maxF", "adpE")
    assert [figures[name] for name in names] == pytest.approx(values, rel=0, abs=1e-6)


def test_a_perfect_map():
    figures = measure(G, G).figures()
    assert figures["MAE"] == 0
    best_e = G.size / (G.size - 1)  # the E-measure divides by N − 1
    expected = dict.fromkeys(("adpF", "maxF", "wF", "S"), 1.0) | {"adpE": best_e, "maxE": best_e}
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_masks_are_salient_above_128():
    mask = np.where(G > 0, 129, 128).astype(np.uint8)
    assert measure(P, mask).figures() == measure(P, G).figures()


def test_curves_run_from_the_highest_threshold_to_the_lowest():
    prediction = P.copy()
    prediction[5, 6] = 255  # with P's 0 the map spans all levels, and is not stretched
    curves = measure(prediction, G).curves()
    for threshold in (255, 200, 1, 0):
        marked = (prediction >= threshold).sum()
        hits = ((prediction >= threshold) & (G > 0)).sum()
        index = 255 - threshold
        assert curves["precision"][index] == pytest.approx(hits / marked, abs=1e-12)
        assert curves["recall"][index] == pytest.approx(hits / (G > 0).sum(), abs=1e-12)


def test_max_f_is_that_of_the_mean_curve():
    # The first map is perfect at any threshold but 0, the second only at 0, as its mask is full:
    # each has a maximum of 1, at thresholds of its own.
    half = np.array([[255, 0]] * 4, np.uint8)
    third, full = np.array([[255, 0, 0]] * 4, np.uint8), np.full((4, 3), 255, np.uint8)
    first_at_0 = 1.3 * 0.5 * 1 / (0.3 * 0.5 + 1)
    second_above_0 = 1.3 * 1 * (1 / 3) / (0.3 * 1 + 1 / 3)
    expected = max(first_at_0 + 1, 1 + second_above_0) / 2
    figures = total_of([(half, half), (third, full)]).figures()
    assert figures["maxF"] == pytest.approx(expected, abs=1e-12)


maps_8_bit = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).integers(0, 256, G.shape, dtype=np.uint8)
)


@settings(max_examples=25, deadline=None)
@given(prediction=maps_8_bit, other=maps_8_bit)
def test_mae_of_complements_and_of_exchanged_binary_maps(prediction, other):
    mae = measure(prediction, G).figures()["MAE"]
    assert measure(255 - prediction, 255 - G).figures()["MAE"] == pytest.approx(mae, abs=1e-12)
    binary = np.where(other > 128, 255, 0).astype(np.uint8)
    binary.flat[:2] = (0, 255)  # a constant map would not be stretched
    exchanged = measure(binary, G).figures()["MAE"]
    assert measure(G, binary).figures()["MAE"] == pytest.approx(exchanged, abs=1e-12)
    assert exchanged == pytest.approx(np.mean(binary != G), abs=1e-12)


MEASURED = [measure(prediction, mask) for prediction, mask in drawn_pairs()]


@settings(max_examples=50, deadline=None)
@given(order=st.permutations(range(len(MEASURED))), cut=st.integers(0, len(MEASURED)))
def test_order_and_grouping_do_not_matter(order, cut):
    parts = []
    for indices in (order[:cut], order[cut:]):
        part = Measurement.zero()
        for index in indices:
            part += MEASURED[index]
        parts.append(part)
    total = pickle.loads(pickle.dumps(parts[0])) + parts[1]
    assert total.images == len(MEASURED)
    in_order = sum(MEASURED[1:], MEASURED[0])
    assert total.figures() == pytest.approx(in_order.figures(), rel=0, abs=1e-12)


def test_memory_does_not_grow_with_images():
    prediction, mask = (np.tile(array, (10, 10)) for array in (P, G))
    total_of([(prediction, mask)] * 2)  # what is imported and cached on the way
    tracemalloc.start()
    total = total_of([(prediction, mask)] * 2)
    few, _ = tracemalloc.get_traced_memory()
    total += total_of([(prediction, mask)] * 20)
    gc.collect()
    many, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total.images == 22
    assert many - few < prediction.size  # less than one image as bytes


@pytest.mark.parametrize(
    ("prediction", "mask"),
    [(P / 255, G), (P, G > 0), (np.stack([P] * 3, -1), G), (P, G[None])],
    ids=["float map", "boolean mask", "colour map", "mask of three axes"],
)
def test_only_8_bit_grey_is_measured(prediction, mask):
    with pytest.raises(ValueError, match=r"expected uint8 \[H, W\]"):
        measure(prediction, mask)

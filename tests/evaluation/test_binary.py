"""The figures of maps cut at one half, from counts of pixels."""

import numpy as np
import pytest

from class_jax.evaluation.protocols import PROTOCOLS, measure, names_of
from tests.evaluation.test_protocols import G, P, drawn_pairs


def counted(prediction, mask):
    """The figures from their definitions, of maps and masks of one size."""
    low, high = int(prediction.min()), int(prediction.max())
    cut, salient = (prediction - float(low)) / (high - low) > 0.5, mask > 128
    tp, fp = np.sum(cut & salient), np.sum(cut & ~salient)
    fn, tn = np.sum(~cut & salient), np.sum(~cut & ~salient)
    return {
        "IoU": tp / (tp + fp + fn),
        "Dice": 2 * tp / (2 * tp + fp + fn),
        "BER": 1 - (tp / (tp + fn) + tn / (tn + fp)) / 2,
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "specificity": tn / (tn + fp),
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_all_figures_are_the_published_ones_and_those_of_the_cut_map(protocol):
    pairs = [pair for pair in drawn_pairs(12) if pair[0].shape == pair[1].shape]
    pairs = [(p, m) for p, m in pairs if p.min() < p.max() and m.min() < m.max()]
    pairs.append((P, G))
    found = [measure(*pair, protocol, metrics="all") for pair in pairs]
    figures = sum(found[1:], found[0]).figures()
    assert tuple(figures) == names_of("all")
    plain = [measure(*pair, protocol) for pair in pairs]
    published = sum(plain[1:], plain[0]).figures()
    assert {name: figures[name] for name in names_of("published")} == published
    expected = [counted(*pair) for pair in pairs]
    for name in expected[0]:
        mean = np.mean([values[name] for values in expected])
        assert figures[name] == pytest.approx(mean, rel=0, abs=1e-12), name

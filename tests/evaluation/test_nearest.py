"""Which salient pixel is nearest, ties included, against Octave's bwdist (image package 2.14)."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from class_jax.evaluation.nearest import nearest_salient

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "nearest_octave.npz")


def brute_force(salient):
    """Squared distance to the nearest salient pixel, [H, W]."""
    y, x = np.mgrid[: salient.shape[0], : salient.shape[1]]
    rows, columns = np.nonzero(salient)
    return ((y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2).min(axis=-1)


@pytest.mark.parametrize("index", range(6))
def test_ties_are_broken_as_octave_breaks_them(index):
    salient, expected = GOLDEN[f"mask{index}"], GOLDEN[f"nearest{index}"]
    _, rows, columns = nearest_salient(salient)
    asked_for = binary_dilation(salient, np.ones((7, 7)))  # as far as the smoothing reaches
    np.testing.assert_array_equal(rows[asked_for], expected[0][asked_for])
    np.testing.assert_array_equal(columns[asked_for], expected[1][asked_for])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 14),
    width=st.integers(1, 14),
    share=st.sampled_from((0.0, 0.05, 0.3, 1.0)),
)
def test_what_is_given_is_salient_and_nearest(seed, height, width, share):
    rng = np.random.default_rng(seed)
    salient = rng.random((height, width)) < share
    salient.flat[rng.integers(salient.size)] = True
    distances, rows, columns = nearest_salient(salient)
    y, x = np.mgrid[:height, :width]
    assert salient[rows, columns].all()
    np.testing.assert_array_equal((rows - y) ** 2 + (columns - x) ** 2, brute_force(salient))
    np.testing.assert_allclose(distances**2, brute_force(salient), atol=1e-9)

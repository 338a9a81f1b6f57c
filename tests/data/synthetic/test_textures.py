"""Patterns and palettes."""

import numpy as np
import pytest

from class_jax.data.synthetic.textures import (
    PATTERNS,
    Palette,
    apply_palette,
    draw_palette,
    draw_texture,
    render_pattern,
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_have_zero_mean_and_unit_deviation(pattern):
    rng = np.random.default_rng(0)
    texture = draw_texture(rng, pattern=pattern, palette=draw_palette(rng), periods=(5, 9))
    field = render_pattern(texture, 40, 96)
    assert field.dtype == np.float32
    assert field.mean() == pytest.approx(0, abs=1e-3)
    assert field.std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_keep_their_period_on_a_larger_frame(pattern):
    """Slope per pixel falls when the period grows, whatever the pattern."""
    rng = np.random.default_rng(1)

    def slope(period):
        texture = draw_texture(
            rng, pattern=pattern, palette=draw_palette(rng), periods=(period, period)
        )
        return np.abs(np.diff(render_pattern(texture, 96, 128))).mean()

    fine, coarse = (np.mean([slope(period) for _ in range(6)]) for period in (6, 18))
    assert fine > 1.5 * coarse


def test_colour_is_mean_plus_pattern_times_direction():
    palette = Palette(
        mean=np.array([10, 20, 30], np.float32), direction=np.array([1, 2, 4], np.float32)
    )
    coloured = apply_palette(np.array([[0, 1], [-2, 0.5]], np.float32), palette)
    assert coloured.shape == (3, 2, 2)
    np.testing.assert_allclose(coloured[:, 0, 1], [11, 22, 34])
    np.testing.assert_allclose(coloured[:, 1, 0], [8, 16, 22])

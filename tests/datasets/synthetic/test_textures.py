"""Patterns of textures."""

import numpy as np
import pytest

from datasets.synthetic.textures import (
    PATTERNS,
    draw_palette,
    draw_texture,
    render_pattern,
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_have_zero_mean_and_unit_deviation(pattern):
    rng = np.random.default_rng(0)
    texture = draw_texture(rng, pattern, draw_palette(rng), (0.125, 0.225), 40)
    field = render_pattern(texture, 40, 96)
    assert field.dtype == np.float32
    assert field.mean() == pytest.approx(0, abs=1e-3)
    assert field.std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_keep_their_period_on_a_larger_frame(pattern):
    """Slope per pixel falls when the period grows, whatever the pattern."""
    rng = np.random.default_rng(1)

    def slope(period):
        texture = draw_texture(rng, pattern, draw_palette(rng), (period, period), 1)
        return np.abs(np.diff(render_pattern(texture, 96, 128))).mean()

    fine, coarse = (np.mean([slope(period) for _ in range(6)]) for period in (6, 18))
    assert fine > 1.5 * coarse

"""Measurements whose figures are known by construction."""

import numpy as np

from class_jax.evaluation.protocols import PROTOCOLS, Measurement, names_of

FIGURES = names_of("published")
AVERAGED = ("adpF", "wF", "S", "adpE", "MAE")  # over images


def measurement_of(values, curves, *, images=1, protocol="pysod"):
    """Sums over images whose means are `values`, [...] each, and `curves`, [..., 256] each."""
    stacked = [np.asarray(values[name])[..., None] for name in AVERAGED]
    means = np.concatenate([*stacked, *(curves[n] for n in PROTOCOLS[protocol].CURVES)], axis=-1)
    return Measurement(protocol, FIGURES, images, means * images)


def images_of(protocol="pysod", images=60, seed=0):
    """Measurements of images that have something in common, one a row."""
    rng = np.random.default_rng(seed)
    skill = rng.beta(8, 2, images)
    values = {name: skill * rng.uniform(0.8, 1, images) for name in AVERAGED}
    shape = 1 - (np.linspace(-1, 1, 256) - rng.normal(0, 0.2, (images, 1))) ** 2
    curves = {
        name: skill[:, None] * shape.clip(0) * rng.uniform(0.9, 1, (images, 1))
        for name in PROTOCOLS[protocol].CURVES
    }
    return measurement_of(values, curves, protocol=protocol)

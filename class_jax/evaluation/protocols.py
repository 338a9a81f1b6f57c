"""The figures of a map against its mask, by two protocols that give different numbers.

A metric is an entry of METRICS, and a protocol one of PROTOCOLS; all metrics are PySODMetrics'.
"""

import dataclasses
import functools
import importlib.metadata
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import py_sod_metrics as sod
from py_sod_metrics.utils import prepare_data

from class_jax.data.check import BETA2
from class_jax.data.resize import resize_bicubic, resize_bilinear

NUM_THRESHOLDS = 256
PUBLISHED, ALL = "published", "all"

Curves = Mapping[str, np.ndarray]  # "F", "E", "precision", "recall": [..., 256]; 255 comes first
Figures = dict[str, float]  # one value for each name of `names_of`


class Pysod:
    """A map beside its mask by `pysod`, which is PySODMetrics on a map of its mask's size."""

    DESCRIPTION: ClassVar = f"PySODMetrics {importlib.metadata.version('pysodmetrics')}"
    KEPT: ClassVar[tuple[str, ...]] = ("F", "E")  # the curves that figures are taken from

    def __init__(self, stretched: np.ndarray, salient: np.ndarray) -> None:
        """Store a map in 0–1 and its mask, bool, [H, W] both, as `fit` gives them."""
        self.stretched, self.salient = stretched, salient
        self._e_metric = sod.Emeasure()

    @staticmethod
    def fit(prediction: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return a map, uint8 [h, w], in 0–1 at the size of its mask, and the mask as bool.

        None: the image is not measured, and counts as 0 in every metric.
        """
        if prediction.shape != mask.shape:
            prediction = resize_bilinear(prediction, *mask.shape)
        return prepare_data(prediction, mask)  # once instead of once in each metric

    def run(self, metric: Any) -> dict:
        """Run a new metric on the image; one that is kept would store every image."""
        metric.step(self.stretched, self.salient, normalize=False)
        return metric.get_results()

    @functools.cached_property
    def counted(self) -> dict:
        """Return F (β² = 0.3) and its curves from one count of pixels."""
        handlers = {
            "F": sod.FmeasureHandler(with_dynamic=True, with_adaptive=True),
            "precision": sod.PrecisionHandler(with_dynamic=True, with_adaptive=False),
            "recall": sod.RecallHandler(with_dynamic=True, with_adaptive=False),
        }
        return self.run(sod.FmeasureV2(handlers))

    def cut(self, handler: type) -> float:
        """Return a binary metric, one of PySODMetrics' handlers, of the map cut at one half."""
        binary = handler(with_dynamic=False, with_adaptive=False, with_binary=True)
        return self.run(sod.FmeasureV2({"": binary}))[""]["binary"]

    @functools.cached_property
    def e_measure(self) -> dict:
        """Return adaptive E and its curve."""
        return self.run(self._e_metric)["em"]

    def adaptive_e(self) -> float:
        """Return E at the threshold min(2 · mean, 1)."""
        return self.e_measure["adp"]

    def structure(self) -> float:
        """Return S, at least 0; NaN if the mask's centre of mass is in the last row or column."""
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            return self.run(sod.Smeasure())["sm"]

    def curves(self) -> Curves:
        """Return the curves of the image."""
        counted = {name: self.counted[name]["dynamic"] for name in ("F", "precision", "recall")}
        return {"F": counted["F"], "E": self.e_measure["curve"], **counted}

    @staticmethod
    def complete(curves: Curves) -> Curves:
        """Return averaged curves of KEPT with that of F."""
        return curves


class Matlab(Pysod):
    """A map beside its mask by `matlab`, the scripts that the paper's figures come from.

    An image whose map or mask has no salient pixel adds 0 to every sum and still counts; F is taken
    from averaged precision and recall.
    """

    DESCRIPTION: ClassVar = "as the scripts behind published figures"
    KEPT: ClassVar[tuple[str, ...]] = ("precision", "recall", "E")

    @staticmethod
    def fit(prediction: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the map in 0–1, resized bicubically, and what is above half the mask's range.

        None: one of them has no salient pixel.
        """
        if prediction.shape != mask.shape:
            prediction = resize_bicubic(prediction, *mask.shape)
        stretched, salient = _stretch(prediction), _stretch(mask) >= 0.5
        return (stretched, salient) if stretched.any() and salient.any() else None

    def adaptive_e(self) -> float:
        """Return E strictly above the threshold 2 · mean, which is not limited to 1."""
        threshold = np.nextafter(2 * self.stretched.mean(), np.inf)
        assert self.e_measure  # the metric has counted the mask
        return self._e_metric.cal_em_with_threshold(self.stretched, self.salient, threshold)

    def structure(self) -> float:
        """Return S, which may be negative."""
        if self.salient.all():
            return super().structure()
        metric = sod.Smeasure()
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            of_object = metric.object(self.stretched, self.salient)
            of_region = metric.region(self.stretched, self.salient)
        return metric.alpha * of_object + (1 - metric.alpha) * of_region

    @staticmethod
    def complete(curves: Curves) -> Curves:
        """Return the curves with F = (1 + β²)·P·R / (β²·P + R) of averaged P and R, β² = 0.3."""
        precision, recall = curves["precision"], curves["recall"]
        both = BETA2 * precision + recall
        f = np.divide((1 + BETA2) * precision * recall, both, where=both > 0, out=both)
        return {**curves, "F": f}


PYSOD, MATLAB = "pysod", "matlab"
PROTOCOLS = {PYSOD: Pysod, MATLAB: Matlab}


class Metric(NamedTuple):
    """The origin of a figure: one of two ways."""

    measure: Callable[[Any], float] | None = None  # of an image; averaged over images
    curve: tuple[str, Callable[..., np.ndarray]] | None = None  # averaged, and np.max or np.mean
    lower_is_better: bool = False
    printed: str = PUBLISHED  # or ALL: with all metrics only


METRICS = {
    "adpF": Metric(lambda image: image.counted["F"]["adaptive"]),
    "meanF": Metric(curve=("F", np.mean)),
    "maxF": Metric(curve=("F", np.max)),
    "wF": Metric(lambda image: image.run(sod.WeightedFmeasure())["wfm"]),
    "S": Metric(lambda image: image.structure()),
    "adpE": Metric(lambda image: image.adaptive_e()),
    "meanE": Metric(curve=("E", np.mean)),
    "maxE": Metric(curve=("E", np.max)),
    "MAE": Metric(lambda image: image.run(sod.MAE())["mae"], lower_is_better=True),
    "IoU": Metric(lambda image: image.cut(sod.IOUHandler), printed=ALL),
    "Dice": Metric(lambda image: image.cut(sod.DICEHandler), printed=ALL),
    "BER": Metric(lambda image: image.cut(sod.BERHandler), lower_is_better=True, printed=ALL),
    "precision": Metric(lambda image: image.cut(sod.PrecisionHandler), printed=ALL),
    "recall": Metric(lambda image: image.cut(sod.RecallHandler), printed=ALL),
    "specificity": Metric(lambda image: image.cut(sod.SpecificityHandler), printed=ALL),
}


def names_of(metrics: str) -> tuple[str, ...]:
    """Return the names of the figures that are "published", or of "all"."""
    return tuple(name for name, metric in METRICS.items() if metrics in (metric.printed, ALL))


@dataclasses.dataclass(frozen=True, eq=False)
class Measurement:
    """Sums over images from which the figures are computed; sums add up, so memory is bounded."""

    protocol: str
    names: tuple[str, ...]  # of the figures
    images: int
    values: dict[str, float]  # of the metrics that are averaged over images
    sums: dict[str, np.ndarray]  # of the curves, float64 [256]; index 0 is the threshold 255

    @classmethod
    def zero(cls, protocol: str = PYSOD, metrics: str = PUBLISHED, *, images: int = 0) -> Self:
        """Return the sums over no images, or over some that count as 0."""
        names = names_of(metrics)
        values = {name: 0.0 for name in names if METRICS[name].curve is None}
        curves = {name: np.zeros(NUM_THRESHOLDS) for name in ("F", "E", "precision", "recall")}
        return cls(protocol, names, images, values, curves)

    def __add__(self, other: "Measurement") -> "Measurement":
        """Return the sums over both sets of images."""
        return Measurement(
            self.protocol,
            self.names,
            self.images + other.images,
            {name: value + other.values[name] for name, value in self.values.items()},
            {name: curve + other.sums[name] for name, curve in self.sums.items()},
        )

    def figures(self) -> Figures:
        """Return the figures, averaged over the images (at least one)."""
        averaged: dict[str, Any] = {n: total / self.images for n, total in self.values.items()}
        averaged |= figures_of(self.curves(), self.names)
        return {name: float(averaged[name]) for name in self.names}

    def curves(self) -> dict[str, np.ndarray]:
        """Return the averaged curves F, E, precision and recall, float64 [256]."""
        averaged = {name: curve / self.images for name, curve in self.sums.items()}
        return dict(PROTOCOLS[self.protocol].complete(averaged))


def figures_of(curves: Curves, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return those of the named figures that are taken from averaged curves, [...] each."""
    taken = ((name, METRICS[name].curve) for name in names)
    return {name: of[1](curves[of[0]], axis=-1) for name, of in taken if of}


def measure(
    prediction: np.ndarray, mask: np.ndarray, protocol: str = PYSOD, *, metrics: str = PUBLISHED
) -> Measurement:
    """Measure one map by a protocol.

    Args:
      prediction: the map, uint8 [h, w]; resized to the mask's size, bilinearly (`pysod`) or
        bicubically with antialiasing (`matlab`).
      mask: uint8 [H, W]; salient above 128 (`pysod`) or from half of its range (`matlab`).
      protocol: one of PROTOCOLS.
      metrics: "published" or "all".

    Raises:
      ValueError: an array is not uint8 with two axes, or the mask is a single pixel, for which
        PySODMetrics' E has no value.
    """
    for array in (prediction, mask):
        if array.dtype != np.uint8 or array.ndim != 2:
            raise ValueError(f"expected uint8 [H, W], got {array.dtype} {list(array.shape)}")
    if mask.size == 1:
        raise ValueError("a mask of one pixel cannot be scored: E divides by the pixels less one")
    fitted = PROTOCOLS[protocol].fit(prediction, mask)
    if fitted is None:
        return Measurement.zero(protocol, metrics, images=1)
    image, names = PROTOCOLS[protocol](*fitted), names_of(metrics)
    metrics_of_image = ((name, METRICS[name].measure) for name in names)
    values = {name: float(metric(image)) for name, metric in metrics_of_image if metric}
    return Measurement(protocol, names, 1, values, dict(image.curves()))


def _stretch(levels: np.ndarray) -> np.ndarray:
    """Stretch uint8 to 0–1 as mat2gray; a constant image is clamped to 0 or 1."""
    low, high = int(levels.min()), int(levels.max())
    if low == high:
        return np.minimum(levels, 1).astype(np.float64)
    # Times the reciprocal, as in Octave: the last bit decides on which side of a threshold it is.
    return (levels - float(low)) * (1 / (high - low))

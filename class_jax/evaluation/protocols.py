"""The figures of a map against its mask, by two protocols that give different numbers.

A metric is an entry of METRICS, and a protocol one of PROTOCOLS; all metrics are PySODMetrics'.
"""

import dataclasses
import functools
import importlib.metadata
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import py_sod_metrics as sod
from py_sod_metrics.utils import prepare_data

from class_jax.data.check import BETA2
from class_jax.data.resize import resize_bicubic, resize_bilinear

NUM_THRESHOLDS = 256
PUBLISHED, ALL = "published", "all"

Curves = Mapping[str, np.ndarray]  # "F", "E", "precision", "recall": [..., 256]; 255 comes first
Figures = Mapping[str, Any]  # a float, or an array of several means, for each name of `names_of`


class Pysod:
    """A map beside its mask by `pysod`, which is PySODMetrics on a map of its mask's size."""

    DESCRIPTION: ClassVar = f"PySODMetrics {importlib.metadata.version('pysodmetrics')}"
    CURVES: ClassVar[tuple[str, ...]] = ("F", "E", "precision", "recall")
    KEPT: ClassVar = 2  # figures are taken from so many of the curves, the first ones

    def __init__(self, stretched: np.ndarray, salient: np.ndarray) -> None:
        """Store a map in 0–1 and its mask, bool, [H, W] both, as `fit` gives them."""
        self.stretched, self.salient = stretched, salient

    @staticmethod
    def fit(prediction: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return a map, uint8 [h, w], in 0–1 at the size of its mask, and the mask as bool.

        None: the image is not measured, and counts as 0 in every metric.
        """
        # Once instead of once in each metric.
        return prepare_data(resize_bilinear(prediction, *mask.shape), mask)

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
        """Return E at the threshold min(2 · mean, 1) and its curve."""
        return self.run(sod.Emeasure())["em"]

    def structure(self) -> float:
        """Return S, at least 0; NaN if the mask's centre of mass is in the last row or column."""
        return self.run(sod.Smeasure())["sm"]

    def curves(self) -> list[np.ndarray]:
        """Return the curves of the image in the order of CURVES, [256] each."""
        counted = {name: found["dynamic"] for name, found in self.counted.items()}
        return [{"E": self.e_measure["curve"], **counted}[name] for name in self.CURVES]


class Matlab(Pysod):
    """A map beside its mask by `matlab`, the scripts that the paper's figures come from.

    An image whose map or mask has no salient pixel adds 0 to every sum and still counts; F is taken
    from averaged precision and recall.
    """

    DESCRIPTION: ClassVar = "as the scripts behind published figures"
    CURVES: ClassVar[tuple[str, ...]] = ("E", "precision", "recall")
    KEPT: ClassVar = 3

    @staticmethod
    def fit(prediction: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the map in 0–1, resized bicubically, and what is above half the mask's range.

        None: one of them has no salient pixel.
        """
        if prediction.shape != mask.shape:
            prediction = resize_bicubic(prediction, *mask.shape)
        stretched, salient = _stretch(prediction), _stretch(mask) >= 0.5
        return (stretched, salient) if stretched.any() and salient.any() else None

    @functools.cached_property
    def e_measure(self) -> dict:
        """Return E strictly above the threshold 2 · mean, not limited to 1, and its curve."""
        metric, above = sod.Emeasure(), np.nextafter(2 * self.stretched.mean(), np.inf)
        found = self.run(metric)["em"]
        return found | {"adp": metric.cal_em_with_threshold(self.stretched, self.salient, above)}

    def structure(self) -> float:
        """Return S, which may be negative."""
        if self.salient.all():
            return super().structure()
        metric = sod.Smeasure()
        of_object = metric.object(self.stretched, self.salient)
        of_region = metric.region(self.stretched, self.salient)
        return metric.alpha * of_object + (1 - metric.alpha) * of_region


PYSOD, MATLAB = "pysod", "matlab"
PROTOCOLS = {PYSOD: Pysod, MATLAB: Matlab}


class Metric(NamedTuple):
    """A figure: measured of each image and averaged, or taken from an averaged curve."""

    take: Callable[..., Any]  # of an image; or np.max or np.mean, of a curve
    curve: str = ""
    lower_is_better: bool = False
    printed: str = PUBLISHED  # or ALL: with all metrics only


METRICS = {
    "adpF": Metric(lambda image: image.counted["F"]["adaptive"]),
    "meanF": Metric(np.mean, "F"),
    "maxF": Metric(np.max, "F"),
    "wF": Metric(lambda image: image.run(sod.WeightedFmeasure())["wfm"]),
    "S": Metric(lambda image: image.structure()),
    "adpE": Metric(lambda image: image.e_measure["adp"]),
    "meanE": Metric(np.mean, "E"),
    "maxE": Metric(np.max, "E"),
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
    """Measured values of an image, sums over several, or an array of either.

    Sums add up, and the figures are computed from them, so memory is bounded.
    """

    protocol: str
    names: tuple[str, ...]  # of the figures
    images: int  # that were added up
    sums: np.ndarray  # float64 [..., K]: metrics that are averaged over images, then curves

    @classmethod
    def zero(cls, protocol: str = PYSOD, metrics: str = PUBLISHED, *, images: int = 0) -> Self:
        """Return the sums over no images, or over some that count as 0."""
        names = names_of(metrics)
        curves = NUM_THRESHOLDS * len(PROTOCOLS[protocol].CURVES)
        return cls(protocol, names, images, np.zeros(_count_averaged(names) + curves))

    def __add__(self, other: "Measurement") -> "Measurement":
        """Return the sums over both sets of images."""
        images, sums = self.images + other.images, self.sums + other.sums
        return dataclasses.replace(self, images=images, sums=sums)

    def kept(self) -> np.ndarray:
        """Return the first of `sums`, from which figures are taken."""
        curves = NUM_THRESHOLDS * PROTOCOLS[self.protocol].KEPT
        return self.sums[: _count_averaged(self.names) + curves].copy()

    def figures(self) -> dict[str, Any]:
        """Return the figures, averaged over the images (at least one): [...] each."""
        averaged = self.sums[..., : _count_averaged(self.names)] / self.images
        curves, values = self.curves(), iter(np.moveaxis(averaged, -1, 0))
        metrics = {name: METRICS[name] for name in self.names}
        return {
            name: metric.take(curves[metric.curve], axis=-1) if metric.curve else next(values)
            for name, metric in metrics.items()
        }

    def curves(self) -> Curves:
        """Return the averaged curves, [..., 256] each, that are not left out by `kept`.

        By `matlab`, F = (1 + β²)·P·R / (β²·P + R) of averaged P and R, β² = 0.3.
        """
        joined = self.sums[..., _count_averaged(self.names) :] / self.images
        split = np.moveaxis(joined.reshape(*joined.shape[:-1], -1, NUM_THRESHOLDS), -2, 0)
        curves = dict(zip(PROTOCOLS[self.protocol].CURVES, split, strict=False))
        if "F" in curves:
            return curves
        precision, recall = curves["precision"], curves["recall"]
        both = BETA2 * precision + recall
        f = np.divide((1 + BETA2) * precision * recall, both, where=both > 0, out=both)
        return {"F": f, **curves}


def _count_averaged(names: tuple[str, ...]) -> int:
    """Return how many of the figures are averaged over images."""
    return sum(not METRICS[name].curve for name in names)


def measure(
    prediction: np.ndarray, mask: np.ndarray, protocol: str = PYSOD, *, metrics: str = PUBLISHED
) -> Measurement:
    """Measure one map by a protocol.

    Args:
      prediction: the map, uint8 [h, w]; resized to the mask's size, bilinearly (`pysod`) or
        bicubically with antialiasing (`matlab`).
      mask: uint8 [H, W]; salient above 128 (`pysod`) or from half of its range (`matlab`); of two
        pixels or more, as E divides by their number less one.
      protocol: one of PROTOCOLS.
      metrics: "published" or "all".

    Raises:
      ValueError: an array is not uint8 with two axes.
    """
    for array in (prediction, mask):
        if array.dtype != np.uint8 or array.ndim != 2:
            raise ValueError(f"expected uint8 [H, W], got {array.dtype} {list(array.shape)}")
    zero = Measurement.zero(protocol, metrics, images=1)
    fitted = PROTOCOLS[protocol].fit(prediction, mask)
    if fitted is None:
        return zero
    image = PROTOCOLS[protocol](*fitted)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # of S
        values = [METRICS[n].take(image) for n in zero.names if not METRICS[n].curve]
    return dataclasses.replace(zero, sums=np.concatenate([values, *image.curves()]))


def _stretch(levels: np.ndarray) -> np.ndarray:
    """Stretch uint8 to 0–1 as mat2gray; a constant image is clamped to 0 or 1."""
    low, high = int(levels.min()), int(levels.max())
    if low == high:
        return np.minimum(levels, 1).astype(np.float64)
    # Times the reciprocal, as in Octave: the last bit decides on which side of a threshold it is.
    return (levels - float(low)) * (1 / (high - low))

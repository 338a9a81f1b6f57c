"""The figures of a map against its mask, by two protocols that give different numbers.

- `pysod` (the default): PySODMetrics on a map resized to its mask's size.
- `matlab`: the scripts that the paper's figures come from. An image whose map or mask has no
  salient pixel adds 0 to every sum and still counts; F is taken from averaged precision and recall.

The only file that imports py_sod_metrics.
"""

import dataclasses
import importlib.metadata
import warnings
from typing import Any, Self

import numpy as np
from py_sod_metrics import (
    MAE,
    Emeasure,
    FmeasureHandler,
    FmeasureV2,
    PrecisionHandler,
    RecallHandler,
    Smeasure,
    WeightedFmeasure,
)
from py_sod_metrics.utils import prepare_data

from class_jax.data.resize import resize_bicubic, resize_bilinear

PYSOD, MATLAB = PROTOCOLS = ("pysod", "matlab")
PYSOD_VERSION = importlib.metadata.version("pysodmetrics")
FIGURES = ("adpF", "meanF", "maxF", "wF", "S", "adpE", "meanE", "maxE", "MAE")
NUM_THRESHOLDS = 256
BETA2 = 0.3

Figures = dict[str, float]  # one value for each name in FIGURES


@dataclasses.dataclass(frozen=True, eq=False)
class Measurement:
    """Sums over images from which the figures are computed.

    Measurements add up, so memory does not grow with the number of images. Curves are float64
    [256]; index 0 is the threshold 255.
    """

    images: int
    adaptive_f: float
    weighted_f: float
    s: float
    adaptive_e: float
    mae: float
    f_curve: np.ndarray
    e_curve: np.ndarray
    precision_curve: np.ndarray
    recall_curve: np.ndarray

    @classmethod
    def zero(cls) -> Self:
        """Return the sum over no images."""
        return cls(0, 0.0, 0.0, 0.0, 0.0, 0.0, *np.zeros((4, NUM_THRESHOLDS)))

    def __add__(self, other: "Measurement") -> "Measurement":
        """Return the sums over both sets of images."""
        names = (field.name for field in dataclasses.fields(self))
        return type(self)(*(getattr(self, name) + getattr(other, name) for name in names))

    def mean_f_curve(self) -> np.ndarray:
        """Return F at each threshold, averaged over the images: float64 [256]."""
        return self.f_curve / self.images

    def figures(self) -> Figures:
        """Return the nine figures, averaged over the images (at least one).

        maxF is the largest value of `mean_f_curve`, meanF its mean over the thresholds; E likewise.
        """
        f_curve, e_curve = self.mean_f_curve(), self.e_curve / self.images
        return {
            "adpF": self.adaptive_f / self.images,
            "meanF": float(f_curve.mean()),
            "maxF": float(f_curve.max()),
            "wF": self.weighted_f / self.images,
            "S": self.s / self.images,
            "adpE": self.adaptive_e / self.images,
            "meanE": float(e_curve.mean()),
            "maxE": float(e_curve.max()),
            "MAE": self.mae / self.images,
        }

    def curves(self) -> dict[str, np.ndarray]:
        """Return the averaged curves F, E, precision and recall, float64 [256]."""
        return {
            "F": self.mean_f_curve(),
            "E": self.e_curve / self.images,
            "precision": self.precision_curve / self.images,
            "recall": self.recall_curve / self.images,
        }


class MatlabMeasurement(Measurement):
    """Sums for `matlab`, whose F is that of averaged precision and recall."""

    def mean_f_curve(self) -> np.ndarray:
        """Return F = (1 + β²)·P·R / (β²·P + R) of averaged P and R, β² = 0.3."""
        precision, recall = self.precision_curve / self.images, self.recall_curve / self.images
        both = BETA2 * precision + recall
        return np.divide((1 + BETA2) * precision * recall, both, where=both > 0, out=both)


MEASUREMENTS = {PYSOD: Measurement, MATLAB: MatlabMeasurement}


def measure(prediction: np.ndarray, mask: np.ndarray, protocol: str = PYSOD) -> Measurement:
    """Measure one map by a protocol.

    As in PySODMetrics, S is NaN if the mask's centre of mass lies in the last row or column.

    Args:
      prediction: the map, uint8 [h, w]; resized to the mask's size, bilinearly (`pysod`) or
        bicubically with antialiasing (`matlab`).
      mask: uint8 [H, W]; salient above 128 (`pysod`) or from half of its range (`matlab`).
      protocol: one of PROTOCOLS.

    Raises:
      ValueError: an array is not uint8 with two axes.
    """
    for array in (prediction, mask):
        if array.dtype != np.uint8 or array.ndim != 2:
            raise ValueError(f"expected uint8 [H, W], got {array.dtype} {list(array.shape)}")
    return _measure_matlab(prediction, mask) if protocol == MATLAB else _measure(prediction, mask)


def _measure(prediction: np.ndarray, mask: np.ndarray) -> Measurement:
    """Measure by `pysod`."""
    if prediction.shape != mask.shape:
        prediction = resize_bilinear(prediction, *mask.shape)
    # Normalised once here instead of once in each metric.
    stretched, salient = prepare_data(prediction, mask)
    e_measure = _run_metric(Emeasure(), stretched, salient)["em"]
    return Measurement(
        s=_measure_s(stretched, salient),
        adaptive_e=float(e_measure["adp"]),
        e_curve=e_measure["curve"],
        **_measure_common(stretched, salient),
    )


def _measure_matlab(prediction: np.ndarray, mask: np.ndarray) -> Measurement:
    """Measure by `matlab`."""
    if prediction.shape != mask.shape:
        prediction = resize_bicubic(prediction, *mask.shape)
    stretched, salient = _stretch(prediction), _stretch(mask) >= 0.5
    if not stretched.any() or not salient.any():
        return dataclasses.replace(MatlabMeasurement.zero(), images=1)
    e_measure = Emeasure()
    e_curve = _run_metric(e_measure, stretched, salient)["em"]["curve"]
    # Strictly above the threshold, which is not clamped to 1.
    threshold = np.nextafter(2 * stretched.mean(), np.inf)
    return MatlabMeasurement(
        s=_measure_s(stretched, salient, clip=False),
        adaptive_e=float(e_measure.cal_em_with_threshold(stretched, salient, threshold)),
        e_curve=e_curve,
        **_measure_common(stretched, salient),
    )


def _measure_common(stretched: np.ndarray, salient: np.ndarray) -> dict[str, Any]:
    """Return the sums that both protocols share, of a map in 0–1 and a boolean mask."""
    f_measure = _run_metric(_make_f_measure(), stretched, salient)
    return {
        "images": 1,
        "mae": float(_run_metric(MAE(), stretched, salient)["mae"]),
        "weighted_f": float(_run_metric(WeightedFmeasure(), stretched, salient)["wfm"]),
        "adaptive_f": float(f_measure["F"]["adaptive"]),
        "f_curve": f_measure["F"]["dynamic"],
        "precision_curve": f_measure["precision"]["dynamic"],
        "recall_curve": f_measure["recall"]["dynamic"],
    }


def _stretch(levels: np.ndarray) -> np.ndarray:
    """Stretch uint8 to 0–1 as mat2gray; a constant image is clamped to 0 or 1."""
    low, high = int(levels.min()), int(levels.max())
    if low == high:
        return np.minimum(levels, 1).astype(np.float64)
    # Times the reciprocal, as in Octave: the last bit decides on which side of a threshold it is.
    return (levels - float(low)) * (1 / (high - low))


def _measure_s(stretched: np.ndarray, salient: np.ndarray, *, clip: bool = True) -> float:
    """Return S, clipped at 0 if `clip`."""
    metric = Smeasure()
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # if S is NaN
        if clip or salient.all():
            return float(_run_metric(metric, stretched, salient)["sm"])
        parts = metric.object(stretched, salient), metric.region(stretched, salient)
    return float(metric.alpha * parts[0] + (1 - metric.alpha) * parts[1])


def _run_metric(metric: Any, stretched: np.ndarray, salient: np.ndarray) -> dict:
    """Run a new metric on one image; one that is kept would store every image."""
    metric.step(stretched, salient, normalize=False)
    return metric.get_results()


def _make_f_measure() -> FmeasureV2:
    """Make a metric for F (β² = 0.3) and its curves from a single pair of histograms."""
    return FmeasureV2(
        {
            "F": FmeasureHandler(with_dynamic=True, with_adaptive=True),
            "precision": PrecisionHandler(with_dynamic=True, with_adaptive=False),
            "recall": RecallHandler(with_dynamic=True, with_adaptive=False),
        }
    )

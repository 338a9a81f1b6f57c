"""The figures of a map against its mask, by two protocols that give different numbers.

- `pysod` (the default): PySODMetrics on a map resized to its mask's size.
- `matlab`: the scripts that the paper's figures come from. An image whose map or mask has no
  salient pixel adds 0 to every sum and still counts; F is taken from averaged precision and recall.

The only file that imports py_sod_metrics.
"""

import dataclasses
import importlib.metadata
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from py_sod_metrics import (
    MAE,
    BERHandler,
    DICEHandler,
    Emeasure,
    FmeasureHandler,
    FmeasureV2,
    IOUHandler,
    PrecisionHandler,
    RecallHandler,
    Smeasure,
    SpecificityHandler,
    WeightedFmeasure,
)
from py_sod_metrics.utils import prepare_data

from class_jax.data.check import BETA2
from class_jax.data.resize import resize_bicubic, resize_bilinear

PYSOD, MATLAB = PROTOCOLS = ("pysod", "matlab")
PYSOD_VERSION = importlib.metadata.version("pysodmetrics")
FIGURES = ("adpF", "meanF", "maxF", "wF", "S", "adpE", "meanE", "maxE", "MAE")
BINARY = {  # of the map cut at one half
    "IoU": IOUHandler,
    "Dice": DICEHandler,
    "BER": BERHandler,
    "precision": PrecisionHandler,
    "recall": RecallHandler,
    "specificity": SpecificityHandler,
}
PUBLISHED, ALL = "published", "all"
METRICS = {PUBLISHED: FIGURES, ALL: (*FIGURES, *BINARY)}
LOWER_IS_BETTER = {"MAE", "BER"}
NUM_THRESHOLDS = 256

Figures = dict[str, float]  # one value for each name of some METRICS


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
    binary: np.ndarray  # float64, one for each name in BINARY, or none

    CURVES: ClassVar[tuple[str, ...]] = ("f_curve", "e_curve")  # those that figures are taken from

    @classmethod
    def zero(cls, metrics: str = PUBLISHED) -> Self:
        """Return the sum over no images."""
        binary = np.zeros(len(METRICS[metrics]) - len(FIGURES))
        return cls(0, 0.0, 0.0, 0.0, 0.0, 0.0, *(*np.zeros((4, NUM_THRESHOLDS)), binary))

    def __add__(self, other: "Measurement") -> "Measurement":
        """Return the sums over both sets of images."""
        names = (field.name for field in dataclasses.fields(self))
        return type(self)(*(getattr(self, name) + getattr(other, name) for name in names))

    @staticmethod
    def f_of(curves: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return F at each threshold from averaged CURVES, [..., 256] each."""
        return curves["f_curve"]

    @classmethod
    def figures_of(cls, curves: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the figures that are taken from averaged CURVES, [..., 256] each: [...].

        maxF is the largest value of F's curve, meanF its mean over the thresholds; E likewise.
        """
        f, e = cls.f_of(curves), curves["e_curve"]
        return {
            "meanF": f.mean(axis=-1),
            "maxF": f.max(axis=-1),
            "meanE": e.mean(axis=-1),
            "maxE": e.max(axis=-1),
        }

    def figures(self) -> Figures:
        """Return the figures, averaged over the images (at least one)."""
        averaged = self.figures_of(self._average_curves())
        figures = {
            "adpF": self.adaptive_f,
            "wF": self.weighted_f,
            "S": self.s,
            "adpE": self.adaptive_e,
            "MAE": self.mae,
            **dict(zip(BINARY, self.binary, strict=False)),
        }
        averaged |= {name: total / self.images for name, total in figures.items()}
        names = METRICS[ALL if len(self.binary) else PUBLISHED]
        return {name: float(averaged[name]) for name in names}

    def _average_curves(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) / self.images for name in self.CURVES}

    def curves(self) -> dict[str, np.ndarray]:
        """Return the averaged curves F, E, precision and recall, float64 [256]."""
        return {
            "F": self.f_of(self._average_curves()),
            "E": self.e_curve / self.images,
            "precision": self.precision_curve / self.images,
            "recall": self.recall_curve / self.images,
        }


class MatlabMeasurement(Measurement):
    """Sums for `matlab`, whose F is that of averaged precision and recall."""

    CURVES: ClassVar[tuple[str, ...]] = ("precision_curve", "recall_curve", "e_curve")

    @staticmethod
    def f_of(curves: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return F = (1 + β²)·P·R / (β²·P + R) of averaged P and R, β² = 0.3."""
        precision, recall = curves["precision_curve"], curves["recall_curve"]
        both = BETA2 * precision + recall
        return np.divide((1 + BETA2) * precision * recall, both, where=both > 0, out=both)


MEASUREMENTS = {PYSOD: Measurement, MATLAB: MatlabMeasurement}


def measure(
    prediction: np.ndarray, mask: np.ndarray, protocol: str = PYSOD, *, metrics: str = PUBLISHED
) -> Measurement:
    """Measure one map by a protocol.

    As in PySODMetrics, S is NaN if the mask's centre of mass lies in the last row or column.

    Args:
      prediction: the map, uint8 [h, w]; resized to the mask's size, bilinearly (`pysod`) or
        bicubically with antialiasing (`matlab`).
      mask: uint8 [H, W]; salient above 128 (`pysod`) or from half of its range (`matlab`).
      protocol: one of PROTOCOLS.
      metrics: one of METRICS.

    Raises:
      ValueError: an array is not uint8 with two axes.
    """
    for array in (prediction, mask):
        if array.dtype != np.uint8 or array.ndim != 2:
            raise ValueError(f"expected uint8 [H, W], got {array.dtype} {list(array.shape)}")
    run = _measure_matlab if protocol == MATLAB else _measure
    return run(prediction, mask, metrics)


def _measure(prediction: np.ndarray, mask: np.ndarray, metrics: str) -> Measurement:
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
        **_measure_common(stretched, salient, metrics),
    )


def _measure_matlab(prediction: np.ndarray, mask: np.ndarray, metrics: str) -> Measurement:
    """Measure by `matlab`."""
    if prediction.shape != mask.shape:
        prediction = resize_bicubic(prediction, *mask.shape)
    stretched, salient = _stretch(prediction), _stretch(mask) >= 0.5
    if not stretched.any() or not salient.any():
        return dataclasses.replace(MatlabMeasurement.zero(metrics), images=1)
    e_measure = Emeasure()
    e_curve = _run_metric(e_measure, stretched, salient)["em"]["curve"]
    # Strictly above the threshold, which is not clamped to 1.
    threshold = np.nextafter(2 * stretched.mean(), np.inf)
    return MatlabMeasurement(
        s=_measure_s(stretched, salient, clip=False),
        adaptive_e=float(e_measure.cal_em_with_threshold(stretched, salient, threshold)),
        e_curve=e_curve,
        **_measure_common(stretched, salient, metrics),
    )


def _measure_common(stretched: np.ndarray, salient: np.ndarray, metrics: str) -> dict[str, Any]:
    """Return the sums that both protocols share, of a map in 0–1 and a boolean mask."""
    binary = BINARY if metrics == ALL else {}
    f_measure = _run_metric(_make_f_measure(binary), stretched, salient)
    return {
        "images": 1,
        "mae": float(_run_metric(MAE(), stretched, salient)["mae"]),
        "weighted_f": float(_run_metric(WeightedFmeasure(), stretched, salient)["wfm"]),
        "adaptive_f": float(f_measure["F"]["adaptive"]),
        "f_curve": f_measure["F"]["dynamic"],
        "precision_curve": f_measure["P"]["dynamic"],
        "recall_curve": f_measure["R"]["dynamic"],
        "binary": np.array([f_measure[name]["binary"] for name in binary]),
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


def _make_f_measure(binary: Mapping[str, Any]) -> FmeasureV2:
    """Make a metric for F (β² = 0.3), its curves and `binary` from one count of pixels."""
    return FmeasureV2(
        {
            "F": FmeasureHandler(with_dynamic=True, with_adaptive=True),
            "P": PrecisionHandler(with_dynamic=True, with_adaptive=False),
            "R": RecallHandler(with_dynamic=True, with_adaptive=False),
            **{
                name: handler(with_dynamic=False, with_adaptive=False, with_binary=True)
                for name, handler in binary.items()
            },
        }
    )

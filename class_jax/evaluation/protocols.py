"""What a map scores against its mask. The only file that imports py_sod_metrics.

One protocol so far, `pysod`: PySODMetrics itself, on a map resized to its mask's size.
"""

import dataclasses
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

from class_jax.data.images import resize

PYSOD = "pysod"
FIGURES = ("adpF", "meanF", "maxF", "wF", "S", "adpE", "meanE", "maxE", "MAE")
NUM_THRESHOLDS = 256

Figures = dict[str, float]  # one value for each name in FIGURES


@dataclasses.dataclass(frozen=True, eq=False)
class Measurement:
    """What the figures are made from, summed over images; that of one image is a sum of one.

    Measurements add up: images may be measured in any order and in several processes, and memory
    does not grow with their number. Curves are [256], index 0 standing for the threshold 255.
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
    def nothing(cls) -> Self:
        """The sum over no image, to which others are added."""
        return cls(0, 0.0, 0.0, 0.0, 0.0, 0.0, *np.zeros((4, NUM_THRESHOLDS)))

    def __add__(self, other: "Measurement") -> "Measurement":
        """The measurement of both sets of images together."""
        pairs = zip(_values(self), _values(other), strict=True)
        return Measurement(*(ours + theirs for ours, theirs in pairs))

    def figures(self) -> Figures:
        """The nine figures: means over the images; at least one image is needed.

        maxF = max_t mean_i F_i(t), meanF the mean over images i and thresholds t; E likewise.
        """
        f_curve, e_curve = self.f_curve / self.images, self.e_curve / self.images
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
        """Mean curves over the images, [256] each: "F", "E", "precision", "recall"."""
        return {
            "F": self.f_curve / self.images,
            "E": self.e_curve / self.images,
            "precision": self.precision_curve / self.images,
            "recall": self.recall_curve / self.images,
        }


def _values(measurement: Measurement) -> list[Any]:
    # Not dataclasses.astuple: it copies every array.
    return [getattr(measurement, field.name) for field in dataclasses.fields(measurement)]


def measure(prediction: np.ndarray, mask: np.ndarray) -> Measurement:
    """Measure one map by the protocol `pysod`.

    PySODMetrics' figures are kept as they are: S is NaN where the mask's centre of mass lies in
    the last row or column of pixels.

    Args:
      prediction: uint8 [h, w], the map; resized bilinearly to the mask's size.
      mask: uint8 [H, W]; salient above 128.

    Raises:
      ValueError: an array is not uint8 with two axes.
    """
    for array in (prediction, mask):
        if array.dtype != np.uint8 or array.ndim != 2:
            raise ValueError(f"expected uint8 [H, W], got {array.dtype} {list(array.shape)}")
    if prediction.shape != mask.shape:
        prediction = resize(prediction, *mask.shape)
    # Stretched and binarised once, and not by each of the library's five metrics.
    stretched, salient = prepare_data(prediction, mask)
    f_measure = _results(_f_measure(), stretched, salient)
    e_measure = _results(Emeasure(), stretched, salient)["em"]
    return Measurement(
        images=1,
        adaptive_f=float(f_measure["F"]["adaptive"]),
        weighted_f=float(_results(WeightedFmeasure(), stretched, salient)["wfm"]),
        s=_s_measure(stretched, salient),
        adaptive_e=float(e_measure["adp"]),
        mae=float(_results(MAE(), stretched, salient)["mae"]),
        f_curve=f_measure["F"]["dynamic"],
        e_curve=e_measure["curve"],
        precision_curve=f_measure["precision"]["dynamic"],
        recall_curve=f_measure["recall"]["dynamic"],
    )


def _s_measure(stretched: np.ndarray, salient: np.ndarray) -> float:
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # where it is NaN
        return float(_results(Smeasure(), stretched, salient)["sm"])


def _results(metric: Any, stretched: np.ndarray, salient: np.ndarray) -> dict:
    """What a fresh metric says of a single image; kept for longer, it would list every image."""
    metric.step(stretched, salient, normalize=False)
    return metric.get_results()


def _f_measure() -> FmeasureV2:
    """F (β² = 0.3, the library's default) with its curves, from a single pair of histograms."""
    return FmeasureV2(
        {
            "F": FmeasureHandler(with_dynamic=True, with_adaptive=True),
            "precision": PrecisionHandler(with_dynamic=True, with_adaptive=False),
            "recall": RecallHandler(with_dynamic=True, with_adaptive=False),
        }
    )

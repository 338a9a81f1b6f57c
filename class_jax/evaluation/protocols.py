"""What a map scores against its mask. The only file that imports py_sod_metrics.

Two protocols, which give different numbers:
- `pysod`: PySODMetrics itself, on a map resized to its mask's size. The default.
- `matlab`: as the scripts do that the paper's figures come from. They leave maps and masks without
  a salient pixel out of every sum, count them all the same, and take F from the averaged precision
  and recall.
"""

import dataclasses
import importlib.metadata
import warnings
from collections.abc import Sequence
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
from py_sod_metrics.utils import EPS, prepare_data
from scipy.ndimage import convolve

from class_jax.data.images import resize, resize_bicubic
from class_jax.evaluation.nearest import nearest_salient

PYSOD, MATLAB = PROTOCOLS = ("pysod", "matlab")
PYSOD_VERSION = importlib.metadata.version("pysodmetrics")
FIGURES = ("adpF", "meanF", "maxF", "wF", "S", "adpE", "meanE", "maxE", "MAE")
NUM_THRESHOLDS = 256
_CURVES = 4 * NUM_THRESHOLDS
BETA2 = 0.3

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

    @classmethod
    def from_numbers(cls, numbers: Sequence[float]) -> Self:
        """The measurement whose `numbers()` these are."""
        images, f, weighted_f, s, e, mae = numbers[:-_CURVES]
        curves = np.reshape(numbers[-_CURVES:], (4, NUM_THRESHOLDS))
        return cls(int(images), f, weighted_f, s, e, mae, *curves)

    def numbers(self) -> list[float]:
        """All that it consists of, for a file."""
        return np.concatenate([np.ravel(value) for value in _values(self)]).tolist()

    def __add__(self, other: "Measurement") -> "Measurement":
        """The measurement of both sets of images together."""
        pairs = zip(_values(self), _values(other), strict=True)
        return type(self)(*(ours + theirs for ours, theirs in pairs))

    def mean_f_curve(self) -> np.ndarray:
        """F at each threshold, the mean over the images."""
        return self.f_curve / self.images

    def figures(self) -> Figures:
        """The nine figures: means over the images; at least one image is needed.

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
        """Mean curves over the images, [256] each: "F", "E", "precision", "recall"."""
        return {
            "F": self.mean_f_curve(),
            "E": self.e_curve / self.images,
            "precision": self.precision_curve / self.images,
            "recall": self.recall_curve / self.images,
        }


class MatlabMeasurement(Measurement):
    """That of the protocol `matlab`, whose F is of the averaged precision and recall."""

    def mean_f_curve(self) -> np.ndarray:
        """F(t) = (1 + β²)·P·R / (β²·P + R) of mean precision P(t) and recall R(t), β² = 0.3."""
        precision, recall = self.precision_curve / self.images, self.recall_curve / self.images
        both = BETA2 * precision + recall
        return np.divide((1 + BETA2) * precision * recall, both, where=both > 0, out=both)


MEASUREMENTS = {PYSOD: Measurement, MATLAB: MatlabMeasurement}


def _values(measurement: Measurement) -> list[Any]:
    # Not dataclasses.astuple: it copies every array.
    return [getattr(measurement, field.name) for field in dataclasses.fields(measurement)]


def measure(prediction: np.ndarray, mask: np.ndarray, protocol: str = PYSOD) -> Measurement:
    """Measure one map by a protocol.

    PySODMetrics' figures are kept as they are: S is NaN where the mask's centre of mass lies in
    the last row or column of pixels.

    Args:
      prediction: uint8 [h, w], the map; resized to the mask's size: bilinearly (`pysod`), or
        bicubically and antialiased (`matlab`).
      mask: uint8 [H, W]; salient above 128 (`pysod`), or from half of its range (`matlab`).
      protocol: of PROTOCOLS.

    Raises:
      ValueError: an array is not uint8 with two axes.
    """
    for array in (prediction, mask):
        if array.dtype != np.uint8 or array.ndim != 2:
            raise ValueError(f"expected uint8 [H, W], got {array.dtype} {list(array.shape)}")
    return _measure_matlab(prediction, mask) if protocol == MATLAB else _measure(prediction, mask)


def _measure(prediction: np.ndarray, mask: np.ndarray) -> Measurement:
    if prediction.shape != mask.shape:
        prediction = resize(prediction, *mask.shape)
    # Stretched and binarised once, and not by each of the library's five metrics.
    stretched, salient = prepare_data(prediction, mask)
    e_measure = _results(Emeasure(), stretched, salient)["em"]
    return Measurement(
        weighted_f=float(_results(WeightedFmeasure(), stretched, salient)["wfm"]),
        s=_s_measure(stretched, salient),
        adaptive_e=float(e_measure["adp"]),
        e_curve=e_measure["curve"],
        **_common_to_both(stretched, salient),
    )


def _measure_matlab(prediction: np.ndarray, mask: np.ndarray) -> Measurement:
    if prediction.shape != mask.shape:
        prediction = resize_bicubic(prediction, *mask.shape)
    stretched, salient = _mat2gray(prediction), _mat2gray(mask) >= 0.5
    if not stretched.any() or not salient.any():
        return dataclasses.replace(MatlabMeasurement.nothing(), images=1)  # left out of all sums
    e_measure = Emeasure()
    e_curve = _results(e_measure, stretched, salient)["em"]["curve"]
    # Strictly above the threshold, which is not held below 1 here.
    threshold = np.nextafter(2 * stretched.mean(), np.inf)
    return MatlabMeasurement(
        weighted_f=_weighted_f(stretched, salient),
        s=_s_measure(stretched, salient, clipped=False),
        adaptive_e=float(e_measure.cal_em_with_threshold(stretched, salient, threshold)),
        e_curve=e_curve,
        **_common_to_both(stretched, salient),
    )


def _common_to_both(stretched: np.ndarray, salient: np.ndarray) -> dict[str, Any]:
    """What both protocols compute alike from a map in 0–1 and a mask of booleans."""
    f_measure = _results(_f_measure(), stretched, salient)
    return {
        "images": 1,
        "mae": float(_results(MAE(), stretched, salient)["mae"]),
        "adaptive_f": float(f_measure["F"]["adaptive"]),
        "f_curve": f_measure["F"]["dynamic"],
        "precision_curve": f_measure["precision"]["dynamic"],
        "recall_curve": f_measure["recall"]["dynamic"],
    }


def _mat2gray(levels: np.ndarray) -> np.ndarray:
    """uint8 → float64 stretched to 0–1; a constant image is clamped to 0–1 instead, so 0 or 1."""
    low, high = int(levels.min()), int(levels.max())
    if low == high:
        return np.minimum(levels, 1).astype(np.float64)
    # By the reciprocal, as Octave: the last bit decides on which side of a threshold a level lies.
    return (levels - float(low)) * (1 / (high - low))


def _s_measure(stretched: np.ndarray, salient: np.ndarray, *, clipped: bool = True) -> float:
    metric = Smeasure()
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # where it is NaN
        if clipped or salient.all():
            return float(_results(metric, stretched, salient)["sm"])
        parts = metric.object(stretched, salient), metric.region(stretched, salient)
    return float(metric.alpha * parts[0] + (1 - metric.alpha) * parts[1])


def _weighted_f(stretched: np.ndarray, salient: np.ndarray) -> float:
    """The weighted F-measure (β² = 1) as the `matlab` protocol has it.

    PySODMetrics' formula; where several salient pixels are equally near, another one lends its
    error to the background.
    """
    distances, rows, columns = nearest_salient(salient)
    error = np.abs(stretched - salient)
    kernel = WeightedFmeasure().matlab_style_gauss2D((7, 7), sigma=5)
    smooth = convolve(error[rows, columns], weights=kernel, mode="constant", cval=0)
    error = np.where(salient, np.minimum(error, smooth), error)
    error *= np.where(salient, 1, 2 - np.exp(np.log(0.5) / 5 * distances))
    hits = salient.sum() - error[salient].sum()
    recall = 1 - error[salient].mean()
    precision = hits / (hits + error[~salient].sum() + EPS)
    return float(2 * recall * precision / (recall + precision + EPS))


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

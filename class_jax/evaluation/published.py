"""Published scores of ResNet-50 networks, to print beside measured ones.

Adaptive F, S, MAE and adaptive E by the protocol `matlab`, to three decimals as printed. From the
CLASS paper's Table 1: F, S and MAE of CLASS, EGNet and BANet. From a figure in the authors'
release: all figures of F3Net and MINet, and E of all methods.
"""

from typing import NamedTuple

COLUMNS = ("adpF", "S", "MAE", "adpE")  # of Table 1, and E


class TestSet(NamedTuple):
    """A test set and its published scores."""

    title: str
    images: int
    scores: dict[str, tuple[float | None, ...]]  # by method, in the order of COLUMNS


METHODS = ("CLASS", "MINet", "F3Net", "EGNet", "BANet")


def _test_set(title: str, images: int, *scores: tuple[float | None, ...]) -> TestSet:
    """Return the test set with the scores of METHODS, in their order."""
    names = (f"{method} (published)" for method in METHODS)
    return TestSet(title, images, dict(zip(names, scores, strict=True)))


TEST_SETS = (
    _test_set(
        "ECSSD",
        1000,
        (0.933, 0.928, 0.033, 0.927),
        (0.924, 0.925, 0.033, 0.927),
        (0.925, 0.924, 0.033, 0.927),
        (0.920, 0.925, 0.037, 0.927),
        (0.923, 0.924, 0.035, None),
    ),
    _test_set(
        "PASCAL-S",
        850,
        (0.849, 0.863, 0.059, 0.864),
        (0.829, 0.850, 0.063, 0.851),
        (0.840, 0.855, 0.062, 0.859),
        (0.817, 0.846, 0.073, 0.848),
        (0.823, 0.845, 0.069, None),
    ),
    _test_set(
        "DUTS-TE",
        5019,
        (0.856, 0.894, 0.034, 0.909),
        (0.828, 0.884, 0.037, 0.898),
        (0.840, 0.888, 0.035, 0.902),
        (0.815, 0.887, 0.039, 0.891),
        (0.815, 0.879, 0.040, None),
    ),
    _test_set(
        "HKU-IS",
        4447,
        (0.921, 0.923, 0.028, 0.955),
        (0.909, 0.919, 0.029, 0.953),
        (0.910, 0.917, 0.028, 0.953),
        (0.901, 0.918, 0.031, 0.950),
        (0.900, 0.913, 0.032, None),
    ),
    _test_set(
        "DUT-OMRON",
        5168,
        (0.774, 0.838, 0.052, 0.870),
        (0.755, 0.833, 0.055, 0.865),
        (0.766, 0.838, 0.053, 0.870),
        (0.755, 0.837, 0.053, 0.867),
        (0.746, 0.832, 0.059, None),
    ),
)


def find_test_set(name: str) -> TestSet | None:
    """Return the test set of a name such as "duts_te" or "DUTS-TE", or None."""
    wanted = _keep_letters(name)
    return next((known for known in TEST_SETS if _keep_letters(known.title) == wanted), None)


def get_title(name: str) -> str:
    """Return a set's name as papers print it."""
    known = find_test_set(name)
    return known.title if known else name


def _keep_letters(name: str) -> str:
    """Return the letters and digits of a name in lower case."""
    return "".join(letter for letter in name.lower() if letter.isalnum())

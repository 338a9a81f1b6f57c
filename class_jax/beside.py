"""The recipes and the named data sets that come with the package, in configs/ and datasets/."""

import sys
from pathlib import Path

PACKAGE = Path(__file__).parent


def find_beside() -> Path:
    """Return the folder of configs/ and datasets/: beside the package, or in it once installed."""
    installed = PACKAGE / "_beside"  # see setup.py
    return installed if installed.is_dir() else PACKAGE.parent


def make_importable() -> None:
    """Let this process import `configs` and `datasets`, ours before any other of these names."""
    folder = str(find_beside())
    sys.path[:] = [folder, *(place for place in sys.path if place != folder)]

"""Published scores of ResNet-50 networks, to print beside measured ones.

Adaptive F, S, MAE and adaptive E by the protocol `matlab`, to three decimals as printed. From the
CLASS paper's Table 1: F, S and MAE of CLASS, EGNet and BANet. From a figure in the authors'
release: all figures of F3Net and MINet, and E of all methods.
"""

from typing import NamedTuple

COLUMNS = {"adpF": "F", "S": "S", "MAE": "MAE", "adpE": "E"}  # and their headings in Table 1
METHODS = ("CLASS", "MINet", "F3Net", "EGNet", "BANet")
# Thousandths, in the order of METHODS and COLUMNS.
THOUSANDTHS = """
ECSSD     1000  933 928 033 927  924 925 033 927  925 924 033 927  920 925 037 927  923 924 035 nan
PASCAL-S   850  849 863 059 864  829 850 063 851  840 855 062 859  817 846 073 848  823 845 069 nan
DUTS-TE   5019  856 894 034 909  828 884 037 898  840 888 035 902  815 887 039 891  815 879 040 nan
HKU-IS    4447  921 923 028 955  909 919 029 953  910 917 028 953  901 918 031 950  900 913 032 nan
DUT-OMRON 5168  774 838 052 870  755 833 055 865  766 838 053 870  755 837 053 867  746 832 059 nan
"""


class TestSet(NamedTuple):
    """The published scores of a test set."""

    scores: dict[str, dict[str, float]]  # by method and column; NaN if there is none
    images: int


def find_test_set(name: str) -> TestSet | None:
    """Return the test set of a name such as "duts_te" or "DUTS-TE", or None."""
    for line in THOUSANDTHS.strip().splitlines():
        title, images, *figures = line.split()
        if keep_letters(title) == keep_letters(name):
            values = (float(figure) / 1000 for figure in figures)
            # zip stops after its first argument, so each method takes the next four figures.
            of = {f"{m} (published)": dict(zip(COLUMNS, values, strict=False)) for m in METHODS}
            return TestSet(of, int(images))
    return None


def keep_letters(name: str) -> str:
    """Return the letters and digits of a name, without regard to case."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())

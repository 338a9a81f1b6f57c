"""PASCAL-S: 850 test images with masks that several people agreed on to a degree."""

from typing import ClassVar

from datasets.base import SaliencyPairs, SetConfig
from datasets.download import Archive


class PascalS(SaliencyPairs):
    """Builder of `pascal_s/test`."""

    DESCRIPTION = (
        "PASCAL-S: 850 images of PASCAL VOC 2010's validation set. Masks are not binary: they hold "
        "the share of observers who chose a pixel's object, and every protocol binarises them. Its "
        "authors state no licence."
    )
    HOMEPAGE = "http://cbs.ic.gatech.edu/salobj/"
    CITATION = """@inproceedings{li2014secrets,
  title={The Secrets of Salient Object Segmentation},
  author={Li, Yin and Hou, Xiaodi and Koch, Christof and Rehg, James M. and Yuille, Alan L.},
  booktitle={IEEE Conference on Computer Vision and Pattern Recognition},
  year={2014}
}"""
    BUILDER_CONFIGS: ClassVar[list[SetConfig]] = [
        SetConfig(
            name="test",
            title="PASCAL-S",
            archives=(
                Archive(
                    "salObj.zip",
                    # Not by https: the server's certificate is not valid.
                    "http://cbs.ic.gatech.edu/salobj/download/salObj.zip",
                    md5="e48b4e5deac08bddcaec55ce56e4d420",
                ),
            ),
            images="datasets/imgs/pascal",
            masks="datasets/masks/pascal",
            pairs=850,
        )
    ]

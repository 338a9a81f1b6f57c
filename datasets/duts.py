"""DUTS (Wang et al., CVPR 2017): DUTS-TR to train on, DUTS-TE to evaluate."""

from typing import ClassVar

from datasets.base import SaliencyPairs, SetConfig
from datasets.download import Archive

ADDRESS = "http://saliencydetection.net/duts/download"


class Duts(SaliencyPairs):
    """Builder of `duts/tr` and `duts/te`, prepared independently of each other."""

    DESCRIPTION = (
        "DUTS: 10,553 training images (from ImageNet DET) and 5,019 test images (from ImageNet DET "
        "and SUN) with pixel-wise masks of the salient objects. Free for academic research. Copies "
        "from before 2018-01-22 carry three training masks twice (the .jpg is right) and two stray "
        "test masks; both faults are handled."
    )
    HOMEPAGE = "http://saliencydetection.net/duts"
    CITATION = """@inproceedings{wang2017learning,
  title={Learning to Detect Salient Objects with Image-level Supervision},
  author={Wang, Lijun and Lu, Huchuan and Wang, Yifan and Feng, Mengyang and Wang, Dong and
          Yin, Baocai and Ruan, Xiang},
  booktitle={IEEE Conference on Computer Vision and Pattern Recognition},
  year={2017}
}"""
    BUILDER_CONFIGS: ClassVar[list[SetConfig]] = [
        SetConfig(
            name="tr",
            title="DUTS",
            archives=(Archive("DUTS-TR.zip", f"{ADDRESS}/DUTS-TR.zip"),),
            images="DUTS-TR/DUTS-TR-Image",
            masks="DUTS-TR/DUTS-TR-Mask",
            pairs=10553,
            doubled_masks=frozenset(
                ("ILSVRC2014_train_00023530", "n01532829_13482", "n04442312_17818")
            ),
        ),
        SetConfig(
            name="te",
            title="DUTS",
            archives=(Archive("DUTS-TE.zip", f"{ADDRESS}/DUTS-TE.zip"),),
            images="DUTS-TE/DUTS-TE-Image",
            masks="DUTS-TE/DUTS-TE-Mask",
            pairs=5019,
            stray_masks=frozenset(("ILSVRC2012_test_00036002.jpg", "sun_bcogaqperiljqupq.jpg")),
        ),
    ]

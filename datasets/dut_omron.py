"""DUT-OMRON: 5,168 test images of varied scenes."""

from typing import ClassVar

from datasets.base import SaliencyPairs, SetConfig
from datasets.download import Archive

ADDRESS = "http://saliencydetection.net/dut-omron/download"


class DutOmron(SaliencyPairs):
    """Builder of `dut_omron/test`."""

    DESCRIPTION = (
        "DUT-OMRON: 5,168 images with one or more objects over complex backgrounds, and pixel-wise "
        "masks. Its authors state no licence."
    )
    HOMEPAGE = "http://saliencydetection.net/dut-omron"
    CITATION = """@inproceedings{yang2013saliency,
  title={Saliency Detection via Graph-based Manifold Ranking},
  author={Yang, Chuan and Zhang, Lihe and Lu, Huchuan and Ruan, Xiang and Yang, Ming-Hsuan},
  booktitle={IEEE Conference on Computer Vision and Pattern Recognition},
  year={2013}
}"""
    BUILDER_CONFIGS: ClassVar[list[SetConfig]] = [
        SetConfig(
            name="test",
            title="DUT-OMRON",
            archives=(
                Archive(
                    "DUT-OMRON-image.zip",
                    f"{ADDRESS}/DUT-OMRON-image.zip",
                    md5="a8951db9297afacf78bc0e5079103cf1",
                ),
                # The doubled suffix is the official name.
                Archive(
                    "DUT-OMRON-gt-pixelwise.zip.zip", f"{ADDRESS}/DUT-OMRON-gt-pixelwise.zip.zip"
                ),
            ),
            images="DUT-OMRON-image",
            masks="pixelwiseGT-new-PNG",
            pairs=5168,
        )
    ]

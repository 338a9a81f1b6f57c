"""ECSSD: 1,000 test images of complex scenes."""

from typing import ClassVar

from datasets.base import SaliencyPairs, SetConfig
from datasets.download import Archive

ADDRESS = "https://www.cse.cuhk.edu.hk/leojia/projects/hsaliency/data/ECSSD"


class Ecssd(SaliencyPairs):
    """Builder of `ecssd/test`."""

    DESCRIPTION = (
        "ECSSD: 1,000 images with structurally complex content and pixel-wise masks. Its authors "
        "state no licence."
    )
    HOMEPAGE = "https://www.cse.cuhk.edu.hk/leojia/projects/hsaliency/dataset.html"
    CITATION = """@article{shi2016hierarchical,
  title={Hierarchical Image Saliency Detection on Extended CSSD},
  author={Shi, Jianping and Yan, Qiong and Xu, Li and Jia, Jiaya},
  journal={IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume={38}, number={4}, pages={717--729},
  year={2016}
}"""
    BUILDER_CONFIGS: ClassVar[list[SetConfig]] = [
        SetConfig(
            name="test",
            title="ECSSD",
            archives=(
                Archive(
                    "images.zip",
                    f"{ADDRESS}/images.zip",
                    sha256="7d5dce1a21c6d82e2f9617c00ad7eae2de5ded9320e8c59a01b4c731d210ea47",
                ),
                Archive(
                    "ground_truth_mask.zip",
                    f"{ADDRESS}/ground_truth_mask.zip",
                    sha256="dc0a9f11f2adee2737d95b28f9567a0a5de33f78743447c097ceb4d42f281a31",
                ),
            ),
            images="images",
            masks="ground_truth_mask",
            pairs=1000,
        )
    ]

"""HKU-IS: 4,447 test images with several objects or low contrast."""

from typing import ClassVar

from datasets.base import SaliencyPairs, SetConfig
from datasets.download import Archive


class HkuIs(SaliencyPairs):
    """Builder of `hku_is/test`."""

    DESCRIPTION = (
        "HKU-IS: 4,447 images with several disconnected objects, objects at the border or low "
        "contrast, and pixel-wise masks. Its authors state no licence."
    )
    HOMEPAGE = "https://i.cs.hku.hk/~gbli/deep_saliency.html"
    CITATION = """@inproceedings{li2015visual,
  title={Visual Saliency Based on Multiscale Deep Features},
  author={Li, Guanbin and Yu, Yizhou},
  booktitle={IEEE Conference on Computer Vision and Pattern Recognition},
  year={2015}
}"""
    BUILDER_CONFIGS: ClassVar[list[SetConfig]] = [
        SetConfig(
            name="test",
            title="HKU-IS",
            # A RAR archive behind a page that asks for a click: by hand.
            archives=(Archive("HKU-IS.rar", ""),),
            images="imgs",
            masks="gt",
            pairs=4447,
        )
    ]

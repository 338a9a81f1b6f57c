"""CLASS with a VGG-16 encoder on DUTS-TR: the VGG-16 half of the paper's Table 1.

    python main.py --config configs/vgg16.py --workdir runs/vgg16

The paper: DUTS-TE adaptive F .833, S .880, MAE .039; ECSSD .917, .915, .038.
The paper names no taps; conv2_2, conv3_3, conv4_3 and conv5_3 are levels 2–5, at strides 2 to 16.
Position attention then has up to 484 × 30,976 weights an image at 352 px: on a small device lower
`train.batch_size`, and both learning rates with it. The recipe is that of configs/r50.py.
"""

from ml_collections import ConfigDict

from configs import r50


def get_config() -> ConfigDict:
    """Return the paper's recipe with VGG-16."""
    config = r50.get_config()
    config.model.backbone = "vgg"
    config.model.stage_sizes = (2, 2, 3, 3, 3)  # VGG-16
    config.model.pretrained = "hf://timm/vgg16.tv_in1k/model.safetensors"
    return config

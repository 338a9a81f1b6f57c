"""The whole pipeline on embedded data: a small CLASS network on synthetic images.

    python main.py --config configs/quickstart.py --workdir runs/

Trains, evaluates the held-out images and writes maps, table and examples in about two minutes on
two CPU cores, compilation included. Expected: max F above 0.80 on the held-out images (the best
threshold on brightness, saturation or contrast stays below 0.6). It reproduces no published number.

The network has every part of CLASS, but a ResNet of one block a stage and half the width.
"""

from ml_collections import ConfigDict

from configs import r50


def get_config() -> ConfigDict:
    """Return a small network, synthetic images and a few hundred steps."""
    config = r50.get_config()
    config.model.pretrained = ""
    config.model.stage_sizes = (1, 1, 1, 1)
    config.model.width = 32
    config.model.features = 32
    config.model.dtype = "float32"  # CPUs compute bfloat16 slower

    config.data.train = "synthetic"
    config.data.root = ""  # nothing is read from the disk
    config.data.num_train = 1024
    config.data.num_val = 128
    config.data.picture_size = (112, 112)
    config.data.image_sizes = (96,)
    config.data.workers = 0

    config.train.batch_size = 16
    config.train.total_steps = 600
    config.train.lr_backbone = 0.05  # nothing pretrained to be careful with
    config.train.warmup = 0.3
    config.train.nesterov = True
    config.train.log_every = 1
    config.train.validate_every = 150
    config.train.checkpoint_every = 150

    config.eval.sets = ("held_out",)
    config.eval.image_size = 96
    config.eval.after_training = True
    return config

"""Your own images: a folder of images and a folder of masks, paired by name.

    python main.py --config configs/folder.py --config.data.root=PATH --workdir runs/mine

PATH holds `images` and `masks` (or any other layout of docs/own-pictures.md). A tenth is held out
for validation by a hash of the name, unless `--config.data.val_root=PATH2` names a folder for it.
The network and the recipe are those of configs/r50.py, with 30 epochs; validation comes every 200
steps and `best` is the checkpoint of the best validation max F. On two CPU cores choose a smaller
network: see docs/own-pictures.md.
"""

from ml_collections import ConfigDict

from configs import r50


def get_config() -> ConfigDict:
    """Return the paper's recipe on a folder of pairs."""
    config = r50.get_config()
    config.model.pretrained = ""
    config.data.train = "folder"
    config.data.root = ""  # must be given
    config.data.workers = 0
    config.train.epochs = 30
    config.train.validate_every = 200
    config.train.checkpoint_every = 200
    config.eval.sets = ("held_out",)
    return config

"""Fine-tuning: a trained network learns your own images, from 20 to some 2,000 of them.

    python main.py --config configs/finetune.py --config.data.root=PATH --workdir runs/tuned

PATH holds images and masks as for configs/folder.py, and a tenth is held out by a hash of the name
unless `--config.data.val_root` names other images. It starts from "photo", the network that comes
with class_jax; `--config.train.start_from` names another one: a run's folder, an exported folder,
`hf://owner/name` or the authors' checkpoint. The network and its sizes are those of the one that it
starts from.

The rates are a tenth of those from the start, with a short warm-up: the weights are near a good
place, and large steps would leave it before the momentum knows the way. Batches of 8; 10 epochs,
and 400 steps at least, which are 160 epochs of 20 images. The encoder's stem and level 2 stay as
they are, and its batch norms keep their statistics, as in the training of "photo": few images of
one kind would shift them. A moving average of the weights over some hundred steps is evaluated, as
the last of few steps are noisy.
Validation every 100 steps; `best` is the checkpoint of the best validation max F, so that a run
that overfits costs time and no quality.
Cost: 400 steps are 3,200 images: a quarter of an hour with ResNet-50 on two CPU cores.
docs/own-pictures.md is a worked example with figures.
"""

from ml_collections import ConfigDict

from configs import folder


def get_config() -> ConfigDict:
    """Return a short training from a trained network."""
    config = folder.get_config()
    # Left open: that of the network in train.start_from.
    config.model.backbone = ""
    config.data.image_sizes = ()
    config.eval.image_size = 0

    config.train.start_from = "photo"
    config.train.batch_size = 8
    config.train.epochs = 10
    config.train.min_steps = 400
    config.train.lr = 0.005
    config.train.lr_backbone = 0.002
    config.train.warmup = 0.1
    config.train.freeze = "level2"
    config.train.freeze_statistics = True
    config.train.ema_decay = 0.99
    config.train.validate_every = 100
    config.train.checkpoint_every = 100
    config.eval.after_training = True
    return config

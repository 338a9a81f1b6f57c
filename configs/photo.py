"""The network that comes with the package: CLASS on EfficientNet-Lite0, for photographs.

    python main.py --config configs/photo.py --config.data.root=ROOT \
        --config.data.val_root=ROOT/validation --workdir runs/photo

docs/photo.md is the lab book: sources, splits, costs, scores, what failed. ROOT holds a folder for
each source of openly licensed photographs with masks, `images` and `masks` in it, and one of
images without an object, which serves as a source of empty masks and of backgrounds. Validation
holds whole classes and sources out, since what counts is what the network does on things that it
never saw.

`configs/photo.py:self` continues a run (`--config.train.start_from=runs/photo`) on images that the
run itself labelled, by `datasets.photo.relabel` in the folders self-caltech and self-coco of ROOT.
`configs/photo.py:last` ends with a short run at low rates. docs/photo.md has the commands in order.

The encoder's stem and level 2 stay as ImageNet left them, and all its batch norms keep their
statistics: the sets are small, and gradients of the largest activations cost a third of a step.
"""

from ml_collections import ConfigDict

from configs import folder


def get_config(part: str = "") -> ConfigDict:
    """Return the recipe of the package's network, or of its part "self" or "last"."""
    config = folder.get_config()
    config.model.backbone = "efficientnet"
    config.model.stage_sizes = (1, 2, 2, 3, 3, 4, 1)  # Lite0
    config.model.width = 32
    config.model.pretrained = "hf://timm/tf_efficientnet_lite0.in1k/model.safetensors"
    config.model.features = 48
    config.model.dtype = "float32"

    config.data.train = "mix"
    config.data.mix = (
        "caltech101-outlines",
        "sysu-shape-caltech*0.5",  # planes, motorbikes and ships alone
        "wild-animals-openimages*2",
        "coco-open*6",
        "people-coco-grabcut*4",
        "people-coco*5",
        "kuih-food",
        "no-object*0.7",
    )
    config.data.backgrounds = "no-object"
    config.data.image_sizes = (224, 256, 288)
    config.data.scale = 0.5
    config.data.colour = 0.7
    config.data.grey = 0.05
    config.data.blur = 0.1
    config.data.jpeg = 0.1
    config.data.composite = 0.15

    config.train.batch_size = 16
    config.train.total_steps = 1500
    config.train.lr = 0.03
    config.train.lr_backbone = 0.006
    config.train.warmup = 0.1
    config.train.nesterov = True
    config.train.ema_decay = 0.998
    config.train.freeze = "level2"
    config.train.freeze_statistics = True
    config.train.validate_every = 300
    config.train.checkpoint_every = 300
    config.eval.image_size = 288
    if part in ("self", "last"):
        config.model.pretrained = ""
        config.data.mix = (*config.data.mix, "self-caltech", "self-coco*5")
        config.train.total_steps = 1400
        config.train.warmup = 0.05
    if part == "last":
        config.train.total_steps = 400
        config.train.lr = 0.015
        config.train.lr_backbone = 0.003
    return config

"""CLASS with a ResNet-50 encoder on DUTS-TR: the paper's training recipe (§4.1).

    python main.py --config configs/r50.py --workdir runs/

The recipe of Table 1's ResNet-50 row: the encoder starts from torchvision's ImageNet weights. The
paper: DUTS-TE adaptive F .856, S .894, MAE .034.
Cost: 78 GFLOP an image and step at 352 px; 100 epochs are 32,979 steps of 32 images.

Augmentation: the paper names horizontal flips and five sizes alone; the authors' released loader
also crops up to an eighth off every side, and so does this recipe (`data.crop = 0.0`: no crop).
The paper names no validation set, and none is held out here: "best" is then the latest checkpoint.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Return the paper's configuration."""
    config = ConfigDict()
    config.seed = 0

    config.model = ConfigDict()
    config.model.backbone = "resnet"
    config.model.stage_sizes = (3, 4, 6, 3)  # ResNet-50; ResNet-101 is (3, 4, 23, 3)
    config.model.width = 64
    config.model.pretrained = "hf://timm/resnet50.tv_in1k/model.safetensors"  # or a path, or None
    config.model.form = "paper"  # or "released", as configs/r50_released.py says
    config.model.features = 64  # C, width of the decoder
    config.model.position_attention = True
    config.model.channel_attention = True
    config.model.fusion_module = True
    config.model.dtype = "bfloat16"  # compute; parameters, statistics and losses stay float32

    config.data = ConfigDict()
    config.data.train = "duts_tr"
    config.data.root = "~/tensorflow_datasets"
    config.data.val_root = ""  # for data.train = "folder": images to validate on
    config.data.images = ""  # the folder of images below the root, if its name is unusual
    config.data.masks = ""  # the folder of masks, likewise
    config.data.salient = ()  # of masks of classes: the salient numbers, or "any"
    config.data.fit_masks = False  # resize masks that miss their image's size by a little
    config.data.image_sizes = (224, 256, 288, 320, 352)  # one per batch, drawn at random
    config.data.crop = 0.125  # up to this share of a side is cropped off
    config.data.scale = 1.0  # below 1: random window with sides from scale to 1; replaces crop
    config.data.colour = 0.0  # strength of random changes of colour
    config.data.grey = 0.0  # share of images without colour; likewise blur, jpeg, composite
    config.data.blur = 0.0
    config.data.jpeg = 0.0
    config.data.composite = 0.0  # of images whose object is placed on one of data.backgrounds
    config.data.backgrounds = ""  # a folder of images without an object, below the root
    config.data.mix = ()  # folders below the root, each with its weight: "name" or "name*0.5"
    config.data.workers = 8  # processes that decode and augment; 0: threads of this one

    config.train = ConfigDict()
    config.train.start_from = ""  # a trained network, whose weights replace model.pretrained
    config.train.batch_size = 32
    config.train.accumulate = 1  # micro-batches that a batch is computed in, one after another
    config.train.epochs = 100
    config.train.min_steps = 0  # as many epochs more as small sets need for that
    config.train.total_steps = 0  # above 0: overrides the epochs
    config.train.lr = 0.05
    config.train.lr_backbone = 0.005
    config.train.warmup = 0.5  # share of the steps; 0.5 is the symmetric triangle
    config.train.momentum = 0.9
    config.train.nesterov = False
    config.train.weight_decay = 5e-4
    config.train.ema_decay = 0.0  # above 0: evaluate a moving average of the weights
    config.train.freeze = "none"  # or "stem", "level2" … "level4", "encoder": the encoder up to it
    config.train.freeze_statistics = False  # True: all of the encoder's batch norms keep theirs
    config.train.losses = ("pixel", "region", "object")
    config.train.multi_stage = True  # supervise all four stages, not the finest alone
    config.train.log_every = 20
    config.train.validate_every = 0  # steps; 0: never, as nothing is held out
    config.train.checkpoint_every = 500

    config.eval = ConfigDict()
    config.eval.sets = ("ecssd", "pascal_s", "duts_te", "hku_is", "dut_omron")
    config.eval.image_size = 352
    config.eval.batch_size = 16
    config.eval.dtype = "float32"
    config.eval.after_training = False
    return config

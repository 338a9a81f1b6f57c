"""The paper's ResNet-50 recipe on a card of 8 GB: its batch of 32 in four micro-batches.

    python main.py --config configs/r50_small_gpu.py --workdir runs/r50_small_gpu

The gradient is that of all 32 images, but batch norm sees eight at a time, whose statistics are
noisier; a moving average of the weights is evaluated, which evens that out. Not yet trained to the
end; cost as configs/r50.py, and about a quarter of its memory for activations.
"""

from ml_collections import ConfigDict

from configs import r50


def get_config() -> ConfigDict:
    """Return the paper's recipe in micro-batches, with averaged weights."""
    config = r50.get_config()
    config.train.accumulate = 4
    config.train.ema_decay = 0.999
    return config

"""Calling the program as its users do, in process, on a small synthetic configuration."""

from pathlib import Path

import cv2
import jax
import numpy as np
from jax import devices as simulated_devices

from class_jax.command import cli

ROOT = Path(__file__).parents[1]

RECIPE = """
from configs import quickstart


def get_config():
    config = quickstart.get_config()
    config.model.backbone = "vgg"  # compiles fastest
    config.model.stage_sizes = (1, 1, 1, 1, 1)
    config.model.width = 4
    config.model.features = 8
    config.data.num_train = 20
    config.data.num_val = 10
    config.data.image_sizes = (64,)
    config.train.batch_size = 8
    config.train.total_steps = 4
    config.train.validate_every = 2
    config.train.checkpoint_every = 2
    config.eval.image_size = 64
    config.eval.batch_size = 8
    return config
"""


def call(monkeypatch, capsys, *arguments):
    """Exit status, standard output and standard error of `python main.py ARGUMENTS`."""
    del monkeypatch
    status = cli.main([*map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def use_devices(patch, count):
    """Have JAX show so many of the simulated devices, as another machine would."""
    for name in ("devices", "local_devices"):
        patch.setattr(jax, name, lambda *_: simulated_devices()[:count])


def use_one_device(patch):
    """Most tests need no second device, and compiling for eight takes twice as long."""
    use_devices(patch, 1)


def pairs(folder, count=12, size=(48, 64)):
    """A folder of images and masks."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        mask = np.zeros(size, np.uint8)
        mask[8:40, 8 + index : 40] = 255
        image = (rng.integers(0, 128, (*size, 3)) + mask[..., None] // 2).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"{index:02d}.jpg"), image)
        cv2.imwrite(str(folder / "masks" / f"{index:02d}.png"), mask)
    return folder

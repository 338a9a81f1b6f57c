"""Values that no run could use, found before anything is computed."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from class_jax.errors import UserError


class Limit(NamedTuple):
    """What a leaf's value must be, in words and as a test."""

    wanted: str
    holds: Callable[[Any], bool]


POSITIVE = Limit("above 0", lambda value: value > 0)
NOT_NEGATIVE = Limit("0 or more", lambda value: value >= 0)
SHARE = Limit("from 0 to 1", lambda value: 0 <= value <= 1)
DTYPE = Limit('"float32" or "bfloat16"', lambda value: value in ("float32", "bfloat16"))
SMALLEST = 32  # pixels; the deepest level is then a single position
SIDE = Limit("at least 32 pixels", lambda value: value >= SMALLEST)

LIMITS = {
    "seed": NOT_NEGATIVE,
    "model.backbone": Limit('"resnet" or "vgg"', lambda value: value in ("resnet", "vgg")),
    "model.stage_sizes": Limit("numbers above 0", lambda value: value and min(value) > 0),
    "model.width": POSITIVE,
    "model.features": POSITIVE,
    "model.dtype": DTYPE,
    "model.query_reduction": POSITIVE,
    "model.fusion": Limit(
        '"paper", "released" or "sum"', lambda value: value in ("paper", "released", "sum")
    ),
    "data.image_sizes": Limit(
        "sides of at least 32 pixels", lambda value: value and min(value) >= SMALLEST
    ),
    "data.picture_size": Limit(
        "height and width of at least 32 pixels",
        lambda value: len(value) == 2 and min(value) >= SMALLEST,
    ),
    "data.num_train": POSITIVE,
    "data.num_val": POSITIVE,
    "data.crop": Limit("from 0 to below 1", lambda value: 0 <= value < 1),
    "data.workers": NOT_NEGATIVE,
    "train.batch_size": POSITIVE,
    "train.epochs": POSITIVE,
    "train.total_steps": NOT_NEGATIVE,
    "train.accumulate": POSITIVE,
    "train.ema_decay": Limit("from 0 to below 1", lambda value: 0 <= value < 1),
    "train.lr": NOT_NEGATIVE,
    "train.lr_backbone": NOT_NEGATIVE,
    "train.warmup": SHARE,
    "train.momentum": SHARE,
    "train.weight_decay": NOT_NEGATIVE,
    "train.losses": Limit(
        'some of "pixel", "region", "object"',
        lambda value: value and set(value) <= {"pixel", "region", "object"},
    ),
    "train.log_every": POSITIVE,
    "train.validate_every": NOT_NEGATIVE,
    "train.checkpoint_every": POSITIVE,
    "eval.sets": Limit("at least one name", bool),
    "eval.image_size": SIDE,
    "eval.batch_size": POSITIVE,
    "eval.dtype": DTYPE,
}


def check_limits(config: ConfigDict) -> None:
    """Raise UserError for the first leaf whose value cannot be used."""
    for name, limit in LIMITS.items():
        section, _, leaf = name.rpartition(".")
        value = (config[section] if section else config).get(leaf)
        if value is not None and not limit.holds(value):  # some leaves are synthetic data's alone
            raise UserError(f"config.{name} = {value!r}: expected {limit.wanted}.")
    stages = {"resnet": 4, "vgg": 5}[config.model.backbone]
    if len(config.model.stage_sizes) != stages:
        raise UserError(
            f"config.model.stage_sizes = {config.model.stage_sizes!r}: a {config.model.backbone} "
            f"has {stages} stages."
        )
    if config.model.query_reduction > config.model.features:
        raise UserError(
            f"config.model.query_reduction = {config.model.query_reduction} leaves nothing of "
            f"config.model.features = {config.model.features} channels."
        )

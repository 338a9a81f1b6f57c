"""The values that the leaves of a configuration may have."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from class_jax.errors import UserError


class Limit(NamedTuple):
    """The values that a leaf may have, in words and as a test."""

    words: str
    allows: Callable[[Any], bool]


def _one_of(*values: str) -> Limit:
    return Limit(" or ".join(f'"{value}"' for value in values), lambda value: value in values)


MIN_SIDE = 32  # pixels; the deepest level is then a single position
# Above these no machine could follow; a file from elsewhere may hold any number.
MAX_SIDE, MAX_CHANNELS, MAX_BATCH = 2**14, 2**16, 2**20
POSITIVE = Limit("above 0", lambda value: value > 0)
NOT_NEGATIVE = Limit("0 or more", lambda value: value >= 0)
FRACTION = Limit("from 0 to 1", lambda value: 0 <= value <= 1)
BELOW_ONE = Limit("from 0 to below 1", lambda value: 0 <= value < 1)
CHANNELS = Limit("from 1 to 65536", lambda value: 0 < value <= MAX_CHANNELS)
BATCH = Limit("from 1 to 1048576", lambda value: 0 < value <= MAX_BATCH)
DTYPE = _one_of("float32", "bfloat16")
LIMITS = {
    "seed": NOT_NEGATIVE,
    "model.stage_sizes": Limit(
        "numbers from 1 to 200", lambda value: value and min(value) > 0 and max(value) <= 200
    ),
    "model.width": CHANNELS,
    "model.features": CHANNELS,
    "model.dtype": DTYPE,
    "model.query_reduction": POSITIVE,
    "model.fusion": _one_of("paper", "released", "sum"),
    "data.image_sizes": Limit(
        "sides from 32 to 16384 pixels",
        lambda value: value and min(value) >= MIN_SIDE and max(value) <= MAX_SIDE,
    ),
    "data.picture_size": Limit(
        "height and width from 32 to 16384 pixels",
        lambda value: len(value) == 2 and min(value) >= MIN_SIDE and max(value) <= MAX_SIDE,
    ),
    "data.num_train": POSITIVE,
    "data.num_val": POSITIVE,
    "data.crop": BELOW_ONE,
    "data.salient": Limit(
        'class numbers, or "any"',
        lambda value: value == ("any",) or all(type(item) is int for item in value),
    ),
    "data.workers": NOT_NEGATIVE,
    "train.batch_size": BATCH,
    "train.epochs": POSITIVE,
    "train.total_steps": NOT_NEGATIVE,
    "train.min_steps": NOT_NEGATIVE,
    "train.accumulate": POSITIVE,
    "train.ema_decay": BELOW_ONE,
    "train.lr": NOT_NEGATIVE,
    "train.lr_backbone": NOT_NEGATIVE,
    "train.warmup": FRACTION,
    "train.momentum": FRACTION,
    "train.weight_decay": NOT_NEGATIVE,
    "train.losses": Limit(
        'some of "pixel", "region", "object"',
        lambda value: value and set(value) <= {"pixel", "region", "object"},
    ),
    "train.log_every": POSITIVE,
    "train.validate_every": NOT_NEGATIVE,
    "train.checkpoint_every": POSITIVE,
    "eval.sets": Limit("at least one name", bool),
    "eval.image_size": Limit(
        "from 32 to 16384 pixels", lambda value: MIN_SIDE <= value <= MAX_SIDE
    ),
    "eval.batch_size": BATCH,
    "eval.dtype": DTYPE,
}


def check_limits(config: ConfigDict) -> None:
    """Raise UserError for the first leaf whose value no run could use."""
    leaves = flatten(config)
    for name, limit in LIMITS.items():
        if name in leaves and not limit.allows(leaves[name]):
            raise UserError(f"config.{name} = {leaves[name]!r}: expected {limit.words}.")


def check_model(model: ConfigDict) -> None:
    """Raise UserError for values of the section `model` that contradict each other."""
    from class_jax.models.backbones import BACKBONES  # noqa: PLC0415 - imports JAX

    if model.backbone not in BACKBONES:
        raise UserError(
            f'config.model.backbone = "{model.backbone}": expected one of {", ".join(BACKBONES)}.'
        )
    stages = BACKBONES[model.backbone].NUM_STAGES
    if len(model.stage_sizes) != stages:
        raise UserError(
            f"config.model.stage_sizes = {model.stage_sizes!r}: a {model.backbone} has {stages} "
            "stages."
        )
    if model.query_reduction > model.features:
        raise UserError(
            f"config.model.query_reduction = {model.query_reduction} leaves nothing of "
            f"config.model.features = {model.features} channels."
        )


def flatten(config: ConfigDict) -> dict[str, Any]:
    """Return every leaf by its dotted name."""
    leaves: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            leaves |= {f"{name}.{inner}": leaf for inner, leaf in flatten(value).items()}
        else:
            leaves[name] = value
    return leaves

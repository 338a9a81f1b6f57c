"""The table of leaves: what each setting of a configuration may be, and when it may change.

The default of a leaf, and with it the type, is that of configs/r50.py, or of configs/quickstart.py
for the leaves that only synthetic data has. A new leaf is a line there and a line here.
"""

import enum
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from class_jax.errors import UserError
from class_jax.text import quote


class Limit(NamedTuple):
    """The values that a leaf may have, in words and as a test."""

    words: str
    allows: Callable[[Any], bool]


class Fixed(enum.IntEnum):
    """The point in a run after which a leaf may no longer change."""

    NEVER = 0
    TRAINED = 1  # once steps were taken: another value would not continue that run
    SAVED = 2  # from the first checkpoint on, that of a converted network included
    NETWORK = 3  # in runs that start from the network, too: it would be another network


def show(value: Any) -> Any:
    """Return a value that anybody may see."""
    return value


def hide(value: Any) -> Any:
    """Return the empty value of the same type: the leaf concerns one machine's disk."""
    return type(value)()


def show_name(value: str) -> str:
    """Return the name of a file without its folder; a network on the hub keeps its name whole."""
    return value if value.startswith("hf://") else PurePath(value).name


class Leaf(NamedTuple):
    """The rules of a leaf."""

    limit: Limit | None = None
    fixed: Fixed = Fixed.NEVER
    export: Callable[[Any], Any] = show  # its value in an exported network


def _one_of(*values: str) -> Limit:
    return Limit(" or ".join(f'"{value}"' for value in values), lambda value: value in values)


MIN_SIDE = 32  # pixels; the deepest level is then a single position
# More fits no machine; a file from elsewhere may state any number.
MAX_SIDE, MAX_CHANNELS, MAX_BATCH = 2**14, 2**16, 2**20
POSITIVE = Limit("above 0", lambda value: value > 0)
NOT_NEGATIVE = Limit("0 or more", lambda value: value >= 0)
FRACTION = Limit("from 0 to 1", lambda value: 0 <= value <= 1)
SHARE = Limit("above 0, 1 at most", lambda value: 0 < value <= 1)
BELOW_ONE = Limit("from 0 to below 1", lambda value: 0 <= value < 1)
CHANNELS = Limit("from 1 to 65536", lambda value: 0 < value <= MAX_CHANNELS)
BATCH = Limit("from 1 to 1048576", lambda value: 0 < value <= MAX_BATCH)
DTYPE = _one_of("float32", "bfloat16")
SIDE = Limit("from 32 to 16384 pixels", lambda value: MIN_SIDE <= value <= MAX_SIDE)
SIDES = Limit("sides from 32 to 16384 pixels", lambda value: value and all(map(SIDE.allows, value)))
HEIGHT_AND_WIDTH = Limit(
    "height and width from 32 to 16384 pixels",
    lambda value: len(value) == 2 and all(map(SIDE.allows, value)),
)
STAGES = Limit(
    "numbers from 1 to 200", lambda value: value and min(value) > 0 and max(value) <= 200
)
CLASSES = Limit(
    'class numbers, or "any"',
    lambda value: all(type(item) is int or item == "any" for item in value),
)
LOSSES = Limit(
    'some of "pixel", "region", "object"',
    lambda value: value and set(value) <= {"pixel", "region", "object"},
)
NAMES = Limit("at least one name", bool)
TRAINED, SAVED, NETWORK = Fixed.TRAINED, Fixed.SAVED, Fixed.NETWORK

LEAVES = {
    "seed": Leaf(NOT_NEGATIVE, TRAINED),
    "model.backbone": Leaf(None, NETWORK),
    "model.stage_sizes": Leaf(STAGES, NETWORK),
    "model.width": Leaf(CHANNELS, NETWORK),
    "model.pretrained": Leaf(None, SAVED, show_name),
    "model.form": Leaf(_one_of("paper", "released"), NETWORK),
    "model.features": Leaf(CHANNELS, NETWORK),
    "model.position_attention": Leaf(None, NETWORK),
    "model.channel_attention": Leaf(None, NETWORK),
    "model.fusion_module": Leaf(None, NETWORK),
    "model.dtype": Leaf(DTYPE, TRAINED),
    "data.train": Leaf(None, TRAINED),
    "data.root": Leaf(export=hide),
    "data.val_root": Leaf(export=hide),
    "data.images": Leaf(None, TRAINED, hide),
    "data.masks": Leaf(None, TRAINED, hide),
    "data.salient": Leaf(CLASSES, TRAINED),
    "data.fit_masks": Leaf(None, TRAINED),
    "data.image_sizes": Leaf(SIDES, TRAINED),
    "data.mix": Leaf(None, TRAINED),
    "data.backgrounds": Leaf(None, TRAINED),
    "data.crop": Leaf(BELOW_ONE, TRAINED),
    "data.scale": Leaf(SHARE, TRAINED),
    "data.colour": Leaf(FRACTION, TRAINED),
    "data.grey": Leaf(FRACTION, TRAINED),
    "data.blur": Leaf(FRACTION, TRAINED),
    "data.jpeg": Leaf(FRACTION, TRAINED),
    "data.composite": Leaf(FRACTION, TRAINED),
    "data.workers": Leaf(NOT_NEGATIVE),
    "data.num_train": Leaf(POSITIVE, TRAINED),
    "data.num_val": Leaf(POSITIVE, TRAINED),
    "data.picture_size": Leaf(HEIGHT_AND_WIDTH, TRAINED),
    "train.start_from": Leaf(None, SAVED, show_name),
    "train.batch_size": Leaf(BATCH, TRAINED),
    "train.accumulate": Leaf(POSITIVE),
    "train.epochs": Leaf(POSITIVE),
    "train.min_steps": Leaf(NOT_NEGATIVE),
    "train.total_steps": Leaf(NOT_NEGATIVE),
    "train.lr": Leaf(NOT_NEGATIVE),
    "train.lr_backbone": Leaf(NOT_NEGATIVE),
    "train.warmup": Leaf(FRACTION),
    "train.momentum": Leaf(FRACTION),
    "train.nesterov": Leaf(),
    "train.weight_decay": Leaf(NOT_NEGATIVE),
    "train.ema_decay": Leaf(BELOW_ONE, SAVED),
    "train.freeze": Leaf(_one_of("none", "stem", "level2", "level3", "level4", "encoder"), SAVED),
    "train.freeze_statistics": Leaf(None, SAVED),
    "train.losses": Leaf(LOSSES),
    "train.multi_stage": Leaf(),
    "train.log_every": Leaf(POSITIVE),
    "train.validate_every": Leaf(NOT_NEGATIVE),
    "train.checkpoint_every": Leaf(POSITIVE),
    "eval.sets": Leaf(NAMES),
    "eval.image_size": Leaf(SIDE),
    "eval.batch_size": Leaf(BATCH),
    "eval.dtype": Leaf(DTYPE),
    "eval.after_training": Leaf(),
}


def check_limits(config: ConfigDict) -> None:
    """Raise UserError for the first leaf whose value no run could use."""
    for name, value in flatten(config).items():
        limit = LEAVES[name].limit if name in LEAVES else None
        try:
            is_allowed = not limit or limit.allows(value)
        except TypeError:  # of another kind
            is_allowed = False
        if limit and not is_allowed:
            raise UserError(f"config.{name} = {quote(repr(value))}: expected {limit.words}.")


def list_differences(ours: ConfigDict, theirs: ConfigDict, fixed: Fixed) -> list[str]:
    """Return a line for each leaf that differs and is fixed at this level or stricter."""
    here, there = flatten(ours), flatten(theirs)
    return [
        f"{name} is {quote(repr(there.get(name, 'absent')))} there and "
        f"{quote(repr(here.get(name, 'absent')))} here"
        for name, leaf in LEAVES.items()
        if leaf.fixed >= fixed and here.get(name) != there.get(name)
    ]


def export_leaves(config: ConfigDict) -> ConfigDict:
    """Return the configuration to export: the leaves of the table, as each may be shown."""
    values = flatten(config)
    return unflatten({name: LEAVES[name].export(values[name]) for name in LEAVES if name in values})


def unflatten(values: Mapping[str, Any]) -> ConfigDict:
    """Return a configuration of the leaves of the table among these."""
    config: dict[str, Any] = {}
    for name in (name for name in LEAVES if name in values):
        section, _, leaf = name.rpartition(".")
        (config.setdefault(section, {}) if section else config)[leaf] = values[name]
    return ConfigDict(config)


def flatten(config: ConfigDict) -> dict[str, Any]:
    """Return every leaf by its dotted name."""
    leaves: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            leaves |= {f"{name}.{inner}": leaf for inner, leaf in flatten(value).items()}
        else:
            leaves[name] = value
    return leaves

"""The image sources that a configuration names."""

from typing import NamedTuple

from ml_collections import ConfigDict

import datasets
from class_jax.data.sources import PairSource, Source, check_pairs, find_pairs, hold_out
from class_jax.data.synthetic import SyntheticSource
from class_jax.errors import UserError

HELD_OUT = "held_out"  # in config.eval.sets: the images that training validates on


class TrainingSources(NamedTuple):
    """What a run learns from, and what it is validated on, if anything."""

    train: Source
    held_out: Source | None


def training_sources(config: ConfigDict, *, skip_broken: bool) -> TrainingSources:
    """Open and verify the training set and the held-out images.

    Raises:
      UserError: nothing there, or broken or unpaired files and not `skip_broken`.
    """
    if config.data.train == "synthetic":
        return TrainingSources(_synthetic(config, HELD_OUT, False), _synthetic(config, HELD_OUT, True))
    return TrainingSources(train, None)

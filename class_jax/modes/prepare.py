"""Mode prepare: download, unpack and verify what the configuration names."""

from ml_collections import ConfigDict

import datasets
from class_jax.modes.inputs import HELD_OUT, training_sources


def run(config: ConfigDict, *, skip_broken: bool) -> int:
    """Prepare the training set and the sets to evaluate; gives the exit status."""
    sources = training_sources(config, skip_broken=skip_broken)
    print(f"{config.data.train}: {len(sources.train)} examples to train on are ready")
    for name in config.eval.sets:
        if name != HELD_OUT:
            source = datasets.open_set(name, config.data.root, skip_broken=skip_broken)
            print(f"{name}: {len(source)} examples are ready")
    if sources.held_out:
        print(f"{HELD_OUT}: {len(sources.held_out)} examples are ready")
    return 0

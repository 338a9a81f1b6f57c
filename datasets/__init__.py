"""The named data sets: prepared once, then read in place."""

import shutil
from pathlib import Path

from class_jax.data.sources import PairSource
from class_jax.errors import UserError
from class_jax.files import absolute, lock
from datasets.base import SaliencyPairs
from datasets.dut_omron import DutOmron
from datasets.duts import Duts
from datasets.ecssd import Ecssd
from datasets.hku_is import HkuIs
from datasets.pascal_s import PascalS

SETS: dict[str, tuple[type[SaliencyPairs], str]] = {
    "duts_tr": (Duts, "tr"),
    "duts_te": (Duts, "te"),
    "ecssd": (Ecssd, "test"),
    "pascal_s": (PascalS, "test"),
    "hku_is": (HkuIs, "test"),
    "dut_omron": (DutOmron, "test"),
}


def open_set(name: str, root: str, *, skip_broken: bool) -> PairSource:
    """Return a named set; prepare it first if that was not done yet.

    Args:
      name: of SETS.
      root: folder of all named sets, as TFDS's data_dir; `~` is the home folder.
      skip_broken: when preparing, leave broken or unpaired files out.

    Raises:
      UserError: no such set, or it cannot be fetched; says which archive to put where.
    """
    if name not in SETS:
        raise UserError(
            f'"{name}" is not a data set; known are {", ".join(SETS)}, "folder" and "synthetic".'
        )
    builder_class, config = SETS[name]
    folder = absolute(root)
    try:
        builder = builder_class(root=folder, config=config, skip_broken=skip_broken)
        stored = _read_stored(builder, skip_broken=skip_broken)
        if stored:
            return stored  # without a lock: the disk may be read-only
        folder.mkdir(parents=True, exist_ok=True)
        # One process prepares; others that come meanwhile wait, and then find it done.
        with lock(folder / f".{name}.lock", wait=True):
            return _read_stored(builder, skip_broken=skip_broken) or _prepare(builder)
    except OSError as error:
        raise UserError(
            f"config.data.root = {root}: {name} cannot be prepared there ({error})."
        ) from error


def check_of(name: str, root: str) -> tuple[str, ...]:
    """Return the lines of the check that were written when a named set was prepared."""
    builder_class, config = SETS[name]
    return tuple(builder_class(root=absolute(root), config=config).info.metadata.get("check", ()))


def pairs_of(name: str) -> int:
    """Return the number of pairs of a named set."""
    builder_class, config = SETS[name]
    return builder_class.builder_configs[config].pairs


def _read_stored(builder: SaliencyPairs, *, skip_broken: bool) -> PairSource | None:
    """Return what was prepared before, unless it is incomplete or its files are gone."""
    if not Path(builder.data_dir).exists():
        return None
    source = builder.read()
    if not source.pairs or not source.pairs[0].image.exists():
        return None
    is_complete = len(source.names) == builder.builder_config.pairs
    return source if is_complete or skip_broken else None


def _prepare(builder: SaliencyPairs) -> PairSource:
    """Find, check and store the pairs, replacing an earlier preparation."""
    shutil.rmtree(builder.data_dir, ignore_errors=True)
    builder.prepare()
    return builder.read()

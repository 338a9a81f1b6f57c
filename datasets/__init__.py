"""The named data sets: prepared once, then read in place."""

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from class_jax.data.sources import PairSource
from class_jax.errors import UserError
from datasets.base import SaliencyPairs
from datasets.duts.duts import Duts

SETS: dict[str, tuple[Callable[..., SaliencyPairs], str]] = {
    "duts_tr": (Duts, "tr"),
    "duts_te": (Duts, "te"),
}


def open_set(name: str, root: str, *, skip_broken: bool) -> PairSource:
    """A named set, prepared first where it is not yet.

    Args:
      name: of SETS.
      root: folder of all named sets, as TFDS's data_dir; `~` is the home folder.
      skip_broken: when preparing, leave broken or unpaired files out.

    Raises:
      UserError: no such set, or it cannot be had; says which archive to put where.
    """
    if name not in SETS:
        raise UserError(
            f'"{name}" is not a data set; known are {", ".join(SETS)}, "folder" and "synthetic".'
        )
    builder_class, config = SETS[name]
    folder = Path(root).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # One process prepares; others that come meanwhile wait, and then find it done.
        with FileLock(folder / f".{name}.lock"):
            builder = builder_class(root=folder, config=config, skip_broken=skip_broken)
            return _prepared(builder)
    except OSError as error:
        raise UserError(
            f"config.data.root = {root}: {name} cannot be prepared there ({error})."
        ) from error


def _prepared(builder: SaliencyPairs) -> PairSource:
    """Prepare where needed, and read; a store whose files are gone is made anew."""
    store = Path(builder.data_dir)
    if store.exists():
        source = builder.read()
        if len(source) and source.pairs[0].image.exists():
            return source
        shutil.rmtree(store)
    builder.download_and_prepare()
    return builder.read()

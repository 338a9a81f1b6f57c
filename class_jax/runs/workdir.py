"""The folder of a run: its files, its configuration and its lock."""

import contextlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from etils import epath
from ml_collections import ConfigDict

from class_jax import files
from class_jax.errors import UserError

METRICS = "metrics.jsonl"
MOST_CONFIG = 2**20  # bytes
CACHE = Path("~/.cache/class_jax")  # where workdirs in buckets keep what they write locally


class Workdir:
    """The names and files of one run.

    Configuration and checkpoints lie in `path`, which may be in a bucket (`gs://…`). Everything
    else is written to `local`, a folder of this machine: `path` itself, or for a bucket a folder of
    the user's cache, from which `publish` copies logs.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the files below `path`, which may be relative; nothing is created.

        Raises:
          UserError: `path` starts with `~name`, and there is no such user.
        """
        self.is_remote = "://" in str(path)
        # Absolute, because orbax refuses relative paths.
        self.path = epath.Path(path if self.is_remote else files.absolute(path))
        self.local = Path(self.path)
        if self.is_remote:
            self.local = files.absolute(CACHE) / str(path).replace("://", "/")
        self.config_file = self.path / "config.json"
        self.examples_file = self.path / "examples.json"
        self.checkpoints = self.path / "checkpoints"
        self.metrics_file = self.local / METRICS
        self.evaluation = self.local / "eval"
        self.unused_weights = self.local / "unused.safetensors"  # of a converted checkpoint
        self.predictions = self.local / "predictions"

    def check(self) -> None:
        """Raise UserError if the folder could not be written to; creates nothing."""
        self._check_bucket()
        folder = self.local
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise UserError(f"{self.local} cannot be written to: choose another workdir.")

    def _check_bucket(self) -> None:
        """Raise UserError if the workdir is in a bucket that cannot be reached."""
        try:
            _ = self.is_remote and self.path.exists()
        except Exception as error:  # by the bucket's library, or because there is none
            raise UserError(
                f"{self.path} cannot be reached ({error}): pip install gcsfs, sign in to the "
                "cloud, and check the bucket's name."
            ) from error

    def fetch(self) -> None:
        """Copy the log that another machine began from the bucket, if any."""
        if self.is_remote and not self.metrics_file.exists() and (self.path / METRICS).exists():
            (self.path / METRICS).copy(self.metrics_file)

    def publish(self) -> None:
        """Copy the logs to the bucket, if the workdir is in one."""
        if self.is_remote:
            for file in (*self.local.glob(METRICS), *self.local.glob("events.out.tfevents.*")):
                epath.Path(file).copy(self.path / file.name, overwrite=True)

    def find_unused_weights(self) -> Path | None:
        """Return the file of a converted checkpoint's unused values, if there is one.

        Raises:
          UserError: it is a link: exports are shared, and a link may lead to anything.
        """
        if self.unused_weights.is_symlink():
            raise UserError(f"{self.unused_weights} is a link: expected a file of this folder.")
        return self.unused_weights if self.unused_weights.exists() else None

    def read_own(self, name: str) -> str:
        """Return the text of a file of this folder, tables or a card; "" if none, or a link."""
        file = self.local / name
        is_own = file.resolve() == self.local.resolve() / name
        if not is_own or not file.is_file() or file.stat().st_size > MOST_CONFIG:
            return ""
        return file.read_text(encoding="utf-8", errors="replace")

    def create(self) -> None:
        """Create the folder; UserError if it cannot be created or written to."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.local.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be written to ({error.strerror}): choose another workdir."
            ) from error
        self.check()

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process alone: two trainings would overwrite each other.

        Raises:
          UserError: another process trains in it.
        """
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(files.lock(self.local / ".lock", wait=False))
            except TimeoutError as error:
                raise UserError(
                    f"another process is training in {self.path}: wait for it, or choose another "
                    "workdir."
                ) from error
            yield

    def holds_run(self) -> bool:
        """Return whether a run is here, or part of one."""
        return self.has_checkpoints() or self.config_file.exists() or self.has_begun()

    def has_checkpoints(self) -> bool:
        """Return whether checkpoints are here; UserError if the bucket cannot be reached."""
        self._check_bucket()
        return self.checkpoints.exists()

    def has_begun(self) -> bool:
        """Return whether a run took steps here: its examples or its metrics say so."""
        return self.examples_file.exists() or (
            self.metrics_file.exists() and self.metrics_file.stat().st_size > 0
        )

    def save_config(self, config: ConfigDict) -> None:
        """Write config.json."""
        files.write_json(self.config_file, config.to_dict())

    def save_examples(self, names: Sequence[str]) -> None:
        """Write a fingerprint of the examples that the run learns from."""
        files.write_json(self.examples_file, _fingerprint(names))

    def count_examples(self) -> int | None:
        """Return how many examples the run learns from; None if that is not known."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # absent or damaged
            return int(json.loads(self.examples_file.read_text())["count"])
        return None

    def check_examples(self, names: Sequence[str]) -> None:
        """Raise UserError if the run learnt from other examples, or it is unknown from which."""
        found = _fingerprint(names)
        with contextlib.suppress(OSError, ValueError, RecursionError):  # damaged
            if not self.examples_file.exists():
                return
            if json.loads(self.examples_file.read_text()) == found:
                return
        raise UserError(
            f"{self.path} holds a run that learned from other examples than the {found['count']} "
            "that were found now: restore them, choose another workdir, or delete "
            f"{self.examples_file} if it is damaged."
        )

    def check_unused(self) -> None:
        """Raise UserError if a run has begun here: it would go on with another configuration."""
        if self.has_begun():
            raise UserError(
                f"{self.path} holds a run, and no {self.config_file.name}: restore it from a copy, "
                "or name the run's recipe."
            )

    def load_config(self) -> ConfigDict | None:
        """Return the saved configuration, or None if there is none.

        Raises:
          UserError: config.json is damaged, or the bucket cannot be reached.
        """
        self._check_bucket()
        if not self.config_file.exists():
            return None
        if not (self.is_remote or Path(self.config_file).is_file()):  # a pipe, for epath, is one
            raise UserError(f"{self.config_file} is not a file: expected a configuration in JSON.")
        if (size := self.config_file.stat().length) > MOST_CONFIG:
            raise UserError(f"{self.config_file} has {size:,} bytes: it is not a configuration.")
        try:
            return ConfigDict(_with_tuples(json.loads(self.config_file.read_text())))
        except (ValueError, AttributeError, OSError, RecursionError) as error:
            raise UserError(
                f"{self.config_file} is not a configuration in JSON ({error}): restore it or name "
                "a recipe."
            ) from error


def _fingerprint(names: Sequence[str]) -> dict[str, int]:
    return {"count": len(names), "crc32": zlib.crc32(os.fsencode("\n".join(names)))}


def _with_tuples(value: object) -> object:
    """Turn JSON's lists back into the tuples that configurations hold."""
    if isinstance(value, dict):
        return {name: _with_tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value

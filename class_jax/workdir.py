"""The folder of a run: what lies where in it, its configuration, and its lock."""

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
CACHE = Path("~/.cache/class_jax")  # where workdirs in buckets keep what they write locally


class Workdir:
    """Names and files of one run.

    Configuration and checkpoints lie in `path`, which may be in a bucket (`gs://…`). Everything
    else is written to `local`, a folder of this machine: `path` itself, or for a bucket a folder of
    the user's cache, from which `publish` copies logs.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """`path` may be relative; nothing is created."""
        given = epath.Path(path)
        self.is_remote = "://" in str(given)
        # Absolute, because orbax refuses relative paths.
        self.path = given if self.is_remote else given.expanduser().absolute()
        self.local = Path(self.path)
        if self.is_remote:
            self.local = CACHE.expanduser() / str(given).replace("://", "/")
        self.config_file = self.path / "config.json"
        self.examples_file = self.path / "examples.json"
        self.checkpoints = self.path / "checkpoints"
        self.metrics_file = self.local / METRICS
        self.evaluation = self.local / "eval"
        self.predictions = self.local / "predictions"

    def check(self) -> None:
        """Raise UserError where the folder is not there and could not be made; makes nothing."""
        if self.is_remote:
            self._check_bucket()
        folder = self.local
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise UserError(f"{self.local} cannot be written to: choose another workdir.")

    def _check_bucket(self) -> None:
        try:
            self.path.exists()
        except Exception as error:  # of the bucket's library, or that there is none
            raise UserError(
                f"--workdir={self.path} cannot be reached ({error}): pip install gcsfs, sign in to "
                "the cloud, and look at the bucket's name."
            ) from error

    def fetch(self) -> None:
        """Get the log of a run that another machine began; nothing to do for a local workdir."""
        if self.is_remote and not self.metrics_file.exists() and (self.path / METRICS).exists():
            (self.path / METRICS).copy(self.metrics_file)

    def publish(self) -> None:
        """Copy logs beside the checkpoints; nothing to do for a local workdir."""
        if self.is_remote:
            for file in (self.metrics_file, *self.local.glob("events.out.tfevents.*")):
                epath.Path(file).copy(self.path / file.name, overwrite=True)

    def create(self) -> None:
        """Make the folder; UserError where it cannot be made or written to."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.local.mkdir(parents=True, exist_ok=True)
            probe = self.local / f".writable-{os.getpid()}"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"{self.local} cannot be written to ({error.strerror}): choose another workdir."
            ) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process alone; two trainings would overwrite each other."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(files.lock(self.local / ".lock", wait=False))
            except BlockingIOError as error:
                raise UserError(
                    f"another process is training in {self.path}: wait for it, or choose another "
                    "workdir."
                ) from error
            yield

    def save_config(self, config: ConfigDict) -> None:
        """Write config.json whole or not at all."""
        files.write_json(self.config_file, config.to_dict())

    def save_examples(self, names: Sequence[str]) -> None:
        """Note which examples the run learns from."""
        files.write_json(self.examples_file, _fingerprint(names))

    def check_examples(self, names: Sequence[str]) -> None:
        """Raise UserError if the run learnt from other examples: their order would be another."""
        if not self.examples_file.exists():
            return
        noted, found = json.loads(self.examples_file.read_text()), _fingerprint(names)
        if noted != found:
            raise UserError(
                f"{self.path} holds a run on {noted['count']} other examples ({found['count']} "
                "were found now): restore them, or choose another workdir."
            )

    def load_config(self) -> ConfigDict | None:
        """The saved configuration, or None where the folder holds none."""
        if self.is_remote:
            self._check_bucket()
        if not self.config_file.exists():
            return None
        try:
            return ConfigDict(_with_tuples(json.loads(self.config_file.read_text())))
        except (ValueError, AttributeError, OSError) as error:
            raise UserError(
                f"{self.config_file} is no configuration in JSON ({error}): restore it, or name "
                "the recipe with --config."
            ) from error


def _fingerprint(names: Sequence[str]) -> dict[str, int]:
    return {"count": len(names), "crc32": zlib.crc32(os.fsencode("\n".join(names)))}


def _with_tuples(value: object) -> object:
    """Configurations hold tuples, which JSON stores as lists."""
    if isinstance(value, dict):
        return {name: _with_tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value

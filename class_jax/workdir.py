"""The folder of a run: what lies where in it, its configuration, and its lock."""

import contextlib
import fcntl
import json
import os
import zlib
from collections.abc import Iterator, Sequence

from etils import epath
from ml_collections import ConfigDict

from class_jax.errors import UserError


class Workdir:
    """Names and files of one run."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """`path` may be relative; nothing is created."""
        # Absolute, because orbax refuses relative paths.
        self.path = epath.Path(path).expanduser().absolute()
        self.config_file = self.path / "config.json"
        self.examples_file = self.path / "examples.json"
        self.checkpoints = self.path / "checkpoints"
        self.metrics_file = self.path / "metrics.jsonl"
        self.evaluation = self.path / "eval"

    def check(self) -> None:
        """Raise UserError where the folder is not there and could not be made; makes nothing."""
        folder = self.path
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise UserError(
                f"--workdir={self.path} cannot be written to: name a folder of your own."
            )

    def create(self) -> None:
        """Make the folder; UserError where it cannot be made or written to."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".writable-{os.getpid()}"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"--workdir={self.path} cannot be written to ({error.strerror}): "
                "name a folder of your own."
            ) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process alone; two trainings would overwrite each other."""
        with (self.path / ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(
                    f"another process is training in {self.path}: wait for it, or choose "
                    "another --workdir."
                ) from error
            yield

    def save_config(self, config: ConfigDict) -> None:
        """Write config.json whole or not at all."""
        _write_json(self.config_file, config.to_dict())

    def save_examples(self, names: Sequence[str]) -> None:
        """Note which examples the run learns from."""
        _write_json(self.examples_file, _fingerprint(names))

    def check_examples(self, names: Sequence[str]) -> None:
        """Raise UserError if the run learnt from other examples: their order would be another."""
        if not self.examples_file.exists():
            return
        noted, found = json.loads(self.examples_file.read_text()), _fingerprint(names)
        if noted != found:
            raise UserError(
                f"{self.path} holds a run on {noted['count']} other examples ({found['count']} "
                "were found now): restore them, or choose another --workdir."
            )

    def load_config(self) -> ConfigDict | None:
        """The saved configuration, or None where the folder holds none."""
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
    return {"count": len(names), "crc32": zlib.crc32("\n".join(names).encode())}


def _write_json(path: epath.Path, value: object) -> None:
    """Whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(value, indent=2) + "\n")
    partial.replace(path)


def _with_tuples(value: object) -> object:
    """Configurations hold tuples, which JSON stores as lists."""
    if isinstance(value, dict):
        return {name: _with_tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value

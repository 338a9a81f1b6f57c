"""Manifests of checkpoints: the SHA-256 of all files, so that damage is found before use.

A manifest has the form of `sha256sum`, which can check it too: `sha256sum -c manifest.sha256`.
"""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

from etils import epath

from class_jax.errors import UserError

NAME = "manifest.sha256"
# Orbax completes these after the manifest, while it gives the folder its final name.
COMMIT_FILES = ("_CHECKPOINT_METADATA", "commit_success.txt")


class DamagedError(UserError):
    """A checkpoint is damaged."""

    def __init__(self, step: int, damage: str, advice: str = "") -> None:
        """Store the step; `damage` says what is wrong with it, `advice` what to do."""
        super().__init__(f"the checkpoint of step {step} is damaged ({damage}){advice}.")
        self.step, self.damage = step, damage


def write_manifest(checkpoints: epath.Path, step: int) -> None:
    """Write the manifest of a checkpoint that is complete but for its final name."""
    # A bucket has no renaming: there the folder has its name from the start.
    temporary = sorted(checkpoints.glob(f"{step}.*"))
    folder = temporary[-1] if temporary else checkpoints / str(step)
    names = sorted(_list_files(folder))
    digests = zip(_hash_all(folder, names), names, strict=True)
    lines = [f"{digest}  {name}\n" for digest, name in digests]
    (folder / NAME).write_text("".join(lines))


def check_manifest(folder: epath.Path) -> str:
    """Return what the manifest shows to be damaged in a folder; "" if nothing is."""
    damaged = [] if _is_json(folder / COMMIT_FILES[0]) else [f"{COMMIT_FILES[0]} is unreadable"]
    try:
        lines = (folder / NAME).read_text().splitlines()
        expected = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError):
        expected = {}
    if not expected:
        damaged.append(f"{NAME} is missing or unreadable")
    found = _hash_all(folder, list(expected))
    for (name, digest), digest_found in zip(expected.items(), found, strict=True):
        if digest_found != digest:
            damaged.append(f"{name} {'differs' if digest_found else 'is missing'}")
    if not damaged:
        return ""
    more = f", and {len(damaged) - 1} more" if len(damaged) > 1 else ""
    return damaged[0] + more


def list_steps(folder: epath.Path) -> list[int]:
    """Return the steps of the checkpoints in a folder, ascending."""
    if not folder.exists():
        return []
    names = {path.name for path in folder.iterdir()}
    return sorted(int(name) for name in names if name.isdecimal() and str(int(name)) == name)


def set_damaged_aside(folder: epath.Path) -> list[str]:
    """Set aside the checkpoints that are newer than the last whole one; return a line for each."""
    lines = []
    for step in reversed(list_steps(folder)):
        damage = check_manifest(folder / str(step))
        if not damage:
            break
        lines.append(set_aside(folder, step, damage))
    return lines


def set_aside(folder: epath.Path, step: int, damage: str) -> str:
    """Rename a damaged checkpoint, so that it is not used, and return a line that says so."""
    target, number = folder / f"damaged-{step}", 1
    while target.exists():
        target, number = folder / f"damaged-{step}-{number}", number + 1
    (folder / str(step)).rename(target)
    return f"warning: the checkpoint of step {step} is damaged ({damage}): moved to {target}"


def _list_files(folder: epath.Path, prefix: str = "") -> list[str]:
    """Return the paths of all files below a folder but those that are not in a manifest."""
    names: list[str] = []
    for path in folder.iterdir():
        if path.is_dir():
            names += _list_files(path, f"{prefix}{path.name}/")
        elif prefix or path.name not in (NAME, *COMMIT_FILES):
            names.append(prefix + path.name)
    return names


def _hash_all(folder: epath.Path, names: list[str]) -> list[str]:
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda name: _hash(folder / name), names))


def _hash(path: epath.Path) -> str:
    """Return the SHA-256 of a file, or "" if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _is_json(path: epath.Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text()), dict)
    except (OSError, ValueError):
        return False

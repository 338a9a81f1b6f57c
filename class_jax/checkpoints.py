"""Checkpoints of training runs; the only file that knows orbax.

A checkpoint has two parts, so that prediction reads no optimizer state: "variables" (parameters
and batch statistics) and "training" (step and optimizer). The latest and the best are kept.
"""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any, Self

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from jax.sharding import Sharding
from orbax.checkpoint import checkpoint_managers

from class_jax import parallel
from class_jax.errors import UserError
from class_jax.models.network import Variables
from class_jax.text import shorten

Tree = Any
BEST_BY = "val_maxF"  # the score that "best" means; larger is better
OVERHEAD = 5_000_000  # bytes of a checkpoint beside its arrays
HOW_TO_GET_ONE = "train a network first, or convert the authors' checkpoint."


class Checkpoints:
    """The checkpoints in one folder. A context: leaving it waits for pending writes."""

    def __init__(self, folder: epath.Path, *, writable: bool) -> None:
        """Open `folder`, an absolute path; if `writable`, create it.

        Raises:
          UserError: it does not exist and is not writable.
        """
        if not writable and not folder.exists():
            raise UserError(f"{folder} does not exist: {HOW_TO_GET_ONE}")
        policy = checkpoint_managers.AnyPreservationPolicy(
            [
                checkpoint_managers.LatestN(1),
                # Not `best_fn` with `max_to_keep`: that deletes the newest step if it is not the
                # best, and a resumed run would start over from an old one.
                checkpoint_managers.BestN(
                    get_metric_fn=_rank, n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        self._folder = folder
        self._writing = 0  # the step whose writing began last
        # Handlers are named so that the shapes in a checkpoint can be read before its values.
        handlers = {part: ocp.StandardCheckpointHandler() for part in ("variables", "training")}
        with _without_warnings():
            # Scores are stored only if `best_fn` is given; the policy alone decides what is kept.
            options = ocp.CheckpointManagerOptions(
                best_fn=_rank,
                preservation_policy=policy,
                create=writable,
                # Half-written by a killed run; a reader must leave the files of a living run alone.
                cleanup_tmp_directories=writable,
                read_only=not writable,
            )
            self._manager = ocp.CheckpointManager(folder, options=options, item_handlers=handlers)

    def __enter__(self) -> Self:
        """Return the checkpoints."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Wait for pending writes and release orbax's threads."""
        with self._explain_failure():
            self._manager.close()

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, ascending."""
        return sorted(self._manager.all_steps())

    def scores(self) -> dict[int, dict[str, float]]:
        """Return validation scores by step, of the checkpoints that were validated."""
        found = {step: self._manager.metrics(step) for step in self.steps()}
        return {step: dict(scores) for step, scores in found.items() if scores}

    def save(
        self, step: int, parts: Mapping[str, Tree], *, scores: Mapping[str, float] | None = None
    ) -> None:
        """Write a checkpoint in the background; one that exists already is left as it is.

        Raises:
          UserError: it, or the one before, cannot be written; earlier checkpoints are kept.
        """
        if step in self.steps():
            return
        self.wait()
        self._writing = step
        parallel.run_on_all(lambda: self._check_room(parts))
        args = {part: ocp.args.StandardSave(tree) for part, tree in parts.items()}
        with self._explain_failure():
            self._manager.save(
                step, args=ocp.args.Composite(**args), metrics=dict(scores) if scores else None
            )

    def wait(self) -> None:
        """Block until all is on the disk; UserError if a write failed."""
        with self._explain_failure():
            self._manager.wait_until_finished()

    def _check_room(self, parts: Mapping[str, Tree]) -> None:
        """Raise UserError on a full disk, which orbax answers with many tracebacks."""
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(parts)) + OVERHEAD
        free = self._measure_free()
        if free is not None and free < needed:
            raise self._failure(f"it needs {needed / 1e6:.0f} MB")

    @contextlib.contextmanager
    def _explain_failure(self) -> Iterator[None]:
        """Convert what orbax raises: a full disk reaches us as an error of many types."""
        try:
            yield
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise self._failure(shorten(reason, 200)) from error

    def _failure(self, reason: str) -> UserError:
        free = self._measure_free()
        room = "" if free is None else f"; its disk has {free / 1e6:.0f} MB left"
        return UserError(
            f"the checkpoint of step {self._writing} cannot be written to {self._folder} "
            f"({reason}){room}: free some space or mend the folder, and the same command goes on "
            "from the checkpoint before."
        )

    def _measure_free(self) -> int | None:
        """Return the free bytes of the disk, or None for a bucket."""
        with contextlib.suppress(OSError):
            if "://" not in str(self._folder):
                return shutil.disk_usage(self._folder).free
        return None

    def find(self, which: str) -> tuple[int, str]:
        """Return the step that "best", "latest" or a number means, and a remark.

        Raises:
          UserError: no checkpoint at all, or none of that step.
        """
        steps = self.steps()
        if not steps:
            raise UserError(f"{self._folder} holds no checkpoint: {HOW_TO_GET_ONE}")
        if which == "latest":
            return steps[-1], "latest"
        if which == "best":
            scores = self.scores()
            if not scores:
                return steps[-1], "latest, as nothing was validated"
            best = max(scores, key=lambda step: (scores[step][BEST_BY], step))
            return best, f"best, {BEST_BY} {scores[best][BEST_BY]:.4f}"
        if which in map(str, steps):
            return int(which), "as asked"
        raise UserError(
            f"{which} is no checkpoint of {self._folder}: expected best, latest or one of its "
            f"steps: {', '.join(map(str, steps))}."
        )

    def fingerprint(self, step: int) -> str:
        """Return text that no other checkpoint has, even of this step and folder."""
        return f"{self._folder} {step} {self._manager.metadata(step).commit_timestamp_nsecs}"

    def restore_variables(self, step: int, shapes: Variables, sharding: Sharding) -> Variables:
        """Return parameters and batch statistics of `step`, in the given shapes."""
        parts = self.restore(step, {"variables": shapes._asdict()}, sharding)
        return Variables(**parts["variables"])

    def restore(self, step: int, shapes: Mapping[str, Tree], sharding: Sharding) -> dict[str, Tree]:
        """Return the parts of `step` that `shapes` names, in the shapes given there.

        Raises:
          UserError: the checkpoint is of another network, or cannot be read.
        """
        parts = {
            part: ocp.args.StandardRestore(_add_sharding(tree, sharding))
            for part, tree in shapes.items()
        }
        try:
            metadata = self._manager.item_metadata(step)
            for part, tree in shapes.items():
                self._check_shapes(step, tree, metadata[part].tree)
            return dict(self._manager.restore(step, args=ocp.args.Composite(**parts)).items())
        except UserError:
            raise
        except Exception as error:  # what orbax and tensorstore raise for damage is not stated
            raise UserError(
                f"the checkpoint {self._folder / str(step)} cannot be read "
                f"({type(error).__name__}): if it is damaged, move it away; another one is then "
                "used, or training starts anew."
            ) from error

    def _check_shapes(self, step: int, wanted: Tree, stored: Tree) -> None:
        """Compare before reading: orbax buries a mismatch under pages of other errors."""
        ours, theirs = _list_shapes(wanted), _list_shapes(stored)
        if ours == theirs:
            return
        names = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
        raise UserError(
            f"the checkpoint of step {step} in {self._folder} is of another network: "
            f"{len(names)} arrays differ, the first is {names[0]} "
            f"({theirs.get(names[0], 'absent')} there, {ours.get(names[0], 'absent')} here); "
            "use the configuration saved in the workdir."
        )


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Drop the warnings of orbax about a folder that is opened for reading."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _rank(scores: Mapping[str, float]) -> float:
    """Return the score that "best" maximizes."""
    return scores[BEST_BY]


def _list_shapes(tree: Tree) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array in a tree by its name."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape)
        for path, leaf in leaves
    }


def _add_sharding(tree: Tree, sharding: Sharding) -> Tree:
    """Return the shapes and dtypes of a tree, with a sharding to restore it in."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
    )

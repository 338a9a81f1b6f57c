"""Checkpoints of training runs; the only file that knows orbax.

A checkpoint has two parts, so that prediction reads no optimiser state: "variables" (parameters
and batch statistics) and "training" (step and optimiser). The latest and the best are kept.
"""

import shutil
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import jax
import orbax.checkpoint as ocp
from etils import epath
from jax.sharding import Sharding
from orbax.checkpoint import checkpoint_managers

from class_jax import parallel
from class_jax.errors import UserError
from class_jax.models.network import Variables

Tree = Any
BEST_BY = "val_maxF"  # the score that "best" means; larger is better
OVERHEAD = 5_000_000  # of a checkpoint over its arrays, bytes
HOW_TO_GET_ONE = "train a network (--mode train), or convert the authors' (--mode convert)."


class Checkpoints:
    """The checkpoints in one folder. A context manager: leaving it waits for pending writes."""

    def __init__(self, folder: epath.Path, *, writable: bool) -> None:
        """Open `folder` (absolute path): for a training run, which creates it, or for reading.

        Raises:
          UserError: to be read, and not there.
        """
        if not writable and not folder.exists():
            raise UserError(f"{folder} does not exist: {HOW_TO_GET_ONE}")
        policy = checkpoint_managers.AnyPreservationPolicy(
            [
                checkpoint_managers.LatestN(1),
                # Not `best_fn` with `max_to_keep`: that deletes the newest step where it is not
                # the best, and a resumed run would start over from an old one.
                checkpoint_managers.BestN(
                    get_metric_fn=_rank, n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        # Scores are stored only where `best_fn` is given; the policy alone decides what is kept.
        options = ocp.CheckpointManagerOptions(
            best_fn=_rank,
            preservation_policy=policy,
            create=writable,
            # What a killed run had half-written; a reader must leave a living run's files alone.
            cleanup_tmp_directories=writable,
            read_only=not writable,
        )
        self._folder = folder
        # Handlers are named so that the shapes in a checkpoint can be read before its values.
        handlers = {part: ocp.StandardCheckpointHandler() for part in ("variables", "training")}
        self._manager = ocp.CheckpointManager(folder, options=options, item_handlers=handlers)

    def __enter__(self) -> Self:
        """Give the checkpoints themselves."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for pending writes and release orbax's threads."""
        self._manager.close()

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, ascending."""
        return sorted(self._manager.all_steps())

    def scores(self) -> dict[int, dict[str, float]]:
        """Validation scores by step, of those checkpoints that were validated."""
        found = {step: self._manager.metrics(step) for step in self.steps()}
        return {step: dict(scores) for step, scores in found.items() if scores}

    def save(
        self, step: int, *, variables: Variables, training: Tree, scores: Mapping[str, float] | None
    ) -> None:
        """Write a checkpoint in the background; one that exists already is left as it is.

        Raises:
          UserError: the disk has no room for it; the checkpoints before it are kept.
        """
        if step in self.steps():
            return
        parallel.run_on_all(lambda: self._check_room(step, (variables, training)))
        parts = ocp.args.Composite(
            variables=ocp.args.StandardSave(variables._asdict()),
            training=ocp.args.StandardSave(training),
        )
        self._manager.save(step, args=parts, metrics=dict(scores) if scores else None)

    def _check_room(self, step: int, state: Tree) -> None:
        """Look before writing: orbax's threads answer a full disk with pages of tracebacks."""
        if "://" in str(self._folder):
            return  # buckets have no end
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + OVERHEAD
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise UserError(
                f"the checkpoint of step {step} needs {needed / 1e6:.0f} MB and the disk of "
                f"{self._folder} has {free / 1e6:.0f} MB left: free some space, and the same "
                "command goes on from the checkpoint before."
            )

    def wait(self) -> None:
        """Block until everything saved so far is on the disk; raises what the writing raised."""
        self._manager.wait_until_finished()

    def find(self, which: str) -> tuple[int, str]:
        """The step that "best", "latest" or a number stands for, and a remark for the user.

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
            f"--checkpoint={which} is neither best, latest nor one of the steps kept in "
            f"{self._folder}: {', '.join(map(str, steps))}."
        )

    def stamp(self, step: int) -> str:
        """Tells this checkpoint from any other, of the same step and folder too."""
        return f"{self._folder} {step} {self._manager.metadata(step).commit_timestamp_nsecs}"

    def restore_variables(self, step: int, shapes: Variables, sharding: Sharding) -> Variables:
        """Parameters and batch statistics of `step`, for a network with these shapes."""
        return Variables(
            **self._restore(step, {"variables": shapes._asdict()}, sharding)["variables"]
        )

    def restore(
        self, step: int, *, variables: Variables, training: Tree, sharding: Sharding
    ) -> tuple[Variables, Tree]:
        """Everything of `step`, in the shapes of the given values (or of their placeholders)."""
        wanted = {"variables": variables._asdict(), "training": training}
        restored = self._restore(step, wanted, sharding)
        return Variables(**restored["variables"]), restored["training"]

    def _restore(self, step: int, wanted: dict[str, Tree], sharding: Sharding) -> dict[str, Tree]:
        """Restore the parts named in `wanted`, each with the shapes given there."""
        parts = {
            part: ocp.args.StandardRestore(_placed(tree, sharding)) for part, tree in wanted.items()
        }
        try:
            metadata = self._manager.item_metadata(step)
            for part, tree in wanted.items():
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
        ours, theirs = _shapes(wanted), _shapes(stored)
        if ours == theirs:
            return
        names = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
        raise UserError(
            f"the checkpoint of step {step} in {self._folder} is of another network: "
            f"{len(names)} arrays differ, the first is {names[0]} "
            f"({theirs.get(names[0], 'absent')} there, {ours.get(names[0], 'absent')} here); "
            "use the configuration saved in the workdir."
        )


def _rank(scores: Mapping[str, float]) -> float:
    """What "best" maximises."""
    return scores[BEST_BY]


def _shapes(tree: Tree) -> dict[str, tuple[int, ...]]:
    """Name → shape of every array in a tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape)
        for path, leaf in leaves
    }


def _placed(tree: Tree, sharding: Sharding) -> Tree:
    """Shapes, dtypes and the sharding that a restored tree shall have."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
    )

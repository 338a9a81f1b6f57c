"""Checkpoints of training runs; the only file that imports orbax.

A checkpoint has two parts, so that prediction reads no optimizer state: "variables" (parameters
and batch statistics) and "training" (step and optimizer). The two latest and the best are kept.
Each has a manifest, and is compared with it before it is used; `manifest.py` knows two names of
orbax's files.
"""

import contextlib
import json
import operator
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from jax.sharding import Sharding
from orbax.checkpoint import checkpoint_managers

from class_jax import parallel
from class_jax.errors import HOW_TO_GET_ONE, UnreadableError, UserError, VanishedError
from class_jax.files import measure_free
from class_jax.models.network import Tree, Variables, describe_difference
from class_jax.runs.manifest import DamagedError, check_manifest, write_manifest
from class_jax.sharding import add_sharding
from class_jax.text import first_line

Result = TypeVar("Result")
BEST_BY = "val_maxF"  # the score that "best" means; larger is better
_rank = operator.itemgetter(BEST_BY)
OVERHEAD = 5_000_000  # bytes of a checkpoint beside its arrays
LATEST = 2  # checkpoints that are kept beside the best: one may be damaged
METADATA = "_CHECKPOINT_METADATA"  # of a checkpoint, in JSON
UNTRAINED = "untrained"  # key in the metadata of a run's initial state
VANISHING_SECONDS = 2  # until a checkpoint that is being removed is gone


def read_checkpoints(folder: epath.Path, use: Callable[["Checkpoints"], Result]) -> Result:
    """Return `use(checkpoints)`.

    Raises:
      UserError: what `use` raises, or there are none.
      VanishedError: a running training removed one meanwhile, or they cannot be read.
    """
    try:
        with _silence_orbax(), Checkpoints(folder, writable=False) as checkpoints:
            return use(checkpoints)
    except UserError:
        raise
    except Exception as error:  # orbax and tensorstore do not state what they raise
        raise UnreadableError(f"{folder} cannot be read ({first_line(error)}).") from error


class Checkpoints(contextlib.AbstractContextManager["Checkpoints"]):
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
                checkpoint_managers.LatestN(LATEST),
                # Not `best_fn` with `max_to_keep`: that deletes the newest step if it is not the
                # best, and a resumed run would start over from an old one.
                checkpoint_managers.BestN(
                    get_metric_fn=_rank, n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        self._folder, self._writable = folder, writable
        self._writing = 0  # the step whose writing began last
        # Handlers are named so that the shapes in a checkpoint can be read before its values.
        handlers = {part: ocp.StandardCheckpointHandler() for part in ("variables", "training")}
        with _silence_orbax():
            # Scores are stored only if `best_fn` is given; the policy alone decides what is kept.
            options = ocp.CheckpointManagerOptions(
                best_fn=_rank,
                preservation_policy=policy,
                create=writable,
                # Half-written by a killed run; a reader must leave the files of a living run alone.
                cleanup_tmp_directories=writable,
                read_only=not writable,
                async_options=ocp.AsyncOptions(
                    post_finalization_callback=lambda: write_manifest(folder, self._writing)
                ),
            )
            self._manager = ocp.CheckpointManager(folder, options=options, item_handlers=handlers)

    def __exit__(self, *exception: object) -> None:
        """Wait for pending writes and release orbax's threads."""
        with self._explain_failure():
            self._manager.close()

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, ascending."""
        return sorted(self._manager.all_steps())

    def reload(self) -> None:
        """Look at the folder anew, after a checkpoint in it was set aside."""
        self._manager.reload()

    def scores(self) -> dict[int, dict[str, float]]:
        """Return validation scores by step, of the checkpoints that were validated."""
        found = {step: self._manager.metrics(step) for step in self.steps()}
        return {step: dict(scores) for step, scores in found.items() if scores}

    def save(
        self,
        step: int,
        parts: Mapping[str, Tree],
        *,
        scores: Mapping[str, float] | None = None,
        untrained: bool = False,
    ) -> None:
        """Write a checkpoint in the background; one that exists already is left as it is.

        Args:
          step: of the checkpoint.
          parts: "variables" and "training".
          scores: of its validation.
          untrained: the initial state; not usable for prediction.

        Raises:
          UserError: it, or the one before, cannot be written; earlier checkpoints are kept.
        """
        if step in self.steps():
            return
        self.wait()
        self._writing = step
        args = {part: ocp.args.StandardSave(tree) for part, tree in parts.items()}
        with self._explain_failure():
            parallel.run_on_all(lambda: self._check_room(parts))
            self._manager.save(
                step,
                args=ocp.args.Composite(**args),
                metrics=dict(scores) if scores else None,
                custom_metadata={UNTRAINED: untrained},
            )

    def wait(self) -> None:
        """Block until everything is written; UserError if a write failed."""
        with self._explain_failure():
            self._manager.wait_until_finished()

    def _check_room(self, parts: Mapping[str, Tree]) -> None:
        """Raise OSError on a full disk, which orbax answers with many tracebacks."""
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(parts)) + OVERHEAD
        free = measure_free(self._folder)
        if free is not None and free < needed:
            raise OSError(f"it needs {needed / 1e6:.0f} MB")

    @contextlib.contextmanager
    def _explain_failure(self) -> Iterator[None]:
        """Convert what orbax raises: a full disk reaches us as an error of many types."""
        try:
            yield
        except Exception as error:
            free = measure_free(self._folder)
            room = "" if free is None else f"; its disk has {free / 1e6:.0f} MB left"
            raise UserError(
                f"the checkpoint of step {self._writing} cannot be written to {self._folder} "
                f"({first_line(error)}){room}: free some space or mend the folder; the same "
                "command then goes on."
            ) from error

    def find(self, which: str) -> tuple[int, str]:
        """Return the step that "best", "latest" or a number means, and a remark.

        Raises:
          UserError: no checkpoint at all, none of that step, or none that was trained.
          DamagedError: its files are not those of its manifest, or cannot be read.
        """
        step, remark = self._find(which)
        if damage := check_manifest(self._folder / str(step)):
            raise self._explain_damage(step, damage)
        if self.is_untrained(step):
            raise UserError(f"{self._folder} holds no trained network yet: train on.")
        return step, remark

    def _find(self, which: str) -> tuple[int, str]:
        steps, scores = self.steps(), self.scores()
        if not steps:
            raise UserError(f"{self._folder} holds no checkpoint: {HOW_TO_GET_ONE}")
        if which == "best" and scores:
            best = max(scores, key=lambda step: (scores[step][BEST_BY], step))
            return best, f"best, {BEST_BY} {scores[best][BEST_BY]:.4f}"
        if which in ("best", "latest"):
            return steps[-1], "latest" if which == "latest" else "latest, as nothing was validated"
        if which in map(str, steps):
            return int(which), "as asked"
        raise UserError(
            f"{which} is not a checkpoint of {self._folder}: expected best, latest or one of its "
            f"steps: {', '.join(map(str, steps))}."
        )

    def is_untrained(self, step: int) -> bool:
        """Return whether a run starts from the checkpoint of `step`, and has not learnt yet."""
        return bool(self._metadata(step).get("custom_metadata", {}).get(UNTRAINED))

    def fingerprint(self, step: int) -> str:
        """Return a text that is unique to this checkpoint, whatever its step and folder."""
        return f"{self._folder} {step} {self._metadata(step)['commit_timestamp_nsecs']}"

    def _metadata(self, step: int) -> dict[str, Any]:
        """Return orbax's metadata of a checkpoint.

        Its own reader opens every array as well, which takes time, and tensorstore frees none of
        the descriptions that it gives.
        """
        try:
            found = json.loads((self._folder / str(step) / METADATA).read_text())
            found["commit_timestamp_nsecs"]  # a damaged file may hold anything
            return found
        except Exception as error:
            raise self._explain_damage(step, first_line(error)) from error

    def restore_variables(self, step: int, shapes: Variables, sharding: Sharding) -> Variables:
        """Return parameters and batch statistics of `step`, in the given shapes."""
        parts = self.restore(step, {"variables": shapes._asdict()}, sharding)
        return Variables(**parts["variables"])

    def restore(self, step: int, shapes: Mapping[str, Tree], sharding: Sharding) -> dict[str, Tree]:
        """Return the parts of `step` that `shapes` names, in the shapes given there.

        Raises:
          UserError: the checkpoint is of another network.
          DamagedError: it cannot be read.
          VanishedError: a running training removed it meanwhile.
        """
        parts = {
            part: ocp.args.StandardRestore(add_sharding(tree, sharding))
            for part, tree in shapes.items()
        }
        try:
            metadata = self._manager.item_metadata(step)
            for part, tree in shapes.items():
                # Before reading: orbax buries a mismatch under pages of other errors.
                if difference := describe_difference(tree, metadata[part].tree):
                    raise UserError(
                        f"the checkpoint of step {step} in {self._folder} is of another network: "
                        f"{difference}; use the configuration saved in the workdir."
                    )
            return dict(self._manager.restore(step, args=ocp.args.Composite(**parts)).items())
        except UserError:
            raise
        except Exception as error:  # what orbax and tensorstore raise for damage is not stated
            raise self._explain_damage(step, first_line(error)) from error

    def _explain_damage(self, step: int, reason: str) -> UserError:
        """Return the error for a checkpoint that cannot be used."""
        if self._writable:
            return DamagedError(step, reason)
        deadline = time.monotonic() + VANISHING_SECONDS
        while (stands := (self._folder / str(step)).exists()) and time.monotonic() < deadline:
            time.sleep(0.1)
        if not stands:
            return VanishedError(f"the checkpoint of step {step} was replaced while it was read.")
        others = [str(other) for other in self.steps() if other != step]
        whole = [other for other in others if not check_manifest(self._folder / other)]
        use = f"these steps can be used: {', '.join(whole)}" if whole else "no other can be used"
        return DamagedError(step, reason, f"; {use}")


@contextlib.contextmanager
def _silence_orbax() -> Iterator[None]:
    """Keep orbax from logging; what matters is raised, too."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.FATAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)

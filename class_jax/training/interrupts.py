"""Stop a run politely: the first signal to end saves and stops, the second ends it at once."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from class_jax import parallel
from class_jax.sharding import batch_sharding, replicated_sharding


class Interrupted(Exception):  # noqa: N818 - it is an event, not an error
    """The run was stopped by a signal and has saved its state."""

    def __init__(self, step: int, *, total_steps: int, signal_number: int) -> None:
        """Store the signal, which decides the exit status."""
        super().__init__(
            f"stopped at step {step} of {total_steps} and saved: the same command goes on from "
            "there."
        )
        self.signal_number = signal_number


class StopRequest:
    """The first signal to end, in `signal_number`, once `note` handles signals."""

    def __init__(self, mesh: Mesh) -> None:
        """Prepare to poll all processes, whose devices are those of `mesh`."""
        self.signal_number: int | None = None
        self._mesh = mesh
        self._pending: jax.Array | None = None
        self._max = jax.jit(jnp.max, out_shardings=replicated_sharding(mesh))

    def poll(self) -> int | None:
        """Return the signal that any process has received: at one step the same in all.

        With several processes this is the answer to the previous call, so that none waits for the
        others: they exchange it on the devices, between two steps.
        """
        if parallel.process_count() == 1:
            return self.signal_number
        previous = self._pending
        own = np.full(len(self._mesh.local_devices), self.signal_number or 0, np.int32)
        everyone = jax.make_array_from_process_local_data(batch_sharding(self._mesh), own)
        self._pending = self._max(everyone)
        return (int(previous) or None) if previous is not None else None

    def note(self, number: int, _: Any) -> None:
        """Remember a signal; KeyboardInterrupt at the second one."""
        if self.signal_number is not None:
            raise KeyboardInterrupt
        self.signal_number = number

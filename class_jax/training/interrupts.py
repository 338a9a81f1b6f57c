"""Stop a run politely: the first signal to end saves and stops, the second ends it at once."""

import signal
from types import FrameType
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from class_jax import parallel
from class_jax.sharding import batch_sharding, replicated_sharding

HANGUP = getattr(signal, "SIGHUP", None)  # a terminal was closed; not on Windows
NO_BATCH = 1000  # pseudo signal number: a process has no more batches


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
    """A context that remembers the first signal to end in `signal_number`."""

    def __init__(self, mesh: Mesh) -> None:
        """Prepare to poll all processes, whose devices are those of `mesh`."""
        self.signal_number: int | None = None
        self._mesh = mesh
        self._pending: jax.Array | None = None
        self._max = jax.jit(jnp.max, out_shardings=replicated_sharding(mesh))

    def __enter__(self) -> Self:
        """Take over the signals; a hangup only if `nohup` has not switched it off."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if HANGUP and signal.getsignal(HANGUP) is not signal.SIG_IGN:
            numbers.append(HANGUP)
        self._previous = {number: signal.signal(number, self._remember) for number in numbers}
        return self

    def __exit__(self, *exception: object) -> None:
        """Restore the handlers."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def poll(self, *, failed: bool) -> int | None:
        """Return the signal that any process has received: at one step the same in all.

        NO_BATCH, if one of several has `failed`. With several processes this is the answer to the
        previous call, so that none waits for the others: they exchange it on the devices, between
        two steps.
        """
        if parallel.process_count() == 1:
            return self.signal_number
        previous = self._pending
        number = self.signal_number or (NO_BATCH if failed else 0)
        own = np.full(len(self._mesh.local_devices), number, np.int32)
        everyone = jax.make_array_from_process_local_data(batch_sharding(self._mesh), own)
        self._pending = self._max(everyone)
        return (int(previous) or None) if previous is not None else None

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is not None:  # the second signal
            raise KeyboardInterrupt
        self.signal_number = number

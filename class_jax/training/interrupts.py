"""Stopping a run politely: the first Ctrl-C or SIGTERM asks, the second insists."""

import signal
from types import FrameType, TracebackType
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from class_jax import parallel
from class_jax.sharding import batch_sharding, replicated_sharding


class Interrupted(Exception):  # noqa: N818 - it is an event, not an error
    """The run was asked to stop and has saved its state; `signal` says by what."""

    def __init__(self, message: str, *, signal_number: int) -> None:
        """`message` for the user; `signal_number` decides the exit status."""
        super().__init__(message)
        self.signal_number = signal_number


class StopRequest:
    """While this context is entered, remembers a first SIGINT or SIGTERM in `signal_number`."""

    def __init__(self, mesh: Mesh) -> None:
        """No signal yet; `mesh`: the devices of all processes."""
        self.signal_number: int | None = None
        self._mesh = mesh
        self._pending: jax.Array | None = None
        self._highest = jax.jit(jnp.max, out_shardings=replicated_sharding(mesh))

    def __enter__(self) -> Self:
        """Take over both signals."""
        self._previous = {
            number: signal.signal(number, self._remember)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give both signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def agreed(self) -> int | None:
        """The signal that any of the processes got: the same answer in all, for a step of all.

        With several processes the answer is that of the call before, so that none waits for the
        others: they are asked by a computation on the devices, between two steps.
        """
        if parallel.process_count() == 1:
            return self.signal_number
        before = self._pending
        own = np.full(len(self._mesh.local_devices), self.signal_number or 0, np.int32)
        everyone = jax.make_array_from_process_local_data(batch_sharding(self._mesh), own)
        self._pending = self._highest(everyone)
        return (int(before) or None) if before is not None else None

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is not None:  # the second time: at once
            raise KeyboardInterrupt
        self.signal_number = number

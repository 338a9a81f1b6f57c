"""One mesh over all devices: batches are sharded along it, the training state is replicated."""

from collections.abc import Mapping

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from class_jax.errors import UserError

BATCH_AXIS = "data"


def make_mesh() -> Mesh:
    """A mesh over every device of every process, with the single axis "data"."""
    # The default axis type, Explicit, would ask every operation of the model to name its sharding.
    return jax.make_mesh((jax.device_count(),), (BATCH_AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharded(mesh: Mesh) -> NamedSharding:
    """Each device holds its share of the first dimension."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXIS))


def check_divisible(batch_size: int, mesh: Mesh, micro_batches: int = 1, *, leaf: str) -> None:
    """Raise UserError, naming the leaf, where devices times micro-batches do not divide a batch."""
    if batch_size % (mesh.size * micro_batches):
        parts = f" in {micro_batches} micro-batches each" if micro_batches > 1 else ""
        raise UserError(
            f"{leaf} = {batch_size} does not divide over {mesh.size} devices{parts}: "
            f"choose a multiple of {mesh.size * micro_batches}."
        )


def round_up_batch(batch_size: int, mesh: Mesh) -> int:
    """The smallest multiple of the number of devices that is at least `batch_size`."""
    return -(-batch_size // mesh.size) * mesh.size


def put_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This process's share of a batch → global arrays, sharded over the devices."""
    sharding = batch_sharded(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, value)
        for name, value in batch.items()
    }

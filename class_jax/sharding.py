"""One mesh over all devices: batches are sharded along it, the training state is replicated.

Where several processes train together, each feeds the rows of a batch that lie on its devices.
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from class_jax.errors import UserError

BATCH_AXIS = "data"


def make_mesh() -> Mesh:
    """A mesh over every device of every process."""
    return mesh_over(jax.devices())


def local_mesh() -> Mesh:
    """A mesh over this process's own devices."""
    return mesh_over(jax.local_devices())


def mesh_over(devices: Sequence[jax.Device]) -> Mesh:
    """A mesh over some devices, with the single axis "data"."""
    # In the order given, that of the processes, so that each of them feeds successive rows;
    # `jax.make_mesh` may choose another. The default axis type, Explicit, would ask every
    # operation of the model to name its sharding.
    return Mesh(np.array(devices), (BATCH_AXIS,), axis_types=(AxisType.Auto,))


def process_rows(batch_size: int, mesh: Mesh) -> range:
    """The rows of a batch that lie on this process's devices, and that it feeds."""
    places = [i for i, device in enumerate(mesh.devices) if device in mesh.local_devices]
    rows = batch_size // mesh.size  # of each device
    return range(rows * min(places), rows * (max(places) + 1))


def replicated_sharding(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
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
    sharding = batch_sharding(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, value)
        for name, value in batch.items()
    }

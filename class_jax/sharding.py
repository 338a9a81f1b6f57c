"""One mesh over all devices: batches are sharded along it, the training state is replicated.

If several processes train together, each feeds the rows of a batch that lie on its devices.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding

from class_jax.errors import UserError

BATCH_AXIS = "data"


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Return a mesh over `devices`, by default all of every process."""
    # In the order of the processes, so that each feeds successive rows; `jax.make_mesh` may choose
    # another. The default axis type, Explicit, would ask every operation to name its sharding.
    devices = jax.devices() if devices is None else devices
    return Mesh(np.array(devices), (BATCH_AXIS,), axis_types=(AxisType.Auto,))


def local_mesh() -> Mesh:
    """Return a mesh over this process's own devices."""
    return make_mesh(jax.local_devices())


def process_rows(batch_size: int, mesh: Mesh) -> range:
    """Return the rows of a global batch that lie on this process's devices."""
    places = [i for i, device in enumerate(mesh.devices) if device in mesh.local_devices]
    rows = batch_size // mesh.size  # of one device
    return range(rows * min(places), rows * (max(places) + 1))


def replicated_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding of an array that every device holds in full."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Put a tree of arrays, equal in all processes, on every device."""
    # From NumPy: in processes of one device each JAX 0.10.2 breaks copies of its own arrays.
    return jax.device_put(jax.tree.map(np.array, tree), replicated_sharding(mesh))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding that divides the first dimension over the devices."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXIS))


def add_sharding(tree: Any, sharding: Sharding) -> Any:
    """Return the shapes and dtypes of a tree of arrays, each with the sharding."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
    )


def check_divisible(batch_size: int, mesh: Mesh, micro_batches: int = 1, *, leaf: str) -> None:
    """Raise UserError unless devices times micro-batches divide the batch."""
    if batch_size % (mesh.size * micro_batches):
        parts = f" in {micro_batches} micro-batches" if micro_batches > 1 else ""
        raise UserError(
            f"{leaf} = {batch_size} does not divide over {mesh.size} devices{parts}: "
            f"choose a multiple of {mesh.size * micro_batches}."
        )


def round_up_batch(batch_size: int, mesh: Mesh) -> int:
    """Return the next multiple of the number of devices from `batch_size` on."""
    return -(-batch_size // mesh.size) * mesh.size


def put_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Return a batch as global arrays on the devices, from the rows of this process."""
    sharding = batch_sharding(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, value)
        for name, value in batch.items()
    }


def compiler_options(mesh: Mesh) -> dict[str, bool] | None:
    """Return options for the compiler of the mesh's devices; None: its own.

    On TPUs XLA would cut fewer than eight images a chip into strips, which it puts together and
    takes apart again around every convolution: by its own estimate that takes half as long again,
    and a third more traffic (docs/results.md).
    """
    if mesh.devices.flat[0].platform != "tpu":
        return None
    names = ("xla_tpu_run_space_to_batch", "xla_tpu_run_space_to_batch_on_new_platforms")
    options = dict.fromkeys(names, False)
    trial = jax.jit(
        lambda: jnp.zeros(()), out_shardings=replicated_sharding(mesh), compiler_options=options
    )
    try:
        trial.lower().compile()
    except jax.errors.JaxRuntimeError:  # another version of the compiler does not know them
        return None
    return options

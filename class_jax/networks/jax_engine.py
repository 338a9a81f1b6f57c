"""The engine for accelerators and for networks that are not exported: a program by JAX."""

import jax
import numpy as np
from jax.sharding import Mesh

from class_jax.models.classnet import Attention
from class_jax.models.network import Network, Variables
from class_jax.sharding import (
    batch_sharding,
    compiler_options,
    put_batch,
    replicated_sharding,
    round_up_batch,
)


class JaxEngine:
    """A network on a mesh of devices; see `engines.Engine`."""

    def __init__(
        self,
        network: Network,
        variables: Variables,
        *,
        image_size: int,
        batch_size: int,
        mesh: Mesh,
    ) -> None:
        """Put the variables on the devices; nothing is compiled before the first image.

        Args:
          network: the network.
          variables: its values.
          image_size: side of the square that the network works at, pixels.
          batch_size: the most images at once, rounded up to a multiple of the devices.
          mesh: the devices.
        """
        devices = list(mesh.devices.flat)
        self.image_size = image_size
        self.batch_size = round_up_batch(batch_size, mesh)
        self.device = f"{len(devices)} × {devices[0].device_kind}"
        self.is_on_cpu = devices[0].platform == "cpu"
        self.variables = jax.device_put(variables, replicated_sharding(mesh))
        self._mesh = mesh
        self._padded_size = mesh.size  # only grows, so that few sizes are compiled
        replicated, sharded = replicated_sharding(mesh), batch_sharding(mesh)
        self._finest_logits = jax.jit(
            network.predict,
            in_shardings=(replicated, sharded),
            out_shardings=replicated,
            compiler_options=compiler_options(mesh),
        )
        self._attention = jax.jit(network.attend)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Compute the finest logits, float32 [B, S, S], of RGB images, uint8 [B, S, S, 3]."""
        count = len(images)
        self.expect(count)
        images = np.pad(images, ((0, self._padded_size - count), (0, 0), (0, 0), (0, 0)))
        batch = put_batch({"image": images}, self._mesh)["image"]
        return np.asarray(self._finest_logits(self.variables, batch))[:count]

    def attend(self, images: np.ndarray) -> list[Attention]:
        """Compute the attention weights at levels 2, 3, 4, as arrays of NumPy."""
        return jax.device_get(self._attention(self.variables, images))

    def expect(self, count: int) -> None:
        """Pad batches as for `count` images, so that those left of a set are predicted alike."""
        size = min(count, self.batch_size)
        self._padded_size = max(self._padded_size, round_up_batch(size, self._mesh))

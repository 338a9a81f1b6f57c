"""Predict saliency maps for images of any size with the network of a run."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self, overload

import cv2
import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from class_jax.checkpoints import HOW_TO_GET_ONE, Checkpoints
from class_jax.data.images import read_image, resize
from class_jax.errors import UserError
from class_jax.models.network import Network, Variables, build_network
from class_jax.sharding import (
    batch_sharding,
    local_mesh,
    put_batch,
    replicated_sharding,
    round_up_batch,
)
from class_jax.workdir import Workdir

AnyImage = np.ndarray | str | os.PathLike[str]  # pixels, or the path of a file


class PreparedImage(NamedTuple):
    """An image resized for the network, and its own size."""

    pixels: np.ndarray  # uint8 [side, side, 3]
    height: int
    width: int


class Predictor:
    """A trained network that predicts saliency maps.

    Images are resized to the network's square size, as in training; the logits are resized back
    to each image's own size, and the sigmoid is applied last.
    """

    def __init__(
        self,
        network: Network,
        variables: Variables,
        *,
        settings: ConfigDict,
        mesh: Mesh,
        checkpoint: str = "",
        fingerprint: str = "",
    ) -> None:
        """Put the variables on the devices; nothing is compiled before the first image.

        Args:
          network: the network.
          variables: its values.
          settings: `image_size`, the side of the square that the network works at, in pixels, and
            `batch_size`, the most images at once, rounded up to a multiple of the devices.
          mesh: the devices.
          checkpoint: a description of the checkpoint for users.
          fingerprint: changes with everything that maps depend on besides the image.
        """
        self.checkpoint = checkpoint
        self.image_size = settings.image_size
        devices = list(mesh.devices.flat)
        self.device = f"{len(devices)} × {devices[0].device_kind}"
        self.batch_size = round_up_batch(settings.batch_size, mesh)
        self._fingerprint = fingerprint
        self._mesh = mesh
        self._variables = jax.device_put(variables, replicated_sharding(mesh))
        self._padded_size = mesh.size  # only grows, so that few sizes are compiled
        replicated, sharded = replicated_sharding(mesh), batch_sharding(mesh)
        self._finest_logits = jax.jit(
            lambda variables, images: network.apply(variables, images)[0],
            in_shardings=(replicated, sharded),
            out_shardings=replicated,
        )

    @classmethod
    def load(cls, workdir: str | os.PathLike[str], *, checkpoint: str = "best") -> Self:
        """Load the network of a run with the values of one of its checkpoints.

        Args:
          workdir: the folder of the run.
          checkpoint: "best", "latest" or a step number.

        Raises:
          UserError: no run there, or no such checkpoint.
        """
        folder = Workdir(workdir)
        config = folder.load_config()
        if config is None:
            raise UserError(f"{folder.path} holds no trained network yet: {HOW_TO_GET_ONE}")
        return cls.from_run(config, folder, checkpoint=checkpoint)

    @classmethod
    def from_run(cls, config: ConfigDict, workdir: Workdir, *, checkpoint: str) -> Self:
        """Load as `load`, with the `eval` section of the given configuration."""
        settings = config.eval
        network = build_network(config.model, dtype=settings.dtype)
        mesh = local_mesh()  # several processes make maps of their own
        with Checkpoints(workdir.checkpoints, writable=False) as checkpoints:
            step, remark = checkpoints.find(checkpoint)
            variables = checkpoints.restore_variables(
                step, network.shapes, replicated_sharding(mesh)
            )
            fingerprint = f"{checkpoints.stamp(step)} {settings.image_size} {settings.dtype}"
        return cls(
            network,
            variables,
            settings=settings,
            mesh=mesh,
            checkpoint=f"step {step} ({remark})",
            fingerprint=fingerprint,
        )

    def fingerprint(self, image: str) -> str:
        """Return the fingerprint of the map of an image with this fingerprint."""
        return hashlib.sha256(os.fsencode(f"{self._fingerprint} {image}")).hexdigest()[:32]

    @overload
    def predict(self, images: AnyImage) -> np.ndarray: ...  # type: ignore[overload-overlap]  # str

    @overload
    def predict(self, images: Sequence[AnyImage]) -> list[np.ndarray]: ...

    def predict(self, images: AnyImage | Sequence[AnyImage]) -> np.ndarray | list[np.ndarray]:
        """Compute the saliency maps of images at their own sizes.

        Args:
          images: uint8 RGB [H, W, 3] or the path of an image file, or a sequence of those, of any
            sizes.

        Returns:
          A map, float32 [H, W] in 0–1; a list of maps for a sequence.

        Raises:
          ValueError: an array is not uint8 [H, W, 3].
          UserError: a file cannot be read as an image.
        """
        if isinstance(images, (np.ndarray, str, os.PathLike)):
            return self.predict([images])[0]
        maps: list[np.ndarray] = []
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            maps += self.maps([self.prepare(image) for image in batch])
        return maps

    def prepare(self, image: AnyImage) -> PreparedImage:
        """Read an image and resize it for the network; a batch of them is small.

        Raises:
          ValueError, UserError: as `predict`.
        """
        pixels = image if isinstance(image, np.ndarray) else read_image(image)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(
                f"expected a uint8 image [H, W, 3], got {pixels.dtype} {list(pixels.shape)}"
            )
        side = self.image_size
        return PreparedImage(resize(pixels, side, side), pixels.shape[0], pixels.shape[1])

    def maps(self, batch: Sequence[PreparedImage]) -> Iterator[np.ndarray]:
        """Yield the maps of up to `batch_size` images at their own sizes."""
        inputs = np.stack([image.pixels for image in batch])
        self._padded_size = max(self._padded_size, round_up_batch(len(batch), self._mesh))
        missing = self._padded_size - len(batch)
        inputs = np.pad(inputs, ((0, missing), (0, 0), (0, 0), (0, 0)))
        logits = self._finest_logits(
            self._variables, put_batch({"image": inputs}, self._mesh)["image"]
        )
        for row, image in zip(np.asarray(logits), batch, strict=False):
            yield _resize_to_map(row, image.height, image.width)


def _resize_to_map(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize logits [h, w], then apply the sigmoid, as the authors' test script."""
    resized = cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR)
    # By tanh: exp overflows for large negative logits.
    return (0.5 * (1 + np.tanh(0.5 * resized))).astype(np.float32)

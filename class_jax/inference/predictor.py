"""Saliency maps for images of any size, from the checkpoint of a run."""

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

Picture = np.ndarray | str | os.PathLike[str]


class Prepared(NamedTuple):
    """An image as the network takes it, and its own size."""

    pixels: np.ndarray  # uint8 [side, side, 3]
    height: int
    width: int


class Predictor:
    """A trained network, ready for images.

    Images are resized to the network's square size, as in training; the logits are resized back
    to each image's own size, and only then turned into a map.
    """

    def __init__(
        self,
        network: Network,
        variables: Variables,
        *,
        image_size: int,
        batch_size: int,
        mesh: Mesh,
        checkpoint: str = "",
        stamp: str = "",
    ) -> None:
        """Put the variables on the devices; nothing is compiled before the first image.

        Args:
          network: the network.
          variables: its values.
          image_size: side of the square that the network works at, pixels.
          batch_size: most images at once; rounded up to a multiple of the devices.
          mesh: the devices.
          checkpoint: where the values come from, for people.
          stamp: all that maps depend on besides the image, for `origin`.
        """
        self.checkpoint, self.stamp = checkpoint, stamp
        self.image_size = image_size
        devices = list(mesh.devices.flat)
        self.device = f"{len(devices)} × {devices[0].device_kind}"
        self.batch_size = round_up_batch(batch_size, mesh)
        self._mesh = mesh
        self._variables = jax.device_put(variables, replicated_sharding(mesh))
        self._padded_to = mesh.size  # grows to what was needed: few compilations
        replicated, sharded = replicated_sharding(mesh), batch_sharding(mesh)
        self._finest_logits = jax.jit(
            lambda variables, images: network.apply(variables, images)[0],
            in_shardings=(replicated, sharded),
            out_shardings=replicated,
        )

    @classmethod
    def load(cls, workdir: str | os.PathLike[str], *, checkpoint: str = "best") -> Self:
        """The network of a run, with the values of one of its checkpoints.

        Args:
          workdir: folder that training wrote.
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
        """As `load`, by a configuration that may differ from the saved one in its `eval` leaves."""
        network = build_network(config.model, dtype=config.eval.dtype)
        mesh = local_mesh()  # where there are other processes, each makes maps of its own
        with Checkpoints(workdir.checkpoints, writable=False) as checkpoints:
            step, remark = checkpoints.find(checkpoint)
            variables = checkpoints.restore_variables(
                step, network.shapes, replicated_sharding(mesh)
            )
            stamp = f"{checkpoints.fingerprint(step)} {config.eval.image_size} {config.eval.dtype}"
        return cls(
            network,
            variables,
            image_size=config.eval.image_size,
            batch_size=config.eval.batch_size,
            mesh=mesh,
            checkpoint=f"step {step} ({remark})",
            stamp=stamp,
        )

    def origin(self, image: str) -> str:
        """Tells this network's map of an image from any other map, given the image's identity."""
        return hashlib.sha256(os.fsencode(f"{self.stamp} {image}")).hexdigest()[:32]

    @overload
    def predict(self, images: Picture) -> np.ndarray: ...  # type: ignore[overload-overlap]  # str

    @overload
    def predict(self, images: Sequence[Picture]) -> list[np.ndarray]: ...

    def predict(self, images: Picture | Sequence[Picture]) -> np.ndarray | list[np.ndarray]:
        """Saliency maps, float32 [H, W] in 0–1, at each image's own size.

        Args:
          images: uint8 RGB [H, W, 3] or the path of an image file, or a sequence of such, each of
            any size.

        Returns:
          A map for an image, a list of maps for a sequence.

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

    def prepare(self, image: Picture) -> Prepared:
        """What the network needs of an image; small, so that a batch of photographs fits memory.

        Raises:
          ValueError, UserError: as `predict`.
        """
        pixels = image if isinstance(image, np.ndarray) else read_image(image)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(
                f"expected a uint8 image [H, W, 3], got {pixels.dtype} {list(pixels.shape)}"
            )
        side = self.image_size
        return Prepared(resize(pixels, side, side), pixels.shape[0], pixels.shape[1])

    def maps(self, batch: Sequence[Prepared]) -> Iterator[np.ndarray]:
        """The maps of at most `batch_size` prepared images, each made when it is asked for."""
        inputs = np.stack([each.pixels for each in batch])
        self._padded_to = max(self._padded_to, round_up_batch(len(batch), self._mesh))
        missing = self._padded_to - len(batch)
        inputs = np.pad(inputs, ((0, missing), (0, 0), (0, 0), (0, 0)))
        logits = self._finest_logits(
            self._variables, put_batch({"image": inputs}, self._mesh)["image"]
        )
        for logit, each in zip(np.asarray(logits), batch, strict=False):
            yield _at_size(logit, each.height, each.width)


def _at_size(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """Logits [h, w] → map [height, width]: bilinear first, sigmoid after, as the paper's test."""
    resized = cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR)
    # By tanh: exp overflows for large negative logits.
    return (0.5 * (1 + np.tanh(0.5 * resized))).astype(np.float32)

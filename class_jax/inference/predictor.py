"""Predict saliency maps for images of any size with the network of a run."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Self, cast, overload

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict
from PIL import Image

from class_jax.checkpoints import HOW_TO_GET_ONE, Checkpoints, read_checkpoints
from class_jax.data.decode import MOST_PIXELS, Source
from class_jax.data.images import Picture, load_image
from class_jax.data.resize import resize, resize_bilinear
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

AnyImage = np.ndarray | Source  # pixels, a path, bytes, an open binary file or a PIL image


FILES = (str, os.PathLike, bytes, Image.Image)  # beside open binary files
EXPECTED = "uint8 RGB [H, W, 3], a path, bytes, an open binary file or a PIL image"


class FoundNetwork(NamedTuple):
    """A checkpoint that was found but not yet loaded."""

    step: int
    description: str  # for users
    fingerprint: str  # changes with everything that maps depend on besides the image


def find_network(config: ConfigDict, workdir: Workdir, checkpoint: str) -> FoundNetwork:
    """Find a checkpoint ("best", "latest" or a step) without loading it.

    Raises:
      UserError: no run there, or no such checkpoint.
    """

    def find(checkpoints: Checkpoints) -> FoundNetwork:
        step, remark = checkpoints.find(checkpoint)
        model = json.dumps(config.model.to_dict(), sort_keys=True, default=str)
        settings = f"{config.eval.image_size} {config.eval.dtype} {model}"
        fingerprint = f"{checkpoints.fingerprint(step)} {settings}"
        return FoundNetwork(step, f"step {step} ({remark})", fingerprint)

    return read_checkpoints(workdir.checkpoints, find)


def map_fingerprint(network: str, image: str) -> str:
    """Return the fingerprint of the map that a network makes of an image."""
    return hashlib.sha256(os.fsencode(f"{network} {image}")).hexdigest()[:32]


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
    ) -> None:
        """Put the variables on the devices; nothing is compiled before the first image.

        Args:
          network: the network.
          variables: its values.
          settings: `image_size`, the side of the square that the network works at, in pixels, and
            `batch_size`, the most images at once, rounded up to a multiple of the devices.
          mesh: the devices.
        """
        self.image_size = settings.image_size
        devices = list(mesh.devices.flat)
        self.device = f"{len(devices)} × {devices[0].device_kind}"
        self.batch_size = round_up_batch(settings.batch_size, mesh)
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
        return cls._restore(config, folder, lambda checkpoints: checkpoints.find(checkpoint)[0])

    @classmethod
    def from_run(cls, config: ConfigDict, workdir: Workdir, *, step: int) -> Self:
        """Load a step of a run, with the `eval` section of the given configuration.

        Raises:
          DamagedError: the checkpoint is damaged.
          VanishedError: a running training has removed it.
        """
        return cls._restore(config, workdir, lambda checkpoints: step)

    @classmethod
    def _restore(
        cls, config: ConfigDict, workdir: Workdir, find_step: Callable[[Checkpoints], int]
    ) -> Self:
        network = build_network(config.model, dtype=config.eval.dtype)
        mesh = local_mesh()  # several processes make maps of their own

        def restore(checkpoints: Checkpoints) -> Variables:
            sharding = replicated_sharding(mesh)
            return checkpoints.restore_variables(find_step(checkpoints), network.shapes, sharding)

        variables = read_checkpoints(workdir.checkpoints, restore)
        return cls(network, variables, settings=config.eval, mesh=mesh)

    @overload
    def predict(self, images: AnyImage) -> np.ndarray: ...  # type: ignore[overload-overlap]  # str

    @overload
    def predict(self, images: Sequence[AnyImage]) -> list[np.ndarray]: ...

    def predict(self, images: AnyImage | Sequence[AnyImage]) -> np.ndarray | list[np.ndarray]:
        """Compute the saliency maps of images at their own sizes.

        Args:
          images: an image of any size: uint8 RGB [H, W, 3], a path, bytes of a file, an open
            binary file or a PIL image; or a sequence of those.

        Returns:
          A map, float32 [H, W] in 0–1; a list of maps for a sequence.

        Raises:
          TypeError: an image is of another type.
          ValueError: an array is not uint8 [H, W, 3], or it is empty.
          UserError: a file cannot be read as an image.
        """
        if _is_one_image(images):
            return self.predict([cast("AnyImage", images)])[0]
        if not isinstance(images, Sequence):
            raise TypeError(f"expected {EXPECTED}, or a sequence of those; got {type(images)}")
        maps: list[np.ndarray] = []
        for start in range(0, len(images), self.batch_size):
            batch = cast("Sequence[AnyImage]", images[start : start + self.batch_size])
            maps += self.maps([self.prepare(image) for image in batch])
        return maps

    def expect(self, count: int) -> None:
        """Pad batches as for `count` images, so that those left of a set are predicted alike.

        The size of a batch decides how sums are rounded.
        """
        size = min(count, self.batch_size)
        self._padded_size = max(self._padded_size, round_up_batch(size, self._mesh))

    def prepare(self, image: AnyImage | Picture) -> Picture:
        """Read an image and resize it for the network, which keeps a batch of them small.

        Raises:
          TypeError, ValueError, UserError: as `predict`.
        """
        if isinstance(image, np.ndarray):
            image = _check_array(image)
        elif not isinstance(image, Picture):
            if not isinstance(image, FILES) and not hasattr(image, "read"):
                raise TypeError(f"expected {EXPECTED}; got {type(image)}")
            image = load_image(image, side=self.image_size, most=MOST_PIXELS)
        side = self.image_size
        return image._replace(pixels=resize(image.pixels, side, side))

    def maps(self, batch: Sequence[Picture]) -> Iterator[np.ndarray]:
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


def _is_one_image(images: object) -> bool:
    return isinstance(images, (np.ndarray, *FILES)) or hasattr(images, "read")


def _check_array(image: np.ndarray) -> Picture:
    """Return an array as a picture; ValueError if it is no RGB image."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected uint8 RGB [H, W, 3], got {image.dtype} {list(image.shape)}")
    if not image.size:
        raise ValueError(f"expected an image, got an empty array {list(image.shape)}")
    return Picture(image, image.shape[0], image.shape[1])


def _resize_to_map(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize logits [h, w], then apply the sigmoid, as the authors' test script."""
    resized = resize_bilinear(logits, height, width)
    # By tanh: exp overflows for large negative logits.
    return (0.5 * (1 + np.tanh(0.5 * resized))).astype(np.float32)

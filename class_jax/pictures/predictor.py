"""Predict saliency maps for images of any size with a trained network."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Self, TypeVar, cast, overload

import numpy as np
from PIL import Image

from class_jax.data.decode import MOST_PIXELS, Source, name_of
from class_jax.data.images import Picture, load_image, load_original
from class_jax.data.resize import resize, resize_bilinear
from class_jax.networks.engines import Engine
from class_jax.networks.places import BEST, PHOTO, find, keep_trying
from class_jax.pictures.outputs import CUTOUT, Output, parse_background, render

AnyImage = np.ndarray | Source  # pixels, a path, bytes, an open binary file or a PIL image
T = TypeVar("T")

FILES = (str, os.PathLike, bytes, Image.Image)  # beside open binary files
EXPECTED = "uint8 RGB [H, W, 3], a path, bytes, an open binary file or a PIL image"


def map_fingerprint(network: str, image: str) -> str:
    """Return the fingerprint of the map that a network makes of an image."""
    return hashlib.sha256(os.fsencode(f"{network} {image}")).hexdigest()[:32]


class Predictor:
    """A trained network that predicts saliency maps.

    Images are resized to the network's square size, as in training; the logits are resized back
    to each image's own size, and the sigmoid is applied last.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        """Use an engine: a network that is loaded, by default the one that comes with class_jax."""
        self.engine = engine or find(PHOTO).engine()
        self.image_size, self.batch_size = self.engine.image_size, self.engine.batch_size
        self.device = self.engine.device

    @classmethod
    def load(cls, model: str | os.PathLike[str] = PHOTO, *, checkpoint: str = BEST) -> Self:
        """Load a trained network.

        Args:
          model: "photo", the network that comes with class_jax; a workdir, an exported folder, an
            `.onnx` file, the authors' checkpoint or `hf://owner/name`.
          checkpoint: of a workdir: "best", "latest" or a step number.

        Raises:
          UserError: there is none, or no such checkpoint.
        """
        return cls(keep_trying(lambda: find(model, checkpoint).engine()))

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
        pictures = enumerate(self.prepare(image) for image in cast("Sequence[AnyImage]", images))
        return [saliency for _, saliency in self.map_all(pictures)]

    def cutout(
        self,
        images: AnyImage | Sequence[AnyImage],
        *,
        background: str | None = None,
        threshold: float | None = None,
        crop: bool = False,
    ) -> np.ndarray | list[np.ndarray]:
        """Cut out what is salient; the colours at soft edges are the object's own.

        Args:
          images: as for `predict`.
          background: a colour, the path of a picture, or "blur"; None: transparent.
          threshold: makes alpha hard, at this level in 0–1.
          crop: to the object, with a margin of 5 %.

        Returns:
          uint8 RGBA [H, W, 4], with a background RGB [H, W, 3]; a list for a sequence.

        Raises:
          TypeError, ValueError, UserError: as `predict`; or another background.
        """
        output = Output(CUTOUT, parse_background(background), threshold, crop)
        if _is_one_image(images):
            return self._cut_out(cast("AnyImage", images), output)
        return [self._cut_out(image, output) for image in cast("Sequence[AnyImage]", images)]

    def _cut_out(self, image: AnyImage, output: Output) -> np.ndarray:
        """Cut out what is salient in one image."""
        if isinstance(image, np.ndarray):
            return render(output, self.predict(image), image, "the array")
        original = load_original(image).pixels
        return render(output, self.predict(image), original, name_of(image))

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
        return image._replace(pixels=resize(image.pixels, self.image_size, self.image_size))

    def map_all(self, pictures: Iterable[tuple[T, Picture]]) -> Iterator[tuple[T, np.ndarray]]:
        """Yield what stands beside each prepared picture, with its map at the picture's own size.

        Args:
          pictures: pairs of anything and a picture from `prepare`; `batch_size` are held at a time.
        """
        batch: list[tuple[T, Picture]] = []
        for pair in pictures:
            batch.append(pair)
            if len(batch) == self.batch_size:
                yield from self._map_batch(batch)
                batch = []
        if batch:
            yield from self._map_batch(batch)

    def _map_batch(self, batch: Sequence[tuple[T, Picture]]) -> Iterator[tuple[T, np.ndarray]]:
        keys, pictures = zip(*batch, strict=True)
        yield from zip(keys, self.maps(pictures), strict=True)

    def maps(self, batch: Sequence[Picture]) -> Iterator[np.ndarray]:
        """Yield the maps of up to `batch_size` images at their own sizes."""
        logits = self.engine.logits(np.stack([image.pixels for image in batch]))
        for row, image in zip(logits, batch, strict=True):
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

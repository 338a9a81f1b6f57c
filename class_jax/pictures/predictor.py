"""Predict saliency maps and cut-outs for images of any size with a trained network."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, cast, overload

import numpy as np

from class_jax.data.images import Picture
from class_jax.data.resize import resize_bilinear
from class_jax.errors import UserError
from class_jax.networks.engines import Engine
from class_jax.networks.places import BEST, PHOTO, find, keep_trying
from class_jax.pictures.outputs import CUTOUT, MAPS, Output
from class_jax.pictures.pipeline import EXPECTED, FILES, AnyImage, Made, make, make_each
from class_jax.pictures.settings import parse_output


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
        self._process = os.getpid()

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
    def predict(self, images: Iterable[AnyImage]) -> list[np.ndarray]: ...

    def predict(self, images: AnyImage | Iterable[AnyImage]) -> np.ndarray | list[np.ndarray]:
        """Compute the saliency maps of images at their own sizes.

        Args:
          images: an image of any size: uint8 RGB [H, W, 3], a path, bytes of a file, an open
            binary file or a PIL image; or several of those.

        Returns:
          A map, float32 [H, W] in 0–1; a list of maps for several images.

        Raises:
          TypeError: an image is of another type.
          ValueError: an array is not uint8 [H, W, 3], or it is empty.
          UserError: a file cannot be read as an image.
        """
        return self._make(images, MAPS, lambda made: made.saliency)

    def cutout(
        self,
        images: AnyImage | Iterable[AnyImage],
        *,
        background: Any = None,
        threshold: float | str | None = None,
        crop: bool = False,
    ) -> np.ndarray | list[np.ndarray]:
        """Cut out what is salient; the colours at soft edges are the object's own.

        Args:
          images: as for `predict`.
          background: a colour (a name, #RRGGBB or three numbers), an image (an array, a PIL image
            or a path), or "blur"; None: transparent.
          threshold: makes alpha hard, at this level in 0–1.
          crop: to the object, with a margin of 5 %.

        Returns:
          uint8 RGBA [H, W, 4], with a background RGB [H, W, 3]; a list for several images.

        Raises:
          TypeError, ValueError, UserError: as `predict`; or a setting is none of those.
        """
        settings = {"background": background, "threshold": threshold, "crop": crop}
        output = parse_output(CUTOUT, settings)
        return self._make(images, output, lambda made: made.pixels)

    def _make(
        self,
        images: AnyImage | Iterable[AnyImage],
        output: Output,
        pick: Callable[[Made], np.ndarray],
    ) -> Any:
        """Return what `pick` takes of an image's output; a list of that for several images."""
        if isinstance(images, (np.ndarray, *FILES)) or hasattr(images, "read"):
            return pick(make(self, cast("AnyImage", images), output))
        if isinstance(images, Mapping) or not isinstance(images, Iterable):
            raise TypeError(f"expected {EXPECTED}, or several of those; got {type(images)}")
        results = []
        for _, made in make_each(self, ((None, image) for image in images), output):
            if isinstance(made, UserError):
                raise made
            results.append(pick(made))
        return results

    def maps(self, batch: Sequence[Picture]) -> Iterator[np.ndarray]:
        """Yield the maps of up to `batch_size` prepared images at their own sizes.

        Raises:
          UserError: the predictor was made before this process was forked.
        """
        if os.getpid() != self._process:  # JAX and ONNX Runtime would wait for threads for ever
            raise UserError(
                "this predictor was made before the process was forked: make one in each process, "
                "or start processes by spawn."
            )
        logits = self.engine.logits(np.stack([image.pixels for image in batch]))
        for row, image in zip(logits, batch, strict=True):
            resized = resize_bilinear(row, image.height, image.width)
            # The sigmoid by tanh: exp overflows for large negative logits.
            yield (0.5 * (1 + np.tanh(0.5 * resized))).astype(np.float32)

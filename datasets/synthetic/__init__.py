"""The synthetic data set: images with masks made from (seed, index) alone, without a download.

Salient are closed regions with a sharp edge, a texture of another kind and finer than that of
their surround, and a lit rim. Not salient are patches of the background's own texture that change
colour or contrast over a soft border, and specks. Colours, brightness and contrast of all of them
come from the same distributions, so no threshold on one of these finds the objects.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from class_jax.data.sources import Example
from class_jax.errors import UserError
from datasets.synthetic.render import render_scene
from datasets.synthetic.scenes import draw_scene

SMALLEST_SIDE = 32
STREAM = zlib.crc32(b"synthetic")


class SyntheticSource:
    """Random access to synthetic images; picklable and equal on every machine."""

    def __init__(
        self, num_images: int, *, seed: int, image_size: tuple[int, int] = (128, 128)
    ) -> None:
        """Describe the set; images are drawn on access.

        Args:
          num_images: length of the set; an image does not depend on it.
          seed: sets of different seeds have no image in common.
          image_size: (height, width), pixels; textures are easy to see from about 96 pixels.

        Raises:
          UserError: no images, a negative seed or sides below 32 pixels.
        """
        if num_images < 1 or seed < 0 or min(image_size) < SMALLEST_SIDE:
            raise UserError(
                f"a synthetic set of {num_images} images with seed {seed} and size {image_size} "
                f"cannot be made: give at least 1 image, a seed of 0 or more and sides of "
                f"{SMALLEST_SIDE} pixels or more."
            )
        self.names: Sequence[str] = [f"{index:05d}" for index in range(num_images)]
        self._seed = seed
        self._height, self._width = image_size

    def load(self, index: int, side: int | None = None) -> Example:
        """Draw image `index` and its mask, at full scale for any `side`."""
        del side
        name = self.names[index]
        rng = np.random.default_rng([self._seed, STREAM, int(name)])
        scene = draw_scene(rng, self._height, self._width)
        image, mask = render_scene(scene, self._height, self._width)
        return {"name": name, "image": image, "mask": mask, "size": (self._height, self._width)}

    def __getitem__(self, index: int) -> Example:
        """Draw image `index` and its mask, so that `for example in source` works."""
        return self.load(index)

    def fingerprint(self, index: int) -> str:
        """Return everything that image `index` depends on."""
        return f"synthetic {self._seed} {index} {self._height} {self._width}"

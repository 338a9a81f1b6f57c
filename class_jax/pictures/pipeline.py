"""Predict images and render outputs; files, Python and the server all use this."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numpy as np
from PIL import Image

from class_jax.data.decode import MOST_PIXELS, ImageSource
from class_jax.data.images import Original, Picture, load_image, load_original
from class_jax.data.resize import resize
from class_jax.errors import UserError
from class_jax.pictures.outputs import Output, Scene, check_array, flatten, render

if TYPE_CHECKING:
    from class_jax.pictures.predictor import Predictor

T = TypeVar("T")

Reader = Callable[[int | None], Picture]  # reads an image for a network of this side
AnyImage = np.ndarray | ImageSource | bytearray | memoryview
AnySource = AnyImage | Original | Reader
Held = str | os.PathLike[str] | bytes | Image.Image | Original | Reader
Adjust = Callable[[T, np.ndarray], tuple[np.ndarray, Output]]
FILES = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)  # or open binary files
EXPECTED = "uint8 RGB [H, W, 3], a path, bytes, an open binary file or a PIL image"


class Made(NamedTuple):
    """An image's map, and the output that was made of both."""

    saliency: np.ndarray  # float32 [H, W] in 0–1
    pixels: np.ndarray  # of the output
    like: Original | None  # the source of metadata for the output's file
    is_salient: bool  # something was found
    guesses: tuple[str, ...]  # how the image was read, where that was a guess


def make(predictor: "Predictor", source: AnySource, output: Output, name: object = None) -> Made:
    """Make an output of an image.

    Args:
      predictor: the network.
      source: pixels, a path, bytes, an open binary file, a PIL image, an image that was read, or
        for maps a function that reads it.
      output: what to make.
      name: of the image, for messages.

    Raises:
      TypeError, ValueError, UserError: the image cannot be read, or the output not be made of it.
    """
    ((_, made),) = make_each(predictor, [(None, source)], output)
    if isinstance(made, UserError):
        raise made
    return made


def make_each(
    predictor: "Predictor",
    sources: Iterable[tuple[T, AnySource]],
    output: Output,
    name: Callable[[T], object] = lambda key: key,
    adjust: Adjust[T] | None = None,
) -> Iterator[tuple[T, Made | UserError]]:
    """Make an output of each image, in batches; yield each key with its result.

    An image that cannot be read, or the output that cannot be made of it, gives its error.
    `adjust` is called with each map, in order, and returns it, or another, and what to make.
    """
    batch: list[tuple[T, Held, Picture]] = []

    def finish() -> Iterator[tuple[T, Made | UserError]]:
        maps = predictor.maps([prepared for _, _, prepared in batch])
        for (key, held, prepared), saliency in zip(batch, maps, strict=True):
            try:
                found, wanted = adjust(key, saliency) if adjust else (saliency, output)
                yield key, _finish(predictor, held, prepared, found, wanted, name(key))
            except UserError as error:
                yield key, error
        batch.clear()

    for key, source in sources:
        try:
            held = _hold(source)
            batch.append((key, held, _prepare(held, predictor.image_size)))
        except UserError as error:
            yield key, error
        if len(batch) == predictor.batch_size:
            yield from finish()
    if batch:
        yield from finish()


def _hold(source: AnySource) -> Held:
    """Return a source that can be read twice: what streams and buffers hold, as bytes."""
    read = getattr(source, "read", None)
    held: Any = read() if read else source
    is_text = read is not None and isinstance(held, str)
    if isinstance(held, (bytearray, memoryview)):
        held = bytes(held)
    if isinstance(held, np.ndarray):
        held = Original(check_array(held), {})
    if is_text or not (isinstance(held, (Original, *FILES)) or callable(held)):
        raise TypeError(f"expected {EXPECTED}; got {type(source)}")
    return cast("Held", held)


def _prepare(source: Held, side: int | None) -> Picture:
    """Read an image and resize it to the network's square, or keep its size without a side."""
    if isinstance(source, Original):
        pixels = flatten(source).pixels
        picture = Picture(pixels, *pixels.shape[:2])
    elif callable(source):
        picture = source(side)
    else:
        picture = load_image(source, side=side, most=MOST_PIXELS)
    return picture if side is None else picture._replace(pixels=resize(picture.pixels, side, side))


def _finish(
    predictor: "Predictor",
    source: Held,
    prepared: Picture,
    saliency: np.ndarray,
    output: Output,
    name: object,
) -> Made:
    """Make the output of an image whose map is known."""
    original = None
    if output.needs_image:
        assert not callable(source)  # of the images of a set only maps are made
        original = source if isinstance(source, Original) else load_original(source)
    if name is None:
        name = source if isinstance(source, (str, os.PathLike)) else "the image"
    return Made(
        saliency,
        render(output, Scene(saliency, original, str(name), predictor.engine)),
        original if output.row.keeps_metadata else None,
        output.finds_object(saliency),
        prepared.guesses,
    )

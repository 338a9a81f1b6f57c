"""Predict images and render outputs; files, Python and the server all use this."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import numpy as np
from PIL import Image

from class_jax.data.decode import MOST_PIXELS, ImageSource, name_of
from class_jax.data.images import Original, Picture, load_image, load_original
from class_jax.data.resize import resize
from class_jax.errors import UserError
from class_jax.pictures.outputs import Output, Scene, check_array, flatten, render

if TYPE_CHECKING:
    from class_jax.models.classnet import Attention
    from class_jax.pictures.predictor import Predictor

T = TypeVar("T")

Reader = Callable[[int | None], Picture]  # reads an image for a network of this side
AnyImage = np.ndarray | ImageSource | bytearray | memoryview
AnySource = AnyImage | Original | Reader
Held = str | os.PathLike[str] | bytes | Image.Image | Original | Reader
Adjust = Callable[[T, np.ndarray], tuple[np.ndarray, Sequence[Output]]]
FILES = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)  # or open binary files
EXPECTED = "uint8 RGB [H, W, 3], a path, bytes, an open binary file or a PIL image"


class Made(NamedTuple):
    """An image's map, and the outputs that were made of both."""

    saliency: np.ndarray  # float32 [H, W] in 0–1
    pictures: list[np.ndarray]  # one for each output
    like: Original | None  # the source of metadata for the outputs' files
    is_salient: bool  # something was found
    guesses: tuple[str, ...]  # how the image was read, where that was a guess


def make(
    predictor: "Predictor", source: AnySource, outputs: Sequence[Output], name: object = None
) -> Made:
    """Make outputs of an image.

    Args:
      predictor: the network.
      source: pixels, a path, bytes, an open binary file, a PIL image, an image that was read, or
        for maps a function that reads it.
      outputs: what to make.
      name: of the image, for messages.

    Raises:
      TypeError, ValueError, UserError: the image cannot be read, or an output not be made of it.
    """
    ((_, made),) = make_each(predictor, [(name, source)], outputs)
    if isinstance(made, UserError):
        raise made
    return made


def make_each(
    predictor: "Predictor",
    sources: Iterable[tuple[T, AnySource]],
    outputs: Sequence[Output],
    name: Callable[[T], object] = lambda key: key,
    adjust: Adjust[T] | None = None,
) -> Iterator[tuple[T, Made | UserError]]:
    """Make outputs of each image, in batches; yield each key with its result.

    An image that cannot be read, or an output that cannot be made of it, gives its error.
    `adjust` is called with each map, in order, and returns it, or another, and what to make.
    """
    batch: list[tuple[T, Held, Picture]] = []

    def finish() -> Iterator[tuple[T, Made | UserError]]:
        maps = predictor.maps([prepared for _, _, prepared in batch])
        for (key, held, prepared), saliency in zip(batch, maps, strict=True):
            try:
                found, wanted = adjust(key, saliency) if adjust else (saliency, outputs)
                yield key, _finish(predictor, held, prepared, found, wanted, name(key))
            except UserError as error:
                yield key, error
        batch.clear()

    for key, source in sources:
        try:
            held = hold(source)
            batch.append((key, held, prepare(held, predictor.image_size)))
        except UserError as error:
            yield key, error
        if len(batch) == predictor.batch_size:
            yield from finish()
    if batch:
        yield from finish()


def hold(source: AnySource) -> Held:
    """Return a source that can be read twice: what streams and buffers hold, as bytes.

    Raises:
      TypeError: it is of another type.
      ValueError: it is an array, but not an image.
    """
    if (read := getattr(source, "read", None)) is not None:
        content = read()
        if not isinstance(content, bytes):
            raise TypeError(f"expected {EXPECTED}; got a file that is open as text")
        return content
    if isinstance(source, (bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, np.ndarray):
        return Original(check_array(source), {})
    if isinstance(source, (Original, *FILES)) or callable(source):
        return cast("Held", source)
    raise TypeError(f"expected {EXPECTED}; got {type(source)}")


def prepare(source: Held, side: int | None) -> Picture:
    """Read an image and resize it to the network's square, which keeps a batch of them small.

    Without a side it keeps its own size.

    Raises:
      UserError: as `make`.
    """
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
    outputs: Sequence[Output],
    name: object,
) -> Made:
    """Make the outputs of an image whose map is known."""

    def attend(image: np.ndarray) -> "list[Attention]":
        side = predictor.image_size
        return predictor.engine.attend(resize(image, side, side)[None])

    if name is None:
        name = "the image" if isinstance(source, Original) or callable(source) else name_of(source)
    scene, original = Scene(saliency, None, str(name), attend=attend), None
    if any(output.needs_image for output in outputs):
        if callable(source):
            raise UserError("only maps are made of the images of a set.")
        original = source if isinstance(source, Original) else load_original(source)
        profile = original.metadata.get("icc_profile")
        scene = scene._replace(image=original.pixels, profile=profile)
    return Made(
        saliency,
        [render(output, scene) for output in outputs],
        original if all(output.row.keeps_metadata for output in outputs) else None,
        all(output.finds_object(saliency) for output in outputs),
        prepared.guesses,
    )

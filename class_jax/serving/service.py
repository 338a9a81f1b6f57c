"""The work behind the page and the API: one network, one image at a time, in order of arrival."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from class_jax.data.decode import name_of, read_header
from class_jax.data.images import encode
from class_jax.errors import UserError
from class_jax.pictures.outputs import Output
from class_jax.pictures.pipeline import make
from class_jax.pictures.predictor import Predictor
from class_jax.serving.bodies import describe
from class_jax.serving.visit import Answer, RefusedError

MOST_PIXELS = 50_000_000  # of one image: a cut-out of it takes some 2 GB while it is made
MOST_SIDE, MOST_RATIO = 20_000, 50
MOST_WAITING = 50  # images; more are refused
MOST_SCANS, MOST_SCANNED = 100, 1_000_000_000  # of a progressive JPEG file, and pixels in all
SCAN = b"\xff\xda"  # begins one
FORMATS = {"png": "PNG", "webp": "WEBP", "jpeg": "JPEG", "jpg": "JPEG"}
# Usual formats; Pillow's other decoders are little used, and not for untrusted input.
TAKEN = {
    *("JPEG", "MPO", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "TGA"),
}  # fmt: skip


class Service:
    """Makes outputs of images by a thread of its own, which loads the network first."""

    def __init__(self, load: Callable[[], Predictor]) -> None:
        """Start to load a network; `loaded` is done when it is, or holds the error."""
        self._thread = ThreadPoolExecutor(1, "network")
        self._waiting: set[Future[Any]] = set()
        self.loaded = self._thread.submit(load)

    @property
    def is_ready(self) -> bool:
        """Return whether the network is loaded."""
        return self.loaded.done() and self.loaded.exception() is None

    @property
    def predictor(self) -> Predictor:
        """Return the network; RefusedError while it is loaded."""
        if not self.is_ready:
            raise RefusedError(503, "the network is being loaded: try again in a few seconds.")
        return self.loaded.result()

    def submit(self, content: bytes, output: Output, suffix: str) -> "Future[Answer]":
        """Put an image in line; a future that is cancelled in time costs nothing.

        Args:
          content: of the image's file.
          output: what to make.
          suffix: a key of FORMATS.

        Raises:
          RefusedError: too many wait.
          UserError (from the future): as `make_picture`.
        """
        predictor, held = self.predictor, [content]
        if len(self._waiting) > MOST_WAITING:  # and one that is being made
            raise RefusedError(503, f"{MOST_WAITING} images wait already: try again in a minute.")
        future = self._thread.submit(lambda: make_picture(predictor, held.pop(), output, suffix))
        self._waiting.add(future)

        def forget(future: "Future[Answer]") -> None:
            self._waiting.discard(future)
            held.clear()  # a cancelled call stays in the thread's queue until its turn

        future.add_done_callback(forget)
        return future


def make_picture(predictor: Predictor, content: bytes, output: Output, suffix: str) -> Answer:
    """Make an output of an image, and return the answer that holds its file.

    Raises:
      UserError: the image cannot be read or is too large, or the output cannot be made of it.
    """
    _check_picture(content)
    kind = FORMATS[suffix]
    if output.has_alpha and kind == "JPEG":
        raise UserError(
            "JPEG files have no transparency: give a background, or format=png or webp."
        )
    made = make(predictor, content, output)
    headers = {
        "content-type": f"image/{kind.lower()}",
        "x-salient": "some" if made.is_salient else "none",
    }
    return Answer(200, encode(made.pixels, kind, like=made.like), headers)


def _check_picture(content: bytes) -> None:
    """Raise UserError unless a file's header is an image's that can be served."""
    try:
        kind, height, width, _ = read_header(content)
    except UserError as error:
        sentence = str(error).replace(str(name_of(content)), "the file")
        raise UserError(describe(content) or sentence) from error
    if kind not in TAKEN:
        raise UserError(f"{kind} files are not taken: save it as JPEG, PNG or WebP.")
    size, longest = f"the image has {width}x{height} pixels", max(height, width)
    is_large = height * width > MOST_PIXELS or longest > MOST_SIDE
    if is_large or longest > MOST_RATIO * min(height, width):
        raise UserError(
            f"{size}: at most {MOST_PIXELS // 1_000_000} million are taken, sides of at most "
            f"{MOST_SIDE:,}, and one at most {MOST_RATIO} times the other."
        )
    most = min(MOST_SCANS, MOST_SCANNED // (height * width))
    if kind in ("JPEG", "MPO") and (scans := content.count(SCAN)) > most:
        raise UserError(f"{size} in {scans} scans: save it with at most {most}.")

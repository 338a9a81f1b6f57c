"""The work behind the page and the API: one network, one picture at a time, in order of arrival."""

import functools
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from class_jax.data.decode import Source, check_size
from class_jax.data.images import encode_png, load_image
from class_jax.data.resize import resize
from class_jax.errors import UserError
from class_jax.jobs.maps import draw, draw_pixels
from class_jax.jobs.plan import MapJob, load_for_network
from class_jax.pictures.outputs import ATTENTION, Output
from class_jax.pictures.predictor import Predictor

Result = TypeVar("Result")

MOST_BYTES = 64 * 2**20  # of one picture's file
MOST_PIXELS = 50_000_000  # of one picture: a cut-out of it takes some 2 GB while it is made
MOST_WAITING = 50  # requests of the API; more are refused
VIEW_SIDE = 1024  # pixels: the longer side of what is shown on the page


class BusyError(UserError):
    """Too many requests wait."""


class View(NamedTuple):
    """A picture and its map, small enough to be shown."""

    image: np.ndarray  # uint8 RGB [H, W, 3]
    saliency: np.ndarray  # float32 [H, W] in 0–1


class Service:
    """Makes outputs of pictures; all methods may be called by many threads."""

    def __init__(self, predictor: Predictor, *, has_attention: bool) -> None:
        """Use a predictor; `has_attention` if its engine can show where it looks."""
        self.has_attention, self.device = has_attention, predictor.device
        self._predictor = predictor
        # Of one thread: memory is that of one picture, and everybody is served in turn.
        self._worker = ThreadPoolExecutor(1, "network")
        self._waiting, self._lock = 0, threading.Lock()

    def make(self, source: Source, outputs: Sequence[Output]) -> "Future[list[bytes]]":
        """Make outputs of a picture, as PNG files.

        Raises (from the future):
          UserError: the picture cannot be read or is too large, or an output cannot be made.
        """
        return self._worker.submit(self._make, source, outputs)

    def make_if_free(self, source: Source, output: Output) -> "Future[list[bytes]]":
        """Make an output of a picture as `make`; BusyError if too many wait already."""
        with self._lock:
            if self._waiting >= MOST_WAITING:
                raise BusyError(f"{MOST_WAITING} pictures wait already: try again in a minute.")
            self._waiting += 1
        future = self.make(source, [output])
        future.add_done_callback(lambda _: self._leave())
        return future

    def view(self, path: Path) -> View:
        """Read a picture and predict its map, both at the size of the page.

        Raises:
          UserError: the picture cannot be read or is too large.
        """
        return self._call(self._view, path)

    def render(self, view: View, output: Output) -> np.ndarray:
        """Return an output of a view, uint8; UserError if its point lies outside."""
        return self._call(self._render, view, output)

    def make_zip(self, paths: Sequence[Path], output: Output, target: Path) -> Iterator[str | None]:
        """Write a zip of an output of many pictures; yield None or what is wrong, for each."""
        is_plain = len({path.stem.lower() for path in paths}) == len(paths)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:  # of PNG files
            for number, path in enumerate(paths, 1):
                name = f"{path.stem}.png" if is_plain else f"{number:03d}_{path.stem}.png"
                try:
                    (content,) = self.make(path, [output]).result()
                    archive.writestr(name, content)
                    yield None
                except UserError as error:
                    yield hide_folder(error, path)

    def close(self) -> None:
        """Drop what waits, and let the worker end."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _leave(self) -> None:
        with self._lock:
            self._waiting -= 1

    def _call(self, function: Callable[..., Result], *arguments: object) -> Result:
        return self._worker.submit(function, *arguments).result()

    def _make(self, source: Source, outputs: Sequence[Output]) -> list[bytes]:
        check_size(source, most=MOST_PIXELS)
        for output in outputs:
            self._check(output)
        read = functools.partial(load_for_network, source)
        job = MapJob(Path("the picture"), read, "", source)
        prepared = self._predictor.prepare(job.read(self._predictor.image_size))
        (saliency,) = self._predictor.maps([prepared])
        return [
            encode_png(pixels, like=original)
            for pixels, original in (draw(job, saliency, o, self._predictor) for o in outputs)
        ]

    def _view(self, path: Path) -> View:
        check_size(path, most=MOST_PIXELS)
        side = max(self._predictor.image_size, VIEW_SIDE // 2)  # read at up to twice this
        picture = load_image(path, side=side)
        scale = min(1.0, VIEW_SIDE / max(picture.height, picture.width))
        height, width = (max(1, round(n * scale)) for n in (picture.height, picture.width))
        prepared = self._predictor.prepare(picture)
        (saliency,) = self._predictor.maps([prepared._replace(height=height, width=width)])
        return View(np.ascontiguousarray(resize(picture.pixels, height, width)), saliency)

    def _render(self, view: View, output: Output) -> np.ndarray:
        self._check(output)
        return draw_pixels(view.image, view.saliency, output, self._predictor, "the picture")

    def _check(self, output: Output) -> None:
        if output.kind == ATTENTION and not self.has_attention:
            raise UserError(
                "attention is not shown: an .onnx file holds the map alone. Serve the workdir or "
                "the exported folder that it is of."
            )


def hide_folder(error: UserError, path: Path) -> str:
    """Return an error's sentence without the folder of a file on this machine."""
    return str(error).replace(str(path), path.name)

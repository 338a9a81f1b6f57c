"""Fuzzing of what servers and networks of strangers give: requests, forms, pictures, models."""

import asyncio
import contextlib
import functools
import io
import json
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import safetensors.numpy
from PIL import Image

from class_jax.errors import UserError
from class_jax.evaluation.pairing import find_maps
from class_jax.evaluation.sets import find_masks
from class_jax.jobs.marks import Job
from class_jax.jobs.video.videos import make_video
from class_jax.networks.places import find
from class_jax.pictures.outputs import MAPS, Output
from class_jax.serving.access import Access
from class_jax.serving.api import Api
from class_jax.serving.bodies import describe, unpack
from class_jax.serving.service import Service, make_picture
from class_jax.serving.visit import RefusedError, Visit
from tests.jobs.video.stand_in import RedPredictor
from tests.jobs.video.test_video import film
from tests.networks.test_foreign import graph
from tests.serving.stand import Blind

FOLDER = Path(tempfile.mkdtemp(prefix="class_jax-fuzz-strangers-"))
MOST_NAMES = 8


class Stand(RedPredictor):
    """Gives maps of the size that is asked for."""

    engine = Blind()

    def maps(self, batch):
        """Return redness at each picture's own size."""
        for picture, saliency in zip(batch, super().maps(batch), strict=True):
            yield cv2.resize(saliency, (picture.width, picture.height))


class Sink:
    """A writer whose bytes go nowhere."""

    transport = property(lambda self: self)
    set_write_buffer_limits = write = get_extra_info = lambda *_: None

    async def drain(self) -> None:
        """Wait for nothing."""


@functools.cache
def api() -> Api:
    """Return an API over the stand-in."""
    service = Service(Stand)
    service.loaded.result()
    access = Access("127.0.0.1", [], ["https://friend.example"])
    return Api(service, access=access, root_path="/below")


async def _read(data: bytes) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    visit = Visit(reader, Sink())  # type: ignore[arg-type]
    try:
        await visit.read_head()
        if (answer := api().begin(visit)) is None:
            answer = api().submit(visit, await visit.read_body()).result()
    except ConnectionError:
        return
    except (RefusedError, UserError) as error:
        answer = api().explain(error)
    assert answer.status != 500
    await visit.send(api().complete(visit, answer))


def read_request(data: bytes) -> None:
    """Answer bytes as an HTTP request."""
    asyncio.run(_read(data))


def read_form(data: bytes) -> None:
    """Unpack bytes as a form, with its boundary in the first line."""
    kind, _, body = data.partition(b"\n")
    for content in (b"multipart/form-data; boundary=x", kind):
        with contextlib.suppress(RefusedError):
            unpack(content.decode("latin-1"), body)
    describe(data)


def serve_picture(data: bytes) -> None:
    """Cut out bytes as a picture, as the server does."""
    with contextlib.suppress(UserError):
        make_picture(Stand(), data, Output("cutout"), "png")


def read_onnx(data: bytes) -> None:
    """Load bytes as an `.onnx` file."""
    path = FOLDER / "a.onnx"
    path.write_bytes(data)
    with contextlib.suppress(UserError):
        find(path).engine()


def read_exported(data: bytes) -> None:
    """Read bytes as the configuration of an exported folder."""
    folder = FOLDER / "exported"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(data)
    weights = folder / "model.safetensors"
    if not weights.exists():
        safetensors.numpy.save_file({"a": np.zeros(1, np.float32)}, weights)
    with contextlib.suppress(UserError):
        assert find(folder).fingerprint


def pair_maps(data: bytes) -> None:
    """Pair maps with masks whose names are the lines of the data."""
    shutil.rmtree(FOLDER / "score", ignore_errors=True)
    for number, line in enumerate(data.split(b"\n")[:MOST_NAMES]):
        name = line.decode("latin-1").replace("\0", "").replace("..", "").strip("/")[:60]
        file = FOLDER / "score" / ("maps", "masks")[number % 2] / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # a folder of that name is there
            Image.new("L", (4, 4)).save(file, "PNG")
    with contextlib.suppress(UserError):
        find_maps([FOLDER / "score" / "maps"], find_masks([FOLDER / "score" / "masks"]))


def read_film(data: bytes) -> None:
    """Make maps of bytes as a film, or as an animated picture if they begin like one."""
    is_picture = data.startswith((b"GIF8", b"RIFF", b"\x89PNG"))
    source, target = FOLDER / f"a{'.gif' if is_picture else '.mp4'}", FOLDER / "made.mp4"
    source.write_bytes(data)
    with contextlib.suppress(UserError), contextlib.redirect_stderr(io.StringIO()):
        make_video(Job(target, source, "here", moves=True), RedPredictor(), MAPS, "net")


def _form() -> bytes:
    part = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    return part % (b"crop", b"", b"true") + part % (b"f", b'; filename="a"', b"P6") + b"--x--\r\n"


def _picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((12, 16, 3), (200, 20, 20), np.uint8)).save(file, "PNG")
    return file.getvalue()


def _films() -> list[bytes]:
    moving = [Image.new("RGB", (32, 16), color) for color in ("red", "blue", "black")]
    seeds = []
    for kind in ("GIF", "WEBP", "PNG"):
        file = io.BytesIO()
        moving[0].save(file, kind, save_all=True, append_images=moving[1:])
        seeds.append(file.getvalue())
    for suffix in (".mp4", ".mkv", ".avi", ".mts", ".webm"):
        path = film(FOLDER / "seeds" / f"a{suffix}", frames=3, size=(32, 16))
        seeds.append(path.read_bytes())
    return seeds


def _requests() -> list[bytes]:
    picture, form = _picture(), _form()
    lines = b"POST /api/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n%s\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=x\r\n"
    return [
        b"GET /below/api HTTP/1.1\r\nHost: [::1]:80\r\nOrigin: https://friend.example\r\n\r\n",
        lines % (b"cutout?background=blur&threshold=0.5", len(picture), b"") + picture,
        lines % (b"map", len(form), kind) + form,
        b"POST /api/map HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\n\r\n",
    ]


CONFIG = {
    "model": {"backbone": "vgg", "stage_sizes": [1, 1], "width": 4, "features": 8},
    "eval": {"image_size": 64, "batch_size": 8, "dtype": "float32"},
}
STRANGERS = {
    "request": (read_request, _requests()),
    "form": (read_form, [b"multipart/form-data; boundary=x\n" + _form(), b'{"a": 1}']),
    "served": (serve_picture, [_picture()]),
    "onnx": (read_onnx, [graph().SerializeToString(), onnx.ModelProto().SerializeToString()]),
    "exported": (read_exported, [json.dumps(CONFIG).encode(), b"[]"]),
    "film": (read_film, _films()),
    "scores": (pair_maps, [b"a_sal\na\nb_sal\nb", b"one/a\na\ntwo/b\nb", b"\n\n/\n*"]),
}

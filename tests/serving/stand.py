"""A server whose network is a stand-in (red is salient), as a program of its own.

`python -m tests.serving.stand LOAD PICTURE`: the seconds that loading and each picture take. What
the process connects to, resolves or opens for writing once it serves is printed as "did: …".
"""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import requests

from class_jax.errors import UserError
from class_jax.serving.access import Access
from class_jax.serving.api import Api
from class_jax.serving.server import Server, listen
from class_jax.serving.service import Service
from tests.jobs.video.stand_in import RedPredictor
from tests.program import ROOT

ORIGIN = "https://friend.example"
NAME = "demo.example"
ROOT_PATH = "/below"


class Blind:
    """An engine that shows no attention, as that of an .onnx file."""

    image_size = 32

    def attend(self, images):
        raise UserError("an .onnx file holds the map alone.")


class Slow(RedPredictor):
    """Gives maps of the size that is asked for, after a while."""

    device, engine = "nothing", Blind()

    def __init__(self, seconds):
        super().__init__()
        self._seconds = seconds

    def maps(self, batch):
        time.sleep(self._seconds)
        for picture, saliency in zip(batch, super().maps(batch), strict=True):
            yield cv2.resize(saliency, (picture.width, picture.height))


def main(load, picture):
    """Serve until a signal."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a suite under nohup inherits that it is ignored

    def make():
        time.sleep(load)
        return Slow(picture)

    with listen("127.0.0.1", 0) as listener:
        service = Service(make)
        access = Access("127.0.0.1", [NAME], [ORIGIN])
        api = Api(service, access=access, root_path=ROOT_PATH)
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr)
        sys.addaudithook(watch)
        number = asyncio.run(
            Server(api).run(listener, service.loaded, lambda: print("up", file=sys.stderr))
        )
    print(f"ended by {signal.Signals(number).name}", file=sys.stderr, flush=True)
    os._exit(0)  # as the program does


def watch(event, arguments):
    """Print what a server must not do."""
    is_written = event == "open" and (arguments[2] or 0) & 3  # not O_RDONLY
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto") or is_written:
        print(f"did: {event} {arguments}", file=sys.stderr)
    if event == "open" and "secret" in str(arguments[0]):
        print(f"did: {event} {arguments}", file=sys.stderr)


class Served(NamedTuple):
    """A server, its address, and what it says."""

    process: subprocess.Popen
    address: str
    log: Path

    def post(self, what, content, **options):
        """Return the answer to a POST of a picture."""
        return requests.post(f"{self.address}/api/{what}", data=content, timeout=60, **options)


def wait_for(find, process=None):
    """Wait until a function finds something, and return it."""
    deadline = time.monotonic() + 120
    while not (found := find()):
        assert time.monotonic() < deadline, "not found"
        assert process is None or process.poll() is None, "the server has ended"
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def serving(command, folder, **options):
    """Start a server and wait for its address."""
    log = folder / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], stderr=file, cwd=ROOT, **options
        )
    try:
        found = wait_for(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text()), process)
        yield Served(process, found[0], log)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))

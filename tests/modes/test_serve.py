"""The page and the API as their users meet them: a server of its own, HTTP, a browser."""

import io
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import requests
from PIL import Image

from class_jax import Predictor
from class_jax.data.images import to_levels
from class_jax.data.synthetic import SyntheticSource
from tests.program import ROOT

pytest.importorskip("gradio")

SIZE = (90, 120)


class Served(NamedTuple):
    """A server, its address, the folder in which it may put files, and what it says."""

    process: subprocess.Popen
    address: str
    folder: Path
    log: Path


@pytest.fixture(scope="module")
def served(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("temporary")
    log = folder / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, ROOT / "main.py", "--mode=serve", "--workdir", trained, "--port=0"],
            stderr=file,
            env={**os.environ, "TMPDIR": str(folder), "JAX_COMPILATION_CACHE_MAX_SIZE": "-1"},
        )
    try:
        found = wait_for(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text()), process)
        yield Served(process, found[0], folder, log)
    finally:
        process.kill()
        process.wait()


def wait_for(find, process=None):
    """Wait until a function finds something, and return it."""
    deadline = time.monotonic() + 120
    while not (found := find()):
        assert time.monotonic() < deadline, "not found"
        assert process is None or process.poll() is None, "the server has ended"
        time.sleep(0.1)
    return found


def scene(seed=4):
    """A picture, and its file's bytes."""
    image = SyntheticSource(1, seed=seed, image_size=SIZE).load(0)["image"]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return image, buffer.getvalue()


def make(served, what, content):
    return requests.post(f"{served.address}/api/{what}", data=content, timeout=60)


def pixels(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_the_api_gives_what_python_gives(served, trained):
    image, content = scene()
    predictor = Predictor.load(trained)
    expected = to_levels(predictor.predict(image), "the map").astype(int)
    assert abs(pixels(make(served, "map", content)) - expected).max() <= 1
    cutout = pixels(make(served, "cutout?background=white", content))
    expected = predictor.cutout(image, background="white").astype(int)
    assert abs(cutout - expected).max() <= 2


def test_each_kind_of_picture_is_made(served):
    _, content = scene()
    shapes = {
        "cutout": (*SIZE, 4),
        "cutout?background=blur": (*SIZE, 3),
        "overlay?threshold=0.5": (*SIZE, 3),
    }
    for what, shape in shapes.items():
        assert pixels(make(served, what, content)).shape == shape
    assert pixels(make(served, "attention?point=3,4", content)).ndim == 3


def png_of(width, height):
    """A PNG file that claims a size and holds nothing."""
    chunks = [(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)), (b"IDAT", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize(("what", "content", "status", "sentence"), [
    ("map", b"no picture", 422, "is not an image that can be read"),
    ("map", b"", 422, "holds no picture"),
    ("map", png_of(30000, 30000), 422, "has 30000x30000 pixels: at most 50 million"),
    ("map", bytes(65 * 2**20), 413, "at most 64 MB"),
    ("mask", b"x", 422, "expected one of map, cutout, overlay, attention"),
    ("map?size=3", b"x", 422, "size: /api/map takes crop, threshold"),
    ("overlay?threshold=2", b"x", 422, "threshold=2: expected a level above 0, up to 1"),
    ("overlay?threshold=nan", b"x", 422, "threshold=nan"),
    ("map?crop=yes", b"x", 422, "crop=yes: expected true or false"),
    (f"cutout?background={ROOT}/docs/quickstart.png", b"x", 422, "expected a colour"),
    ("attention?point=3", b"x", 422, "point=3: expected X,Y"),
    ("attention?point=500,4", scene()[1], 422, "the point 500,4 lies outside"),
])  # fmt: skip
def test_mistakes_are_one_sentence(served, what, content, status, sentence):
    answer = make(served, what, content)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_ten_people_at_once_get_each_their_own_map(served):
    contents = [scene(seed)[1] for seed in range(10)]
    alone = [pixels(make(served, "map", content)) for content in contents]
    with ThreadPoolExecutor(10) as people:
        at_once = list(people.map(lambda content: pixels(make(served, "map", content)), contents))
    for one, other in zip(alone, at_once, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({one.tobytes() for one in alone}) == 10


def ask_page(served, event, path):
    """The answer of one of the page's events to a file that the request only names."""
    session = {"session_hash": f"{event}{path}"}
    file = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
    data = {"data": [file, 0], "fn_index": event, "trigger_id": None, **session}
    requests.post(f"{served.address}/gradio_api/queue/join", json=data, timeout=30)
    stream = requests.get(
        f"{served.address}/gradio_api/queue/data", params=session, stream=True, timeout=30
    )
    return next(line.decode() for line in stream.iter_lines() if b"process_completed" in line)


def test_the_page_reads_no_file_or_address_that_was_not_uploaded(served, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(scene()[1])
    events = requests.get(f"{served.address}/config", timeout=30).json()["dependencies"]
    answers = [ask_page(served, event["id"], secret) for event in events]
    assert any("secret.png" in answer for answer in answers)
    assert not list(served.folder.rglob("secret.png"))
    answers = [ask_page(served, event["id"], "http://example.org/a.png") for event in events]
    assert any("taken as files, not by their addresses" in answer for answer in answers)


def test_only_this_machine_is_listened_to(served):
    port = int(served.address.rpartition(":")[2])
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", port))  # of the same machine, but not where it listens


@pytest.fixture
def browser(served, tmp_path):
    """A browser on the page, which saves downloads in the test's folder."""
    driver_path, program = shutil.which("chromedriver"), shutil.which("chromium")
    if not driver_path or not program:
        pytest.skip("needs chromium and chromedriver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(driver_path))
    driver.get(served.address)
    yield driver
    driver.quit()


def test_the_page_makes_a_cut_out_and_asks_nobody_else(served, browser, tmp_path):
    def find(script):
        return wait_for(lambda: browser.execute_script(f"return {script}"))

    def button(condition):
        return find(f"[...document.querySelectorAll('button')].find(b => {condition})")

    find("document.querySelector('#examples button')").click()
    button("b.innerText == 'Download cut-out' && !b.disabled").click()
    (path,) = wait_for(lambda: list(tmp_path.glob("*_cutout.png")))
    with Image.open(path) as cutout:
        assert (cutout.mode, cutout.size) == ("RGBA", (480, 360))
    button("b.ariaLabel == 'Remove Image'").click()
    (tmp_path / "broken.png").write_text("no picture")
    find("document.querySelector('#source input[type=file]')").send_keys(
        str(tmp_path / "broken.png")
    )
    find("document.body.innerText.includes('broken.png is not an image that can be read.')")
    log = " ".join(entry["message"] for entry in browser.get_log("performance"))
    asked = set(re.findall(r'"url":"(\w+://[^"/]*)', log))
    assert {address for address in asked if not address.startswith("chrome")} == {served.address}


def test_ctrl_c_ends_it_quietly_and_uploads_are_deleted(served):
    """The last test of this server."""
    folders, said = list(served.folder.glob("class_jax-serve-*")), served.log.read_text()
    assert len(folders) == 1
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(timeout=60) == 0
    assert served.log.read_text() == said
    assert not folders[0].exists()


def test_a_port_in_use_is_one_sentence(run, trained):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, err = run("--mode", "serve", "--workdir", trained, "--port", port)
    assert status == 2
    assert err.splitlines() == [
        f"error: port {port} of 127.0.0.1 is in use: choose another, or end the program that has "
        "it."
    ]


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["--port", "70000"], "--port=70000: expected 1 to 65535"),
    (["--host", "192.0.2.1", "--port", "0"], "192.0.2.1 is no address of this machine"),
    (["--workdir", "nowhere", "--port", "0"], "nowhere"),
    (["--input", "a.jpg"], "--input is for"),
])  # fmt: skip
def test_mistakes_at_the_start_are_one_sentence(run, trained, arguments, sentence):
    status, _, err = run("--mode", "serve", "--workdir", trained, *arguments)
    assert status == 2
    assert sentence in err.splitlines()[-1]


def test_without_gradio_the_sentence_says_what_to_install(run, trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)  # an import of it fails
    monkeypatch.delitem(sys.modules, "class_jax.serving.page", raising=False)
    status, _, err = run("--mode", "serve", "--workdir", trained)
    assert status == 2
    assert 'pip install "gradio>=6.31,<7"' in err

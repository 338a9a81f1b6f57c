"""`serve` as its users meet it: a server of its own, a small network, HTTP."""

import io
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from class_jax import Predictor
from class_jax.data.images import to_levels
from datasets.synthetic import SyntheticSource
from tests.program import ROOT
from tests.serving.stand import serving, wait_for

SIZE = (90, 120)


@pytest.fixture(scope="module")
def served(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "temporary").mkdir()
    command = [ROOT / "main.py", "--mode=serve", "--workdir", trained, "--port=0"]
    environment = {
        **os.environ,
        "TMPDIR": str(folder / "temporary"),
        "JAX_COMPILATION_CACHE_MAX_SIZE": "-1",
    }
    with serving(command, folder, env=environment) as server:
        yield server


def scene(seed=4):
    """A picture, and its file's bytes."""
    image = SyntheticSource(1, seed=seed, image_size=SIZE).load(0)["image"]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return image, buffer.getvalue()


def pixels(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_the_api_gives_what_python_gives(served, trained):
    image, content = scene()
    predictor = Predictor.load(trained)
    expected = to_levels(predictor.predict(image), "the map").astype(int)
    assert abs(pixels(served.post("map", content)) - expected).max() <= 1
    cutout = pixels(served.post("cutout?background=white", content))
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
        assert pixels(served.post(what, content)).shape == shape
    assert pixels(served.post("attention?point=3,4", content)).ndim == 3


def test_ten_people_at_once_get_each_their_own_map(served):
    contents = [scene(seed)[1] for seed in range(10)]
    alone = [pixels(served.post("map", content)) for content in contents]
    with ThreadPoolExecutor(10) as people:
        at_once = list(people.map(lambda content: pixels(served.post("map", content)), contents))
    for one, other in zip(alone, at_once, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({one.tobytes() for one in alone}) == 10


def test_only_this_machine_is_listened_to(served):
    port = int(served.address.rpartition(":")[2])
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", port))  # of the same machine, but not where it listens


def test_a_point_outside_is_one_sentence(served):
    answer = served.post("attention?point=500,4", scene()[1])
    assert answer.status_code == 422
    assert "the point 500,4 lies outside" in answer.json()["error"]


def test_ctrl_c_ends_it_quietly_and_no_file_was_written(served):
    """The last test of this server."""
    said = served.log.read_text()
    assert said.count("Traceback") == 0
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(timeout=30) == 0
    assert served.log.read_text() == said
    assert list((served.log.parent / "temporary").iterdir()) == []


def test_ctrl_c_ends_it_while_the_network_is_loaded(trained, tmp_path):
    command = [ROOT / "main.py", "--mode=serve", "--workdir", trained, "--port=0"]
    log = tmp_path / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, *map(str, command)], stderr=file)
    wait_for(lambda: "checkpoint: " in log.read_text(), process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert log.read_text().splitlines()[1:] == ["interrupted"]


def test_a_port_in_use_is_one_sentence(run, trained):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, err = run("--mode", "serve", "--workdir", trained, "--port", port)
    assert status == 2
    assert err.splitlines() == [
        f"error: port {port} of 127.0.0.1 cannot be used (Address already in use): choose another "
        "port from 1024 to 65535, or an address of this machine; 127.0.0.1 is its own."
    ]


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["--port", "70000"], "port 70000 of 127.0.0.1 cannot be used"),
    (["--host", "192.0.2.1", "--port", "0"], "of 192.0.2.1 cannot be used (Cannot assign"),
    (["--workdir", "nowhere", "--port", "0"], "nowhere"),
    (["--input", "a.jpg"], "--input is for"),
    (["--allow_origin", "example.org", "--port", "0"], "example.org is not an origin"),
    (["--root_path", "a b", "--port", "0"], "--root_path=a b: expected a path"),
])  # fmt: skip
def test_mistakes_at_the_start_are_one_sentence(run, trained, arguments, sentence):
    status, _, err = run("--mode", "serve", "--workdir", trained, *arguments)
    assert status == 2
    assert sentence in err.splitlines()[-1]

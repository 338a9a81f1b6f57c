"""What clients may do to a server: bodies, hosts, floods, leaving, and its end."""

import io
import signal
import socket
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
from PIL import Image

from tests.program import ROOT
from tests.serving.stand import NAME, ORIGIN, ROOT_PATH, serving, wait_for

SIZE = (40, 60)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(["-m", "tests.serving.stand", 0, 0], tmp_path_factory.mktemp("stand")) as server:
        wait_for(lambda: requests.get(f"{server.address}/health", timeout=30).ok)
        yield server


@pytest.fixture
def slow(tmp_path):
    """A server that takes half a second for each picture."""
    with serving(["-m", "tests.serving.stand", 0, 0.5], tmp_path) as server:
        wait_for(lambda: requests.get(f"{server.address}/health", timeout=30).ok)
        yield server


def picture(red_columns=30, size=SIZE, kind="PNG"):
    """The bytes of a picture that is red on the left."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[:, :red_columns, 0] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def pixels_of(answer):
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def speak(served, text, *, wait=True):
    """Send bytes; return the whole answer, or the open connection."""
    host, port = served.address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(text.encode() if isinstance(text, str) else text)
    if not wait:
        return connection
    with connection:
        answer = b""
        while piece := connection.recv(2**16):
            answer += piece
    return answer.decode("latin-1")


def lines_of(served):
    return served.log.read_text().splitlines()


def head(method="GET", path="/", **headers):
    """The first lines of a request."""
    given = {"Host": "127.0.0.1", **{name.replace("_", "-"): h for name, h in headers.items()}}
    fields = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value is not None)
    return f"{method} {path} HTTP/1.1\r\n{fields}\r\n"


def test_a_form_gives_what_the_body_itself_gives(served):
    content = picture()
    plain = served.post("map?threshold=0.5", content)
    form = requests.post(
        f"{served.address}/api/map", files={"file": ("a b.png", content)},
        data={"threshold": "0.5"}, timeout=30,
    )  # fmt: skip
    np.testing.assert_array_equal(pixels_of(form), pixels_of(plain))
    assert set(np.unique(pixels_of(plain))) == {0, 255}


@pytest.mark.parametrize(("parts", "sentence"), [
    ([("crop", (None, "true")), ("crop", (None, "false")), ("f", ("a", b"x"))], "given twice"),
    ([("crop", (None, "true"))], "holds no files"),
    ([("f", ("a", b"x")), ("g", ("b", b"x"))], "holds 2 files"),
    ([(f"a{n}", (None, "")) for n in range(30)], "cut off or damaged"),
    ([("path", (None, "/etc/secret.png")), ("f", ("a", b"x"))], "path: /api/map takes"),
])  # fmt: skip
def test_forms_that_say_too_much_or_too_little_are_refused(served, parts, sentence):
    answer = requests.post(f"{served.address}/api/map", files=parts, timeout=30)
    assert answer.status_code == 422
    assert sentence in answer.json()["error"]


def test_a_form_without_its_last_line_is_refused(served):
    form = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n' + picture()
    answer = served.post("map", form, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 422
    assert "cut off" in answer.json()["error"]


@pytest.mark.parametrize(("suffix", "kind"), [
    ("png", "PNG"), ("webp", "WEBP"), ("jpeg", "JPEG"), ("jpg", "JPEG"),
])  # fmt: skip
def test_the_format_is_the_one_that_is_asked_for(served, suffix, kind):
    answer = served.post(f"cutout?background=white&format={suffix}", picture())
    assert answer.headers["content-type"] == f"image/{kind.lower()}"
    assert Image.open(io.BytesIO(answer.content)).format == kind


def test_a_header_says_that_nothing_was_found(served):
    assert served.post("map", picture()).headers["x-salient"] == "some"
    assert served.post("map", picture(0)).headers["x-salient"] == "none"


def header_of_png(width, height):
    """A PNG file that claims a size and holds nothing."""
    chunks = [(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)), (b"IDAT", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def ico():
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "ICO")
    return file.getvalue()


@pytest.mark.parametrize(("what", "content", "status", "sentence"), [
    ("map", b"", 422, "holds no image"),
    ("map", b'{"image": "aGVsbG8="}', 422, "JSON, not an image: send the image's file itself"),
    ("map", b"file=@photo.jpg", 422, "the fields of a form"),
    ("map", b"https://example.org/a.jpg", 422, "an address"),
    ("map", b"aGVsbG8g" * 20, 422, "text in base64"),
    ("map", b"<!doctype html><p>", 422, "an HTML page"),
    ("map", b"%PDF-1.7", 422, "a PDF document"),
    ("map", b"\0\0\0\x18ftypmp42", 422, "a video"),
    ("map", b"\x89PNG\r\n\x1a\nnothing", 422, "not an image that can be read"),
    ("map", ico(), 422, "ICO files are not taken"),
    ("map", header_of_png(9000, 9000), 422, "at most 50 million"),
    ("map", header_of_png(1, 20001), 422, "sides of at most 20,000"),
    ("map", header_of_png(1000, 19), 422, "one at most 50 times"),
    ("map", picture(kind="JPEG") + b"\xff\xda" * 101, 422, "scans"),
    ("map", bytes(65 * 2**20), 413, "at most 64 MB"),
    ("mask", b"x", 404, "nothing at /api/mask: /api/ has map, cutout, overlay, attention"),
    ("map?size=3", b"x", 422, "size: /api/map takes crop, format, threshold"),
    ("map?crop=true&crop=false", b"x", 422, "a setting is given twice"),
    ("map?format=tiff", b"x", 422, "format=tiff: expected png"),
    ("cutout?format=jpeg", picture(), 422, "no transparency"),
    ("overlay?threshold=nan", b"x", 422, "threshold=nan"),
    ("cutout?background=rgb(9999999999,0,0)", b"x", 422, "expected a colour"),
    ("cutout?background=/etc/secret.png", b"x", 422, "expected a colour"),
    ("cutout?background=http://127.0.0.1/secret.png", b"x", 422, "expected a colour"),
    ("attention?point=1,1", picture(), 422, "an .onnx file holds the map alone"),
])  # fmt: skip
def test_mistakes_are_one_sentence(served, what, content, status, sentence):
    answer = served.post(what, content)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]
    assert "Traceback" not in served.log.read_text()


@pytest.mark.parametrize(("text", "status"), [
    (head(), 200),
    (head("HEAD"), 200),
    (head(Host="localhost:1234"), 200),
    (head(Host="[::1]:80"), 200),
    (head(Host=NAME), 200),
    (head(Host="evil.example"), 421),
    (head(Host="127.0.0.1.evil.example"), 421),
    (head(Host="127.0.0.1@evil.example"), 421),
    (head(Host="10.0.0.1"), 421),
    (head(Host=None), 400),
    ("GET / HTTP/1.0\r\n\r\n", 421),
    (head("POST", "/api/map", Origin="http://evil.example", Content_Length=1), 403),
    (head("POST", "/api/map", Origin="null", Content_Length=1), 403),
    (head("POST", "/api/map", Origin="http://127.0.0.1:9", Content_Length=1), 403),
    (head("GET", "/", Origin=ORIGIN), 200),
    (head("GET", "/api/map"), 405),
    (head("DELETE"), 405),
    (head("OPTIONS", "/api/map"), 204),
    (head("GET", "/../../etc/passwd"), 404),
    (head("GET", "/examples/%2e%2e%2fpage.html"), 404),
    (head("GET", "http://evil.example/"), 404),
    (head("CONNECT", "evil.example:443"), 404),
    (head("GET", ROOT_PATH), 308),
    (head("GET", f"{ROOT_PATH}/health"), 200),
    (head("POST", "/api/map", Content_Length=1, Content_Encoding="gzip"), 415),
    (head("POST", "/api/map", Content_Length=70_000_000), 413),
    (head("POST", "/api/map", Content_Length="x"), 400),
    (head("POST", "/api/map", Content_Length="5", Transfer_Encoding="chunked") + "zz\r\n", 400),
    (head("POST", "/api/map", Content_Length="5", Transfer_Encoding="chunked") + "0\r\n\r\n", 400),
    (head("GET", "/" + "a" * 200_000), 431),
    ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
])  # fmt: skip
def test_requests_are_answered_by_their_first_lines(served, text, status):
    answer = speak(served, text)
    assert answer.startswith(f"HTTP/1.1 {status} "), answer
    assert "x-content-type-options: nosniff" in answer
    assert "content-security-policy: default-src 'none'" in answer


def test_methods_and_pages_of_others_that_are_let_in_are_told(served):
    assert "allow: OPTIONS, POST" in speak(served, head("PUT", "/api/map"))
    assert "allow: GET, HEAD, OPTIONS" in speak(served, head("POST", "/health"))
    told = speak(served, head("OPTIONS", "/api/map", Origin=ORIGIN))
    assert f"access-control-allow-origin: {ORIGIN}" in told
    assert "access-control" not in speak(served, head("OPTIONS", "/api/map"))


def test_nothing_is_connected_to_opened_or_written(served):
    served.post("cutout?background=blur", picture())
    served.post("map", b"http://127.0.0.1:1/secret.png")
    files = {"file": ("/etc/secret.png", picture()), "path": (None, "/etc/secret.png")}
    requests.post(f"{served.address}/api/map", files=files, timeout=30)
    speak(served, head("GET", "/examples//etc/secret.png"))
    speak(served, head("POST", "/gradio_api/queue/join", Content_Length=2) + "{}")
    assert [line for line in lines_of(served) if line.startswith("did:")] == []


def test_each_request_is_one_line_of_the_log(served):
    speak(served, b"", wait=False).close()
    speak(served, head("GET", "/logged/once"))
    logged = wait_for(lambda: [line for line in lines_of(served) if "/logged/once" in line])
    assert [line.split(" ", 2)[2].rpartition(" ")[0] for line in logged] == [
        '127.0.0.1 "GET /logged/once" 404 90'
    ]


def test_of_fifty_at_once_a_tenth_bad_every_good_one_is_right(served):
    contents = [picture(n) if n % 10 else b"bad" for n in range(50)]
    with ThreadPoolExecutor(50) as people:
        answers = list(people.map(lambda content: served.post("map", content), contents))
    for number, answer in enumerate(answers):
        if number % 10:
            assert (pixels_of(answer) == 255).sum() == number * SIZE[0]
        else:
            assert answer.status_code == 422


def test_silent_connections_shut_nobody_out_and_are_closed_in_time(served):
    """Takes as long as a client is waited for: ten seconds."""
    silent = [speak(served, b"", wait=False) for _ in range(400)]
    assert speak(served, head()).startswith("HTTP/1.1 200")
    slow_head = speak(served, "GET / HTTP/1.1\r\n", wait=False)
    slow_body = speak(served, head("POST", "/api/map", Content_Length=9), wait=False)
    start = time.monotonic()
    assert slow_head.recv(2**16).startswith(b"HTTP/1.1 408")
    assert slow_body.recv(2**16).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - start < 30
    for connection in (*silent, slow_head, slow_body):
        connection.close()


def test_large_bodies_are_counted_before_they_come(served):
    announced = [
        speak(served, head("POST", "/api/map", Content_Length=60_000_000), wait=False)
        for _ in range(20)
    ]
    wait_for(lambda: sum(" 503 " in line for line in lines_of(served)) >= 16)
    assert served.post("map", picture()).status_code == 200
    refused = announced[-1].recv(2**16).decode()
    assert refused.startswith("HTTP/1.1 503")
    assert "retry-after: " in refused
    for connection in announced:
        connection.close()


def test_clients_that_left_are_not_computed(slow):
    text = head("POST", "/api/map", Content_Length=len(picture())).encode() + picture()
    for connection in [speak(slow, text, wait=False) for _ in range(20)]:
        connection.close()
    start = time.monotonic()
    assert slow.post("map", picture()).status_code == 200
    assert time.monotonic() - start < 5  # all of them would take ten
    assert sum(" 499 " in line for line in lines_of(slow)) == 20
    assert "Traceback" not in slow.log.read_text()


def test_more_than_fifty_that_wait_are_told_when_to_come_again(slow):
    with ThreadPoolExecutor(60) as people:
        answers = list(people.map(lambda _: slow.post("map", picture()), range(60)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 50
    assert all("retry-after" in a.headers for a in answers if a.status_code == 503)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_in_seconds_and_tells_those_who_wait(slow, name):
    silent = speak(slow, b"", wait=False)
    sending = speak(slow, head("POST", "/api/map", Content_Length=9), wait=False)
    with ThreadPoolExecutor(5) as people:
        answers = [people.submit(slow.post, "map", picture()) for _ in range(5)]
        wait_for(lambda: time.sleep(0.3) or True)
        slow.process.send_signal(getattr(signal, name))
        assert slow.process.wait(timeout=30) == 0
        statuses = [answer.result().status_code for answer in answers]
    assert statuses.count(503) >= 3
    assert b"503" in sending.recv(2**16)
    assert silent.recv(10) == b""
    assert f"ended by {name}" in slow.log.read_text()
    assert "Traceback" not in slow.log.read_text()


def test_before_the_network_is_loaded_it_says_so_and_can_be_ended(tmp_path):
    with serving(["-m", "tests.serving.stand", 60, 0], tmp_path) as server:
        answer = server.post("map", picture())
        assert answer.status_code == 503
        assert "being loaded" in answer.json()["error"]
        assert requests.get(f"{server.address}/health", timeout=30).status_code == 503
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=30) == 0


def test_the_page_asks_nobody_else():
    page = (ROOT / "class_jax/serving/page.html").read_text()
    assert not [word for word in ('src="http', 'href="http', "@import", "url(") if word in page]

"""Downloads from a server on this machine: resumed, verified, refused, explained."""

import hashlib
import http.server
import threading

import pytest

from class_jax.errors import UserError
from datasets.download import Archive, download

CONTENT = bytes(range(256)) * 5000
GOOD = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, and parts of it; `requests` lists the ranges asked for."""

    requests: list

    def do_GET(self):
        asked = self.headers.get("Range")
        self.requests.append((asked, self.headers["User-Agent"]))
        if self.path != "/set.zip":
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if asked and start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start:])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    Handler.requests = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_download_ends_under_its_name_and_is_not_repeated(server, tmp_path):
    archive = Archive("set.zip", f"{server}/set.zip", GOOD)
    assert download(archive, tmp_path).read_bytes() == CONTENT
    download(archive, tmp_path)
    assert len(Handler.requests) == 1
    assert "Mozilla" in Handler.requests[0][1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.zip", "set.zip.sha256"]
    assert (tmp_path / "set.zip.sha256").read_text() == f"{GOOD}  set.zip\n"


@pytest.mark.parametrize("have", [1000, len(CONTENT)])
def test_a_download_goes_on_where_it_stopped(server, tmp_path, have):
    (tmp_path / "set.zip.part").write_bytes(CONTENT[:have])
    path = download(Archive("set.zip", f"{server}/set.zip", GOOD), tmp_path)
    assert path.read_bytes() == CONTENT
    assert Handler.requests[0][0] == f"bytes={have}-"


@pytest.mark.parametrize("known", [{"sha256": "0" * 64}, {"md5": "0" * 32}])
def test_another_content_is_deleted_and_said(server, tmp_path, known):
    with pytest.raises(UserError, match=r"is not the known set\.zip"):
        download(Archive("set.zip", f"{server}/set.zip", **known), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_refusals_say_what_to_do_by_hand(server, tmp_path):
    with pytest.raises(UserError, match=r"answers 404 .*put it into") as error:
        download(Archive("gone.zip", f"{server}/gone.zip"), tmp_path)
    assert str(tmp_path) in str(error.value)
    with pytest.raises(UserError, match="no connection to the server"):
        download(Archive("set.zip", "http://127.0.0.1:9/set.zip"), tmp_path)

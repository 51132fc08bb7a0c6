"""A server on this machine. The path of a URL says if and how the server misbehaves."""

from __future__ import annotations

import base64
import functools
import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@functools.lru_cache(4)
def content(name: str, size: int) -> bytes:
    """Returns the bytes of a file, which depend on its name."""
    return random.Random(name).randbytes(size)


class Handler(BaseHTTPRequestHandler):
    """Serves `/KIND/SIZE/NAME`."""

    protocol_version = "HTTP/1.1"
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        kind, size, name = (self.path.partition("?")[0].strip("/").split("/") + ["0", "x"])[:3]
        self.server.requests[kind] += 1
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        getattr(self, kind.replace("-", "_"), self.missing)(content(name, int(size) if size.isdigit() else 0))

    def fine(self, body: bytes, **headers: str) -> None:
        """The file, also in ranges."""
        first, last, status = 0, len(body) - 1, 200
        headers.setdefault("ETag", f'"{len(body)}"')
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes=") and body:
            begin, _, end = asked[len("bytes=") :].partition("-")
            first, last, status = int(begin), min(int(end or last), last), 206
            if first > last:
                self.answer(416, b"", Content_Range=f"bytes */{len(body)}")
                return
            headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
        self.answer(status, body[first : last + 1], Accept_Ranges="bytes", **headers)

    def folder(self, _: bytes) -> None:
        """A file of a folder."""
        assert self.server.folder is not None
        self.fine((self.server.folder / self.path.rpartition("/")[2]).read_bytes())

    def whole(self, body: bytes) -> None:
        """The file, without ranges."""
        self.answer(200, body, ETag='"a"')

    def chunked(self, body: bytes) -> None:
        """The file, whose length is not stated."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    def until_close(self, body: bytes) -> None:
        """The file, which ends with the connection."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def without_validator(self, body: bytes) -> None:
        self.fine(body, ETag="")

    def changes(self, _: bytes) -> None:
        """A file that changes before the second request. The path says how it changes."""
        kind = self.path.split("/")[2]
        first, size = self.server.requests["changes"] == 1, 3_000_000
        if not first:
            size = {"other-tag": size, "longer": size + 1, "shorter": 1_500_000}[kind]
        self.fine(content("a.bin", size), ETag='"a"' if first or kind != "other-tag" else '"b"')

    def fails_once(self, body: bytes) -> None:
        """The file. The second request is refused."""
        if self.server.requests["fails-once"] == 2:
            self.missing(body)
        else:
            self.fine(body)

    def short(self, body: bytes) -> None:
        """The file, in ranges that have at most 100,000 bytes."""
        first, _, last = self.headers["Range"][len("bytes=") :].partition("-")
        part = body[int(first) : min(int(last) + 1, int(first) + 100_000)]
        content_range = f"bytes {first}-{int(first) + len(part) - 1}/{len(body)}"
        self.answer(206, part, Content_Range=content_range, ETag='"a"')

    def cuts(self, body: bytes) -> None:
        """The file, whose responses end after at most 300,000 bytes."""
        first, _, last = self.headers["Range"][len("bytes=") :].partition("-")
        part = body[int(first) : int(last) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", '"a"')
        self.end_headers()
        self.wfile.write(part[:300_000])
        self.close_connection = len(part) > 300_000

    def digest(self, body: bytes) -> None:
        """The file, with its SHA-256."""
        self.fine(body, Repr_Digest=self.sha256(body))

    def wrong_digest(self, body: bytes) -> None:
        """The file, with the SHA-256 of another file."""
        self.fine(body, Repr_Digest=self.sha256(body + b"x"))

    def missing(self, _: bytes) -> None:
        self.answer(404, b"not here")

    def missing_once(self, body: bytes) -> None:
        self.server.requests[self.path] += 1
        if self.server.requests[self.path] == 1:
            self.missing(body)
        else:
            self.fine(body)

    def busy_once(self, body: bytes) -> None:
        if self.server.requests[self.path] == 0:
            self.server.requests[self.path] += 1
            self.answer(503, b"", Retry_After="0")
        else:
            self.fine(body)

    def cut_once(self, body: bytes) -> None:
        """The file, whose body ends early the first time."""
        if self.server.requests[self.path] == 0:
            self.server.requests[self.path] += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{len(body)}"')
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        else:
            self.fine(body)

    def moved(self, body: bytes) -> None:
        self.answer(302, b"", Location=self.path.replace("moved", "fine"))

    def page(self, _: bytes) -> None:
        self.answer(200, b"<!DOCTYPE html><html><body>log in</body></html>", Content_Type="text/html")

    def private(self, body: bytes) -> None:
        """The file, for `ann` with the password `secret`."""
        login = "Basic " + base64.b64encode(b"ann:secret").decode()
        if self.headers.get("Authorization") == login:
            self.fine(body)
        else:
            self.answer(401, b"", WWW_Authenticate='Basic realm="here"')

    def slow(self, body: bytes) -> None:
        """The file, 20 KiB at a time, until the test is over."""
        first = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
        self.send_response(206 if "Range" in self.headers else 200)
        if "Range" in self.headers:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - first))
        self.send_header("ETag", f'"{len(body)}"')
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        step = 20 * 1024
        for at in range(first, len(body), step):
            if self.server.is_over.wait(0.05):
                return
            self.wfile.write(body[at : at + step])

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @staticmethod
    def sha256(body: bytes) -> str:
        return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # The client is gone.
            pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.is_over = threading.Event()
        self.folder: Path | None = None

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def urls(self, number: int, size: int = 1000) -> list[str]:
        return [self.url(f"fine/{size}/{n}.bin") for n in range(number)]

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@pytest.fixture()
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.is_over.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keeps the tests from using the data and the settings of the user who runs them."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "NETRC"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return home


def wait_for(is_so: object, seconds: float = 10.0) -> None:
    """Waits until a function returns true."""
    assert callable(is_so)
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)

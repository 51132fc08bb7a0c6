"""What the tests of the engines share: files, a server for them, and the processes of a test."""

from __future__ import annotations

import hashlib
import http.server
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable

# All processes that a test starts have this variable, with a value of their own, in their environment.
MARK = "DOWNHAUL_TEST"


def content(name: str, size: int) -> bytes:
    """Returns the bytes of a file, which depend on its name."""
    return random.Random(name).randbytes(size)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves files of one size, and sends each response at a limited speed in bytes a second.

    Files whose names begin with "slow" have another speed. A test can change both at any time.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, size: int, speed: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.size = size
        self.speed = self.slow_speed = speed
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def item(self, name: str) -> dict[str, str]:
        """Returns the URL and the digest of a file."""
        return {"url": f"http://127.0.0.1:{self.server_port}/{name}", "sha256": sha256(content(name, self.size))}

    def handle_error(self, request, client_address) -> None:
        """A client that was killed is no error."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        body = content(name, self.server.size)
        first, last = 0, len(body) - 1
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            begin, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(begin), min(int(end or last), last)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.send_header("ETag", f'"{name}"')
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        at = first
        while at <= last:
            speed = self.server.slow_speed if name.startswith("slow") else self.server.speed
            end = min(at + max(1, speed // 10), last + 1)
            self.wfile.write(body[at:end])
            at = end
            time.sleep(0.1)

    def log_message(self, *_) -> None:
        pass


def check_files(folder: str, items: list[dict[str, str]]) -> None:
    """Checks that a folder has each file with the right bytes, and nothing else."""
    names = {item["url"].rpartition("/")[2]: item["sha256"] for item in items}
    assert sorted(os.listdir(folder)) == sorted(names), f"other files: {set(os.listdir(folder)) ^ set(names)}"
    for name, digest in names.items():
        with open(f"{folder}/{name}", "rb") as file:
            assert sha256(file.read()) == digest, f"{name} has wrong bytes"


def processes(mark: str, word: str = "") -> list[int]:
    """Returns the processes with this mark and with a word in their command."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if pid == os.getpid() or f"{MARK}={mark}".encode() not in _read(pid, "environ").split(b"\0"):
            continue
        command = _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")
        # A process that has ended and that its parent has not read yet has no command.
        if command and word in command:
            found.append(pid)
    return found


def descendants(pid: int) -> list[int]:
    """Returns the processes that a process started, and theirs."""
    children = [int(child) for task in _tasks(pid) for child in _read(pid, f"task/{task}/children").split()]
    return children + [below for child in children for below in descendants(child)]


def is_running(pid: int) -> bool:
    """Returns false for a process that has ended, also if its parent has not read its status yet."""
    return _read(pid, "stat").rpartition(b")")[2].split()[:1] not in ([], [b"Z"], [b"X"])


def kill(pids: list[int]) -> None:
    """Kills processes. Some may have ended."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def kill_all(mark: str) -> None:
    """Kills the processes of a test, and those that they start meanwhile."""
    for _ in range(100):
        left = processes(mark)
        if not left:
            return
        kill(left)
        time.sleep(0.1)
    raise AssertionError(f"these processes cannot be killed: {left}")


def wait(seconds: float, what: str, condition: Callable[[], object]) -> None:
    """Waits until a condition is true. Fails after the time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _tasks(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""

"""The functions that the tests of the engines share: files, a server for them, and the processes of
a test."""

from __future__ import annotations

import hashlib
import http.server
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

# All processes that a test starts have this variable in their environment. Its value is the folder of
# the test.
MARK = "DOWNHAUL_TEST"

# The longest time for one job, in seconds. A job of one minute takes longer on a busy machine.
LONGEST = 300


def content(name: str, size: int) -> bytes:
    """Returns the bytes of a file, which depend on its name."""
    return random.Random(name).randbytes(size)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves files of one size, and sends each response at a limited speed in bytes a second.

    Files whose names begin with "slow" have a speed of their own. A test can change both speeds at any
    time.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, size: int, speed: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.size = size
        self.speed = self.slow_speed = speed
        self.requests = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def item(self, name: str) -> dict[str, str]:
        """Returns the URL and the digest of a file."""
        return {"url": f"http://127.0.0.1:{self.server_port}/{name}", "sha256": sha256(content(name, self.size))}

    def handle_error(self, request, client_address) -> None:
        """Ignores errors, because the tests kill clients."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
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


class Job:
    """Downloads items in a thread. The function `run` gets the folder for the files, downloads
    them, and returns the rows."""

    def __init__(self, items: list[dict[str, str]], folder: str, run: Callable[[str], list[dict]]) -> None:
        self.items, self.folder = items, folder
        self.rows: list[dict] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(run,), daemon=True)
        self._thread.start()

    def _run(self, run: Callable[[str], list[dict]]) -> None:
        try:
            self.rows = run(self.folder)
        except BaseException as error:
            self._error = error

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def partial_files(self) -> int:
        """Returns the number of partial files. Fails if the function of the job has failed."""
        assert self._error is None, self._error
        return sum(name.endswith(".part") for name in os.listdir(self.folder)) if os.path.isdir(self.folder) else 0

    def check(self, size: int) -> None:
        """Waits for the end of the job, and checks that each file exists, has the right bytes, and
        has one row."""
        self._thread.join(LONGEST)
        assert not self.is_running(), f"the job takes more than {LONGEST} s"
        if self._error is not None:
            raise self._error
        check_files(self.folder, self.items)
        assert sorted(row["url"] for row in self.rows) == sorted(item["url"] for item in self.items), "each URL has one row"
        wrong = [row for row in self.rows if row["status"] not in ("finished", "skipped") or row["bytes"] != size]
        assert not wrong, wrong


def check_files(folder: str, items: list[dict[str, str]]) -> None:
    """Checks that a folder has each file with the right bytes, and no other file except the marks
    of complete shards."""
    names = {item["url"].rpartition("/")[2]: item["sha256"] for item in items}
    there = set(os.listdir(folder)) - {".downhaul-shards"}
    assert there == set(names), f"missing or unexpected files: {there ^ set(names)}"
    for name, digest in names.items():
        with open(f"{folder}/{name}", "rb") as file:
            assert sha256(file.read()) == digest, f"{name} has wrong bytes"


def processes(mark: str, word: str = "") -> list[int]:
    """Returns the processes that have this mark in their environment and this word in their
    command, except this process."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if pid == os.getpid() or f"{MARK}={mark}".encode() not in _read(pid, "environ").split(b"\0"):
            continue
        # A process that has ended, but for which its parent has not waited yet, has no command.
        if command(pid) and word in command(pid):
            found.append(pid)
    return found


def command(pid: int) -> str:
    """Returns the program of a process and its arguments."""
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")


def descendants(pid: int) -> list[int]:
    """Returns the processes that a process started, directly or indirectly."""
    children = [int(child) for task in _tasks(pid) for child in _read(pid, f"task/{task}/children").split()]
    return children + [below for child in children for below in descendants(child)]


def is_running(pid: int) -> bool:
    """Returns true if a process runs. A process that has ended does not run, even if its parent has
    not waited for it yet."""
    state = _read(pid, "stat").rpartition(b")")[2][1:2]
    return state not in (b"", b"Z", b"X")


def kill(pids: list[int]) -> None:
    """Kills processes. Some of them may have ended already."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def kill_all(mark: str) -> None:
    """Kills the processes of a test, and the processes that they start meanwhile."""
    for _ in range(100):
        left = processes(mark)
        if not left:
            return
        kill(left)
        time.sleep(0.1)
    raise AssertionError(f"these processes cannot be killed: {left}")


def end_for_sigterm() -> None:
    """Makes SIGTERM raise an exception in this process, so that a stopped test ends its
    processes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))


def wait(seconds: float, what: str, condition: Callable[[], object]) -> None:
    """Waits until a condition is true. Fails if it is not true within this many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def show_logs(folder: str) -> None:
    """Shows the last lines of each log below a folder, after a failure."""
    for below, _, names in os.walk(folder):
        for name in names:
            if name.startswith("log-") or name == "stderr":
                with open(f"{below}/{name}", errors="replace") as file:
                    print(f"== {below}/{name}", *file.read().splitlines()[-30:], sep="\n", file=sys.stderr)


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

#!/usr/bin/env python3
"""Downloads files with two real workers of Dask, and kills one of them in the middle. Takes about half a minute.

Needs the packages downhaul and distributed. Everything is in a temporary folder and on loopback.
"""
import hashlib
import http.server
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import downhaul_dask
from distributed import Client

FILES, BYTES = 60, 300_000
# The server sends at this speed on each connection, in bytes a second, so that the worker is killed in the middle.
SPEED = 300_000


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="downhaul-dask.") as work:
        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = free_port()
        address = f"tcp://127.0.0.1:{port}"
        environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.abspath(__file__))}
        scheduler = run(environment, work, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show")
        one = ("worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0")
        workers = [run(environment, work, *one, "--name", name) for name in ("first", "second")]
        try:
            check(address, server, work, workers)
        finally:
            for process in [*workers, scheduler]:
                process.kill()
                process.wait()
            server.shutdown()


def check(address, server, work, workers) -> None:
    began, rows = time.monotonic(), []
    with Client(address, timeout=60) as client:
        client.wait_for_workers(2, timeout=60)
        items = [{"url": f"http://127.0.0.1:{server.server_port}/f{n}.bin", "sha256": digest(n)} for n in range(FILES)]
        killed = False
        for row in downhaul_dask.download(client, items, to=f"{work}/out", files_of_a_task=10, parallel=2):
            rows.append(row)
            if not killed:
                killed = True
                # The first rows are there, and both workers have files in the middle.
                time.sleep(0.5)
                os.kill(workers[0].pid, signal.SIGKILL)
    assert sorted(row["number"] for row in rows) == list(range(1, FILES + 1)), "each item has one row"
    wrong = [row for row in rows if row["status"] not in ("finished", "skipped")]
    assert not wrong, wrong
    for n in range(FILES):
        with open(f"{work}/out/f{n}.bin", "rb") as file:
            assert hashlib.sha256(file.read()).hexdigest() == digest(n), f"f{n}.bin has wrong bytes"
    assert sorted(os.listdir(f"{work}/out")) == sorted(f"f{n}.bin" for n in range(FILES)), os.listdir(f"{work}/out")
    print(f"dask: {FILES} files, one of two workers killed, {time.monotonic() - began:.0f} s")


def content(number: int) -> bytes:
    return random.Random(number).randbytes(BYTES)


def digest(number: int) -> str:
    return hashlib.sha256(content(number)).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        number = int(self.path.removeprefix("/f").removesuffix(".bin"))
        body = content(number)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{number}"')
        self.end_headers()
        try:
            for at in range(0, len(body), SPEED // 10):
                self.wfile.write(body[at : at + SPEED // 10])
                time.sleep(0.1)
        except OSError:
            # The worker was killed.
            self.close_connection = True

    def log_message(self, *_) -> None:
        pass


def run(environment, work, *words) -> subprocess.Popen:
    log = open(f"{work}/log", "a")
    return subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]], env=environment, stdout=log, stderr=log)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Downloads files with two real workers of Dask, and kills one of them during its downloads. Takes
about half a minute.

Needs the packages downhaul and distributed. Everything is in a temporary folder and on loopback.
"""
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import downhaul_dask
import testing
from distributed import Client

FILES, BYTES = 60, 300_000
# The speed of each connection of the server, in bytes a second. It is so low that the worker is
# killed during its downloads.
SPEED = 300_000


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="downhaul-dask.") as work:
        server = testing.Server(BYTES, SPEED)
        port = testing.free_port()
        address = f"tcp://127.0.0.1:{port}"
        scheduler = run(work, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show")
        one = ("worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0")
        workers = [run(work, *one, "--name", name) for name in ("first", "second")]
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
        items = [server.item(f"f{n}.bin") for n in range(FILES)]
        killed = False
        for row in downhaul_dask.download(client, items, to=f"{work}/out", files_of_a_task=10, parallel=2):
            rows.append(row)
            if not killed:
                killed = True
                # The first rows have arrived, and both workers are downloading files.
                time.sleep(0.5)
                testing.kill([workers[0].pid])
    assert sorted(row["number"] for row in rows) == list(range(1, FILES + 1)), "each item has one row"
    wrong = [row for row in rows if row["status"] not in ("finished", "skipped")]
    assert not wrong, wrong
    testing.check_files(f"{work}/out", items)
    print(f"dask: {FILES} files, one of two workers killed, {time.monotonic() - began:.0f} s")


def run(work, *words) -> subprocess.Popen:
    log = open(f"{work}/log", "a")
    environment = {**os.environ, "PYTHONPATH": HERE}
    return subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]], env=environment, stdout=log, stderr=log)


if __name__ == "__main__":
    main()

"""Ctrl-C, forked and spawned processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Server, content, wait_for

import downhaul

# The longest time from Ctrl-C to the exception, in seconds. It is usually below 60 ms, but a busy machine
# needs longer.
SOON = 0.5


def run(code: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def interrupt(child: subprocess.Popen[str], part: Path) -> tuple[float, str]:
    """Sends Ctrl-C when a partial file is there. Returns the time to the exception, and the output."""
    try:
        wait_for(part.exists)
        time.sleep(0.2)
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    finally:
        child.kill()
    assert "caught" in out, out + err
    # Both processes read the same clock.
    return float(out.split("caught")[1].split()[0]) - sent, out


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
@pytest.mark.parametrize(
    "wait",
    [
        "list(downhaul.download(url, to))",
        "downhaul.Session(to).add(url).result()",
        "downhaul.Session(to).add(url) and downhaul.Session(to).files()",
        "asyncio.run(read())",
    ],
)
def test_ctrl_c_ends_a_wait_at_once_and_keeps_the_partial_file(
    server: Server, tmp_path: Path, wait: str
) -> None:
    code = f"""
import asyncio, sys, time, downhaul
url, to = sys.argv[1:]
async def read():
    try:
        async for file in downhaul.adownload(url, to):
            pass
    finally:
        print("caught", time.monotonic())
session = downhaul.Session(to)
try:
    {wait.replace("downhaul.Session(to)", "session")}
    next(session.files())
except KeyboardInterrupt:
    print("caught", time.monotonic(), flush=True)
"""
    url = server.url("slow/30000000/a.bin")
    took, _ = interrupt(run(code, url, tmp_path), tmp_path / "a.bin.part")
    assert took < SOON
    assert (tmp_path / "a.bin.part").exists() and (tmp_path / "a.bin.part.journal").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_has_sessions_of_its_own(server: Server, tmp_path: Path) -> None:
    session = downhaul.Session(tmp_path / "parent")
    job = session.add(server.url("slow/200000/a.bin"))
    rows = downhaul.download(server.url("slow/200000/b.bin"), tmp_path / "parent")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            files = list(downhaul.download(server.urls(5), tmp_path / "child"))
            assert all(file.ok for file in files) and len(files) == 5
            for call in (job.wait, session.finish, lambda: next(rows), lambda: session.add("h/x")):
                with pytest.raises(RuntimeError, match="process"):
                    call()
            repr(session)
            session.stop()
            rows.close()
            del session, job, rows
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert job.result(30).ok and [file.ok for file in rows] == [True]
    session.finish(10)


def fetch(url: str, to: Path) -> downhaul.File:
    """Runs in another process."""
    (file,) = downhaul.download(url, to)
    return file


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_pools_of_processes_download(server: Server, tmp_path: Path, method: str) -> None:
    # The parent has threads of a session when it forks.
    list(downhaul.download(server.urls(2), tmp_path / "parent"))
    with downhaul.Session(tmp_path / "parent") as session:
        session.add(server.url("slow/60000/a.bin"))
        with multiprocessing.get_context(method).Pool(2) as pool:
            files = pool.starmap(fetch, [(url, tmp_path / method) for url in server.urls(6)])
    assert [file.bytes for file in files] == [1000] * 6
    assert (tmp_path / method / "3.bin").read_bytes() == content("3.bin", 1000)


def test_an_interpreter_ends_with_downloads_in_progress(server: Server, tmp_path: Path) -> None:
    code = """
import sys, downhaul
session = downhaul.Session(sys.argv[2])
session.add(sys.argv[1])
rows = downhaul.download(sys.argv[1], sys.argv[2] + "/2")
events = session.events()
print("read", next(events)["seq"] > 0)
"""
    child = run(code, server.url("slow/30000000/a.bin"), tmp_path)
    out, _ = child.communicate(timeout=20)
    assert child.returncode == 0 and out.strip() == "read True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_says_nothing_of_the_downloads_of_its_parent(server: Server, tmp_path: Path) -> None:
    code = """
import gc, os, sys, downhaul
rows = downhaul.download(sys.argv[1], sys.argv[2])
child = os.fork()
if child == 0:
    del rows
    gc.collect()
    os._exit(0)
os.waitpid(child, 0)
print([row.ok for row in rows])
"""
    out, err = run(code, server.url("slow/40000/a.bin"), tmp_path).communicate(timeout=20)
    assert out.strip() == "[True]" and "nothing read its rows" not in err, out + err

"""Remote files that are read like local ones."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from conftest import Server, content

import downhaul


def test_a_file_is_read_from_any_place(server: Server) -> None:
    size = 9_000_000
    body = content("a.bin", size)
    with downhaul.open(server.url(f"fine/{size}/a.bin")) as file:
        assert file.size == size and file.seekable() and file.readable() and not file.writable()
        assert file.read(10) == body[:10] and file.tell() == 10
        assert file.seek(-5, io.SEEK_END) == size - 5 and file.read() == body[-5:] and file.read(1) == b""
        assert file.seek(0) == 0 and file.read() == body
        assert file.seek(size + 5) == size + 5 and file.read() == b""
        places = random.Random(7)
        for _ in range(200):
            at, length = places.randrange(size), places.choice([1, 100, 70_000, 5_000_000])
            file.seek(at)
            assert file.read(length) == body[at : at + length]
        with pytest.raises(ValueError, match="no byte"):
            file.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        file.read()


def test_reading_on_asks_for_each_byte_once_and_ahead(server: Server) -> None:
    size = 40_000_000
    body = content("a.bin", size)
    with downhaul.open(server.url(f"fine/{size}/a.bin")) as file:
        seen = 0
        while part := file.read(100_000):
            assert part == body[seen : seen + len(part)]
            seen += len(part)
    assert seen == size
    ranges = [headers["range"][len("bytes=") :].split("-") for headers in server.headers]
    assert sum(int(last) - int(first) + 1 for first, last in ranges) == size
    assert len(ranges) < 20


def test_jumps_fetch_little(server: Server) -> None:
    with downhaul.open(server.url("fine/50000000/a.bin")) as file:
        for at in range(0, 50_000_000, 5_000_000):
            file.seek(at)
            file.read(10)
    ranges = [headers["range"][len("bytes=") :].split("-") for headers in server.headers]
    assert sum(int(last) - int(first) + 1 for first, last in ranges) < 4_000_000


def test_other_packages_read_from_it(server: Server, tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for n in range(50):
            archive.writestr(f"{n}.bin", content(str(n), 50_000))
    parquet.write_table(arrow.table({"n": range(200_000)}), tmp_path / "a.parquet")
    server.folder = tmp_path
    with downhaul.open(server.url("folder/0/a.zip")) as file, zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None and archive.read("30.bin") == content("30", 50_000)
    with downhaul.open(server.url("folder/0/a.parquet")) as file:
        assert parquet.read_table(file).column("n").to_pylist() == list(range(200_000))


@pytest.mark.parametrize("size", [0, 1, 262_144])
def test_a_small_file_needs_one_request_and_no_ranges(server: Server, size: int) -> None:
    for kind in ("fine", "whole"):
        server.headers.clear()
        with downhaul.open(server.url(f"{kind}/{size}/a.bin")) as file:
            assert file.read() == content("a.bin", size)
        assert len(server.headers) == 1


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("missing", "http.not_found"),
        ("whole", "http.no_ranges"),
        ("without-validator", "http.no_ranges"),
    ],
)
def test_a_file_that_cannot_be_read_in_ranges_is_an_error(server: Server, kind: str, code: str) -> None:
    with pytest.raises(downhaul.DownloadError) as error:
        downhaul.open(server.url(f"{kind}/1000000/a.bin"))
    assert error.value.code == code


@pytest.mark.parametrize("kind", ["other-tag", "longer", "shorter"])
def test_a_file_that_changes_is_an_error_and_not_a_mixture(server: Server, kind: str) -> None:
    with downhaul.open(server.url(f"changes/{kind}/a.bin")) as file:
        assert file.read(10) == content("a.bin", 3_000_000)[:10]
        file.seek(1_000_000 if kind != "shorter" else 2_000_000)
        with pytest.raises(downhaul.DownloadError) as error:
            file.read(10)
        assert error.value.code == "remote.changed"


def test_a_response_that_breaks_is_continued(server: Server) -> None:
    with downhaul.open(server.url("cuts/2000000/a.bin"), retries=1) as file:
        assert file.read() == content("a.bin", 2_000_000)


def test_a_range_may_be_shorter_than_what_was_asked_for(server: Server) -> None:
    for size in (50_000, 200_000, 1_000_000):
        with downhaul.open(server.url(f"short/{size}/a.bin")) as file:
            assert file.read() == content("a.bin", size)


def test_after_a_failed_read_the_next_one_asks_again(server: Server) -> None:
    body = content("a.bin", 1_000_000)
    with downhaul.open(server.url("fails-once/1000000/a.bin"), retries=0) as file:
        file.seek(500_000)
        with pytest.raises(downhaul.DownloadError) as error:
            file.read(10)
        assert error.value.code == "http.not_found"
        assert file.read(10) == body[500_000:500_010]


def test_a_long_read_asks_for_short_ranges(server: Server) -> None:
    size = 30_000_000
    with downhaul.open(server.url(f"fine/{size}/a.bin")) as file:
        file.seek(1_000_000)
        assert file.read(25_000_000) == content("a.bin", size)[1_000_000:26_000_000]
    ranges = [headers["range"][len("bytes=") :].split("-") for headers in server.headers]
    assert max(int(last) - int(first) + 1 for first, last in ranges) <= 4 * 1024 * 1024


def test_a_busy_server_is_asked_again(server: Server) -> None:
    with downhaul.open(server.url("busy-once/5/a.bin")) as file:
        assert file.read() == content("a.bin", 5)


def test_options_reach_the_server_and_wrong_ones_are_errors(server: Server) -> None:
    with downhaul.open(server.url("private/5/a.bin"), user=("ann", "secret")) as file:
        assert file.read() == content("a.bin", 5)
    with downhaul.open(server.url("fine/5/a.bin"), headers={"X-A": "b"}, user_agent="me"):
        assert (server.headers[-1]["x-a"], server.headers[-1]["user-agent"]) == ("b", "me")
    with pytest.raises(TypeError, match="limit_rate"):
        downhaul.open(server.url("fine/5/a.bin"), limit_rate=5)  # type: ignore[call-arg]  # pyright: ignore
    with pytest.raises(downhaul.DownloadError, match="digest"):
        downhaul.open(server.url("fine/5/a.bin#sha256=" + 64 * "0"))
    with pytest.raises(downhaul.DownloadError) as error:
        downhaul.open("ftp://127.0.0.1/a")
    assert error.value.code == "url.scheme"


def test_secrets_are_not_shown(server: Server) -> None:
    url = server.url("fine/1000/a.bin").replace("//", "//ann:secret@") + "?token=secret"
    with downhaul.open(url) as file:
        assert "secret" not in repr(file) and "a.bin" in repr(file) and "1000" in repr(file)


def test_other_threads_run_while_it_waits(server: Server) -> None:
    ticks = 0
    is_over = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not is_over.wait(0.01):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    with downhaul.open(server.url("slow/1000000/a.bin")) as file:
        file.read(600_000)
    is_over.set()
    thread.join()
    assert ticks > 20


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_a_forked_process_is_told_to_open_the_file_itself(server: Server) -> None:
    code = """
import os, sys, downhaul
file = downhaul.open(sys.argv[1])
child = os.fork()
if child == 0:
    try:
        file.seek(2_000_000)
        file.read(1)
    except RuntimeError as error:
        print("this file belongs to the process" in str(error), flush=True)
    with downhaul.open(sys.argv[1]) as own:
        print(len(own.read()), flush=True)
    del file
    os._exit(0)
os.waitpid(child, 0)
print(len(file.read()))
"""
    url = server.url("fine/3000000/a.bin")
    child = subprocess.run([sys.executable, "-W", "ignore", "-c", code, url], capture_output=True, text=True, timeout=30)
    assert child.stdout.split() == ["True", "3000000", "3000000"], child


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no timers that send signals")
def test_a_signal_ends_a_read(server: Server) -> None:
    code = """
import signal, sys, time, downhaul
file = downhaul.open(sys.argv[1])
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    file.read()
except KeyboardInterrupt:
    print("caught")
"""
    begin = time.monotonic()
    url = server.url("slow/9000000/a.bin")
    child = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, timeout=30)
    assert child.stdout == "caught\n" and time.monotonic() - begin < 5, child


@pytest.mark.parametrize("kind", ["chunked", "until-close"])
def test_a_small_file_needs_no_stated_length(server: Server, kind: str) -> None:
    with downhaul.open(server.url(f"{kind}/1000/a.bin")) as file:
        assert file.size == 1000 and file.read() == content("a.bin", 1000)
        file.seek(5)
        assert file.read(3) == content("a.bin", 1000)[5:8]
    with pytest.raises(downhaul.DownloadError, match="http.no_ranges"):
        downhaul.open(server.url(f"{kind}/300000/a.bin"))

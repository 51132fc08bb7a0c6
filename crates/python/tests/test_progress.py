"""The progress of a download that a person sees."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest
from conftest import Server, wait_for

import downhaul
from downhaul import _progress

CODE = """
import sys, downhaul
for file in downhaul.download(sys.argv[2:], sys.argv[1]):
    print(file.path.name, file.bytes)
"""


def test_a_function_gets_the_progress(server: Server, tmp_path: Path) -> None:
    seen: list[downhaul.Progress] = []
    (file,) = downhaul.download(server.url("slow/200000/a.bin"), tmp_path, progress=seen.append)
    assert file.ok and len(seen) > 2
    assert seen[-1].ended == seen[-1].total == 1 and seen[-1].bytes == 200000
    fractions = [progress.fraction or 0 for progress in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert any(0 < progress.bytes < 200000 and progress.speed > 0 for progress in seen)


def test_an_error_in_the_function_stops(server: Server, tmp_path: Path) -> None:
    def fail(_: object) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        list(downhaul.download(server.url("slow/9000000/a.bin"), tmp_path, progress=fail))


def test_nothing_is_shown_without_a_terminal(server: Server, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CODE, str(tmp_path), server.url("slow/50000/a.bin")]
    child = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (child.stdout, child.stderr) == ("a.bin 50000\n", "")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_shows_a_bar_and_lines_do_not_mix_with_it(server: Server, tmp_path: Path) -> None:
    import pty

    leader, follower = pty.openpty()
    urls = [server.url(f"slow/{size}/{size}.bin") for size in (300000, 500000)]
    env = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    child = subprocess.Popen(
        [sys.executable, "-c", CODE, str(tmp_path), *urls],
        stdin=follower, stdout=follower, stderr=follower, env=env,
    )  # fmt: skip
    os.close(follower)
    shown = b""
    try:
        while part := os.read(leader, 65536):
            shown += part
    except OSError:  # The child is over.
        pass
    assert child.wait(20) == 0
    os.close(leader)
    text = shown.decode()
    assert "0/2 files" in text and "50%|" in text and "2/2 files" in text
    # The lines that the terminal shows at the end.
    lines = [line.rsplit("\r", 1)[-1].replace("\x1b[K", "") for line in text.replace("\r\n", "\n").split("\n")]
    assert lines[:2] == ["300000.bin 300000", "500000.bin 500000"], lines
    assert lines[2].startswith("100%|████") and "2/2 files, 781 KiB [" in lines[2]


def test_a_notebook_shows_html(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class HTML:
        def __init__(self, text: str) -> None:
            self.text = text

    class Handle:
        def update(self, html: HTML) -> None:
            shown.append(html.text)

    def display(html: HTML, display_id: bool) -> Handle:
        shown.append(html.text)
        return Handle()

    shell = types.SimpleNamespace(kernel=object())
    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython = lambda: shell
    parts: Any = types.ModuleType("IPython.display")
    parts.HTML, parts.display = HTML, display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", parts)
    list(downhaul.download([server.url("slow/500000/a.bin"), server.url("missing")], tmp_path))
    assert len(shown) >= 2 and 'role="progressbar"' in shown[0]
    assert "width: 100.00%" in shown[-1] and "100% 2/2 files, 1 failed" in shown[-1]
    # The bar is red if a file failed.
    assert "#d32f2f" in shown[-1]


@pytest.mark.parametrize("total", [None, 1, 200])
def test_a_bar_fits_every_width(total: int | None) -> None:
    progress = downhaul.Progress(
        files=100, total=total, finished=1, skipped=0, failed=0, running=2, bytes=10**9,
        expected=3 * 10**9, seconds=4000.0, speed=1e6, name="a",
    )  # fmt: skip
    for columns in range(5, 150):
        assert len(_progress.text(progress, columns)) <= columns
    assert "954 MiB [1:06:40" in _progress.text(progress, 120)


def test_few_updates_cost_little(server: Server, tmp_path: Path) -> None:
    calls = 0

    def count(_: object) -> None:
        nonlocal calls
        calls += 1

    begin = time.monotonic()
    list(downhaul.download(server.urls(300, 10), tmp_path, progress=count))
    assert calls <= (time.monotonic() - begin) / _progress.EVERY + 2


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_a_traceback_begins_below_the_bar(server: Server, tmp_path: Path) -> None:
    code = "import sys, downhaul\nlist(downhaul.download(sys.argv[1], sys.argv[2], progress=True))"
    command = [sys.executable, "-c", code, server.url("slow/30000000/a.bin"), str(tmp_path)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_for((tmp_path / "a.bin.part").exists)
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=20)
    finally:
        child.kill()
    assert "file" in err and "\nTraceback" in err, err

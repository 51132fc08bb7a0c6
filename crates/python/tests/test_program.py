"""The program in the wheel."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

from conftest import Server, content

import downhaul


def test_the_program_is_in_the_wheel(server: Server, tmp_path: Path) -> None:
    shown = subprocess.run([downhaul.program(), "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["downhaul", downhaul.__version__]
    assert downhaul.cli([server.url("fine/5000/a.bin"), "-d", tmp_path, "--log", "none"]) == 0
    assert (tmp_path / "a.bin").read_bytes() == content("a.bin", 5000)
    assert downhaul.cli([server.url("missing"), "-d", tmp_path, "--log", "none"]) == 1
    assert downhaul.cli(["--no-such-option"]) == 2


def test_the_package_is_a_program_too() -> None:
    command = [sys.executable, "-m", "downhaul", "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["downhaul", downhaul.__version__]


def test_the_wheel_has_the_licences() -> None:
    files = [str(file) for file in importlib.metadata.files("downhaul") or []]
    for name in ("LICENSE-APACHE", "LICENSE-MIT", "THIRD-PARTY.txt"):
        assert any(".dist-info" in file and file.endswith(name) for file in files), (name, files)

"""`cli`: runs the program `downhaul`, which is in the same wheel."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from ._options import StrPath


def program() -> Path:
    """Returns the path of the program. Raises FileNotFoundError if it is not installed."""
    name = "downhaul.exe" if os.name == "nt" else "downhaul"
    # A wheel is installed for all users, for one user, or into a folder (`pip install --target`).
    target = Path(__file__).parent.parent / "bin"
    schemes = (sysconfig.get_path("scripts"), sysconfig.get_path("scripts", f"{os.name}_user"), str(target))
    for folder in schemes:
        if folder and Path(folder, name).is_file():
            return Path(folder, name)
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError("the program `downhaul` is not beside this package: install its wheel again")
    return Path(found)


def cli(args: Iterable[StrPath] = ()) -> int:
    """Runs the program with these arguments, and returns its exit status (docs/exit.md).

    The program has the same standard input and output as this process. Ctrl-C stops it as in a terminal.
    """
    process = subprocess.Popen([program(), *(os.fspath(arg) for arg in args)])
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The program then puts its partial files in order. A terminal sends Ctrl-C to the program too. If
            # there is no terminal, only this process got the signal, and passes it on.
            if not _shares_terminal():
                process.send_signal(signal.SIGINT)


def _shares_terminal() -> bool:
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:
        return False


def main() -> int:
    """Runs the program with the arguments of this process (`python -m downhaul`)."""
    if os.name == "nt":
        return cli(sys.argv[1:])
    path = program()
    sys.stdout.flush()
    os.execv(path, [str(path), *sys.argv[1:]])

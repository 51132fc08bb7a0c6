"""Progress: the values for a callback, and the bars of terminals and notebooks.

A bar is one line. It looks like a bar of tqdm, and is shown where a person can see it: in a terminal, or
in a notebook.
"""

from __future__ import annotations

import html
import importlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO, Union

from ._file import units

if TYPE_CHECKING:
    from ._downhaul import Totals

# The number of seconds between two updates of the progress. A person sees no more than ten changes in a
# second.
EVERY = 0.1

# The number of seconds between two updates in a notebook. It is higher, because each change is a message to
# the browser.
_EVERY_IN_NOTEBOOKS = 0.5

# The number of seconds over which the speed is smoothed.
_SMOOTH = 3.0

_BLOCKS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Progress:
    """The sums over all files of a session."""

    files: int
    """The number of files that were added."""
    total: int | None
    """The number of files of the input, if it is known."""
    finished: int
    skipped: int
    failed: int
    running: int
    """The number of files in progress."""
    bytes: int
    """The bytes of the finished files, and the bytes that the session has of the files in progress."""
    expected: int
    """The sizes of the finished files and of the files in progress. While the size of a file is not known,
    the bytes that the session has of this file count instead."""
    seconds: float
    """The time since the start, in seconds."""
    speed: float
    """The bytes a second in the last seconds. In the last update, the bytes a second over the whole time."""
    name: str | None
    """The name of a file in progress."""

    @property
    def ended(self) -> int:
        """The number of files that have ended."""
        return self.finished + self.skipped + self.failed

    @property
    def fraction(self) -> float | None:
        """The part of the work that is done, from 0 to 1. None if the number of files is 0 or not known."""
        total = self.total
        if not total:
            return None
        if total == 1 and self.running and self.expected:
            return min(1.0, self.bytes / self.expected)
        return min(1.0, self.ended / total)


ProgressOption = Union[bool, None, Callable[[Progress], Any]]
"""True shows a bar, and False shows no bar. None shows a bar only in a terminal or a notebook. A function is
called with the progress instead."""


class Meter:
    """Measures the speed, and shows the progress to a person or a function."""

    def __init__(self, show: Callable[[Progress], Any] | Bar, total: int | None) -> None:
        self._show = show
        self._total = total
        self._start = self._last = time.monotonic()
        self._bytes = 0
        self._speed = 0.0

    @property
    def is_due(self) -> bool:
        """True if the last update was long enough ago for another one."""
        every = self._show.every if isinstance(self._show, Bar) else EVERY
        return time.monotonic() - self._last >= every

    def update(self, totals: Totals) -> None:
        """Shows the totals."""
        now = time.monotonic()
        passed = max(now - self._last, 1e-3)
        speed = max(0, totals["bytes"] - self._bytes) / passed
        weight = min(1.0, passed / _SMOOTH) if self._speed else 1.0
        self._speed += (speed - self._speed) * weight
        self._last, self._bytes = now, totals["bytes"]
        self._tell(totals, now, self._speed)

    def _tell(self, totals: Totals, now: float, speed: float) -> None:
        progress = Progress(total=self._total, seconds=now - self._start, speed=speed, **totals)
        if isinstance(self._show, Bar):
            self._show.draw(progress)
        else:
            self._show(progress)

    def hide(self) -> None:
        """Removes the bar until the next update, so that other lines do not mix with it."""
        if isinstance(self._show, Bar):
            self._show.hide()

    def leave(self) -> None:
        """Leaves the bar where it is, so that other lines begin below it."""
        if isinstance(self._show, Bar):
            self._show.close()

    def close(self, totals: Totals) -> None:
        """Shows the last state, with the speed over the whole time."""
        now = time.monotonic()
        self._tell(totals, now, totals["bytes"] / max(now - self._start, 1e-3))
        self.leave()


def meter(option: ProgressOption, total: int | None) -> Meter | None:
    """Returns the meter that shows the progress, or None if no progress is shown."""
    if option is False:
        return None
    if option is not None and option is not True:
        return Meter(option, total)
    notebook = _notebook()
    if notebook is not None:
        return Meter(notebook, total)
    if option is True or _is_terminal(sys.stderr):
        return Meter(TerminalBar(sys.stderr), total)
    return None


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # The stream was closed.
        return False


def _notebook() -> Bar | None:
    """Returns a bar if the code runs in a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or getattr(shell, "kernel", None) is None:
        return None
    return NotebookBar()


class Bar:
    """Draws progress as one line."""

    every = EVERY

    def draw(self, progress: Progress) -> None:
        raise NotImplementedError

    def hide(self) -> None:
        """Removes the line until the next draw."""

    def close(self) -> None:
        """Leaves the line where it is."""


class TerminalBar(Bar):
    """A line at the cursor of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_shown = False
        encoding = getattr(stream, "encoding", None) or "ascii"
        self._blocks = _BLOCKS if encoding.lower().replace("-", "") == "utf8" else " #"

    def draw(self, progress: Progress) -> None:
        columns = shutil.get_terminal_size().columns
        line = text(progress, columns - 1, self._blocks)
        self._write(f"\r{line}\x1b[K")
        self._is_shown = True

    def hide(self) -> None:
        # If standard output is a terminal, its lines would be written behind the bar. If it is a file, the
        # bar can stay.
        if self._is_shown and _is_terminal(sys.stdout):
            self._write("\r\x1b[K")
            self._is_shown = False

    def close(self) -> None:
        if self._is_shown:
            self._write("\n")
            self._is_shown = False

    def _write(self, part: str) -> None:
        try:
            self._stream.write(part)
            self._stream.flush()
        except (OSError, ValueError):  # The terminal is gone. The download continues.
            pass


class NotebookBar(Bar):
    """A line of HTML below a cell of a notebook. It needs no other package and no JavaScript."""

    every = _EVERY_IN_NOTEBOOKS

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, progress: Progress) -> None:
        parts: Any = importlib.import_module("IPython.display")
        shown = parts.HTML(_html(progress))
        if self._handle is None:
            self._handle = parts.display(shown, display_id=True)
        else:
            self._handle.update(shown)


def text(progress: Progress, columns: int, blocks: str = _BLOCKS) -> str:
    """Returns the line of a bar, at most this wide."""
    after = _after(progress)
    fraction = progress.fraction
    if fraction is None:
        return after[:columns]
    before = f"{fraction:4.0%}"
    width = min(40, columns - len(before) - len(after) - 3)
    if width < 8:
        return f"{before} {after}"[:columns]
    eighths = round(fraction * width * (len(blocks) - 1))
    full, part = divmod(eighths, len(blocks) - 1)
    bar = blocks[-1] * full + (blocks[part] if part else "")
    return f"{before}|{bar.ljust(width)}| {after}"


def _after(progress: Progress) -> str:
    files = f"{progress.ended}" if progress.total is None else f"{progress.ended}/{progress.total}"
    failed = f", {progress.failed} failed" if progress.failed else ""
    times = _clock(progress.seconds)
    fraction = progress.fraction
    if fraction and progress.running:
        times += f"<{_clock(progress.seconds * (1 / fraction - 1))}"
    noun = "file" if progress.total == 1 else "files"
    return f"{files} {noun}{failed}, {units(progress.bytes)} [{times}, {units(progress.speed)}/s]"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def _html(progress: Progress) -> str:
    """Returns a bar for light and dark themes. The element `progress` of HTML is not used, because it is
    white in dark themes."""
    bar, fraction = "", progress.fraction
    if fraction is not None:
        color = "#d32f2f" if progress.failed else "#1976d2"
        bar = (
            f'<span role="progressbar" aria-valuenow="{fraction * 100:.0f}" style="display: inline-block; width: 20em; '
            f'height: 0.8em; border-radius: 3px; overflow: hidden; background-color: rgba(128, 128, 128, 0.35)">'
            f'<span style="display: block; width: {fraction:.2%}; height: 100%; background-color: {color}"></span>'
            f"</span> {fraction:.0%} "
        )
    return (
        '<div style="font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px); '
        f'padding-left: var(--jp-code-padding, 5px); white-space: pre">{bar}{html.escape(_after(progress))}</div>'
    )

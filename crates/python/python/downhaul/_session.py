"""`Session`: downloads that are added, paused, limited and watched while they run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from . import _input, _options
from ._downhaul import Core, JobHandle
from ._file import File, file, units
from ._options import JobOptions, Options, StrPath, core_job_options, core_options, parse_size

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from ._options import Size

T = TypeVar("T")

# The highest number of rows or events that are taken at once.
_AT_ONCE = 256

# The number of seconds that a stopped session may take to put its partial files in order.
_STOP = 2.0

# The longest timeout in seconds, about 30 years. A longer timeout has the same effect, and Python cannot pass
# a very large whole number to the library.
_LONGEST = 1e9


@dataclass(frozen=True)
class Summary:
    """The sums over the files of a session."""

    files: int
    finished: int
    skipped: int
    failed: int
    bytes: int
    """The bytes of the finished files, and the bytes that the session has of the files in progress."""


@dataclass(frozen=True)
class FileProgress:
    """The progress of one file."""

    number: int
    """The number of the job."""
    name: str
    phase: str
    """``connecting``, ``receiving``, ``waiting``, ``finishing``, ``checking`` or ``paused``."""
    bytes: int
    total: int | None
    """The size of the file in bytes, if it is known."""
    seconds: float
    """The time since the job began, in seconds."""
    wait: float
    """The number of seconds until the next request, if the download waits."""


class Job:
    """The download of one file in a session."""

    def __init__(self, handle: JobHandle, given: _input.Given, folder: str) -> None:
        self._handle = handle
        self._folder = folder
        self._given = given
        self._file: File | None = None

    @property
    def number(self) -> int:
        """The number of the job in its session, from 1."""
        return self._handle.number

    @property
    def url(self) -> str:
        """The URL as it was given."""
        return self._given.url

    @property
    def done(self) -> bool:
        """True if the download has ended."""
        return self._wait(0) is not None

    def wait(self, timeout: float | None = None) -> File:
        """Waits for the row of this file. Raises TimeoutError if the download does not end within `timeout`
        seconds."""
        row = self._wait(timeout)
        if row is None:
            raise TimeoutError(f"{self!r} did not end within {timeout} s")
        return row

    def result(self, timeout: float | None = None) -> File:
        """Waits as `wait` does, and raises the `DownloadError` if the download failed."""
        return self.wait(timeout).raise_for_error()

    def _wait(self, timeout: float | None) -> File | None:
        if self._file is None:
            row = self._handle.row(_not_negative(timeout))
            if row is not None:
                self._file = file(row, self._folder, self._given.url, self._given.item)
        return self._file

    def pause(self) -> None:
        """Closes the connections of the download. The partial file is kept, and another download may
        start."""
        self._handle.pause()

    def resume(self) -> None:
        """Continues the download as soon as the limit of downloads at once (`parallel`) allows it."""
        self._handle.resume()

    def remove(self, *, keep_partial: bool = True) -> None:
        """Removes the download. If it has not ended, it fails with the code ``job.removed``. Its partial file
        is deleted if `keep_partial` is false, or if no later run can continue it."""
        self._handle.remove(keep_partial)

    def set_priority(self, priority: int) -> None:
        """Sets the priority. Of the downloads that wait, those with the highest priority start next. The
        default is 0."""
        self._handle.set_priority(_options.priority(priority))

    def set_limit_rate(self, limit_rate: Size | None) -> None:
        """Limits the bytes a second of this download. None removes the limit."""
        self._handle.set_limit_rate(_rate(limit_rate))

    def __repr__(self) -> str:
        state = repr(self._file) if self._file else "not ended"
        return f"<Job {self.number}: {state}>"


class Session:
    """Downloads files that are added while it runs.

    As a context manager it waits for all downloads at the end, and stops if an exception leaves the block::

        with downhaul.Session(to="data", parallel=8) as session:
            job = session.add("https://example.com/a.bin")
            print(job.result().path)

    Raises TypeError, ValueError, OSError or `DownloadError` if an option cannot be used.
    """

    def __init__(self, to: StrPath | None = ".", **options: Unpack[Options]) -> None:
        settings = core_options(to, options)
        # A session may run for a long time, so the URL or the path of a download that has ended may be added
        # again.
        settings["releases_names"] = True
        self._core = Core(settings)
        self._to: str = settings["to"]
        self._limit_rate = options.get("limit_rate")

    def add(self, item: _input.Item, **options: Unpack[JobOptions]) -> Job:
        """Adds a URL, or a dictionary with the keys of a JSON line (docs/lists.md). Never waits.

        Raises `DownloadError` if the item cannot be understood, RuntimeError if the session was closed, and
        TypeError or ValueError for an option that cannot be used.
        """
        unknown = sorted(options.keys() - JobOptions.__annotations__.keys())
        if unknown:
            raise TypeError(f"unknown option {unknown[0]!r}")
        given = _input.job(item)
        core: dict[str, Any] = {"text": given.core} if isinstance(given.core, str) else given.core
        core.update(core_job_options({k: v for k, v in options.items() if v is not None}))
        return Job(self._core.add(core), given, self._to)

    def files(self) -> Iterator[File]:
        """Returns an iterator over the rows of the downloads that end from now on.

        The iterator ends when the session ends: when all downloads have ended after `close` or `finish`, or
        after `stop`.
        """
        return self._each(self._core.rows().next, lambda row: file(row, self._to))

    def events(self) -> Iterator[dict[str, Any]]:
        """Returns an iterator over the events from now on, as docs/events.md describes them.

        The iterator ends when the session ends, as the iterator of `files` does.
        """
        return self._each(self._core.events().next, json.loads)

    @staticmethod
    def _each(
        next_ones: Callable[[float | None, int], list[Any] | None], make: Callable[[Any], T]
    ) -> Iterator[T]:
        def rows() -> Iterator[T]:
            while (found := next_ones(None, _AT_ONCE)) is not None:
                yield from map(make, found)

        return rows()

    def running(self) -> list[FileProgress]:
        """Returns the progress of the downloads that have started and not ended."""
        return [FileProgress(**sample) for sample in self._core.samples()]

    @property
    def summary(self) -> Summary:
        """The sums over all files until now."""
        totals = self._core.totals()
        return Summary(
            totals["files"], totals["finished"], totals["skipped"], totals["failed"], totals["bytes"]
        )

    @property
    def limit_rate(self) -> Size | None:
        """The limit of all downloads together in bytes a second. It can be set at any time. None means
        no limit."""
        return self._limit_rate

    @limit_rate.setter
    def limit_rate(self, limit_rate: Size | None) -> None:
        self._core.set_limit_rate(_rate(limit_rate))
        self._limit_rate = limit_rate

    def pause(self) -> None:
        """Pauses all downloads, including those that are added before `resume` is called."""
        self._core.pause()

    def resume(self) -> None:
        """Continues all paused downloads."""
        self._core.resume()

    def close(self) -> None:
        """Accepts no more downloads. Those that were added before continue."""
        self._core.close()

    def finish(self, timeout: float | None = None) -> Summary:
        """Accepts no more downloads, and waits until all that were added have ended. Raises TimeoutError if
        they do not end within `timeout` seconds."""
        self.close()
        if not self._core.wait(_not_negative(timeout)):
            raise TimeoutError(f"{self!r} did not end within {timeout} s")
        return self.summary

    def stop(self) -> None:
        """Stops the session, and waits up to two seconds for its end. Unfinished downloads fail with
        ``run.stopped``. A later session can continue them."""
        self._core.stop()
        self._core.wait(_STOP)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.stop()
            return
        try:
            self.finish()
        except BaseException:
            self.stop()
            raise

    def __repr__(self) -> str:
        try:
            now = self.summary
        except RuntimeError:  # In a process that was forked.
            return f"<Session to {self._to!r}>"
        ended = now.finished + now.skipped + now.failed
        return f"<Session to {self._to!r}: {ended} of {now.files} files, {units(now.bytes)}>"


def _rate(limit_rate: Size | None) -> int | None:
    return None if limit_rate is None else parse_size(limit_rate, "limit_rate")


def _not_negative(timeout: float | None) -> float | None:
    """Returns a timeout that the library can use."""
    return None if timeout is None else max(0.0, min(timeout, _LONGEST))

"""`download` and `adownload`. They yield a row for each file when its download has ended."""

from __future__ import annotations

import os
import time
import warnings
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Union

from . import _input, _progress
from ._downhaul import Core
from ._file import File, file
from ._options import Options, StrPath, core_options

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from ._downhaul import Row

# The highest number of downloads that were added and have no row yet. It is higher than the number of files
# that a session usually downloads at once, and so low that an endless input needs little memory.
_AHEAD = 1024

# The highest number of rows that are taken at once.
_ROWS = 256

# The input is read for this many seconds before rows are taken. The read of an item is not interrupted, so a
# slow input may take longer.
_SLOW_INPUT = 0.02

# The number of seconds that a stopped session may take to put its partial files in order.
_STOP = 2.0

AsyncInput = Union[_input.Input, AsyncIterable[_input.Item]]


class _Run:
    """The common part of both kinds of downloads: a session, its input, and the rows that are ready."""

    def __init__(
        self,
        jobs: Iterator[_input.Given],
        total: int | None,
        to: StrPath | None,
        progress: _progress.ProgressOption,
        options: Options,
    ) -> None:
        settings = core_options(to, options)
        # If a run has only one file, a digest without a file name in a checksum list is for this file.
        settings["single"] = total == 1
        self.core = Core(settings)
        self._folder: str = settings["to"]
        self.rows = self.core.rows()
        self.meter = _progress.meter(progress, total)
        self.total = total
        self.ready: deque[File] = deque()
        self.ended = 0
        self._jobs = jobs
        self._added = 0
        self._open: dict[int, _input.Given] = {}
        self.is_closed = False
        self._process = os.getpid()

    @property
    def is_elsewhere(self) -> bool:
        """True in a process that was forked. The download continues in the parent."""
        return self._process != os.getpid()

    @property
    def room(self) -> int:
        """The number of downloads that may be added now."""
        return _AHEAD - len(self._open)

    def feed(self) -> None:
        """Reads items of the input and adds them, as long as there is room, and for a short time. Does
        nothing while less than a quarter of the room is free. Each item is added before the next one is read,
        because reading an item may take a long time."""
        if self.is_closed or self.room < _AHEAD // 4:
            return
        until = time.monotonic() + _SLOW_INPUT
        for given in islice(self._jobs, self.room):
            self.add(given)
            if time.monotonic() >= until:
                return
        # If no room is left, this call cannot know if the input has ended. The next call finds out.
        if self.room:
            self.close_input()

    def add(self, given: _input.Given) -> None:
        self.core.add_all([given.core])
        self._added += 1
        self._open[self._added] = given

    def close_input(self) -> None:
        """Ends the session when all downloads that were added have ended."""
        self.is_closed = True
        self.core.close()

    def wait(self) -> float:
        """Returns how many seconds to wait for rows, before the run has other work to do."""
        if not self.is_closed and self.room:
            return _SLOW_INPUT
        return _progress.EVERY if self.meter else 0.5

    def take(self, rows: list[Row]) -> None:
        """Adds these rows to `ready`, and shows the progress if an update is due."""
        for row in rows:
            given = self._open.pop(row["number"], None)
            url, item = (None, None) if given is None else (given.url, given.item)
            self.ready.append(file(row, self._folder, url, item))
        if self.meter and self.meter.is_due:
            self.meter.update(self.core.totals())

    def next(self) -> File:
        """Returns the first row that is ready."""
        self.ended += 1
        if self.meter:
            self.meter.hide()
        return self.ready.popleft()

    def over(self) -> None:
        """Shows the progress for the last time."""
        if self.meter:
            self.meter.close(self.core.totals())
            self.meter = None

    def stop(self) -> None:
        """Stops the session. A later run continues its partial files."""
        if self.meter:
            self.meter.leave()
            self.meter = None
        self.core.stop()
        self.ready.clear()
        self.is_closed = True
        self._open.clear()

    def __repr__(self) -> str:
        of = "" if self.total is None else f" of {self.total}"
        return f"{self.ended}{of} files"


class Downloads(Iterator[File]):
    """The rows of a download, one for each file. `download` returns it."""

    def __init__(self, run: _Run, raise_on_error: bool) -> None:
        self._run: _Run | None = None
        self._shown = run
        self._raise_on_error = raise_on_error
        self._is_read = False
        # The first downloads begin before the first row is requested.
        run.feed()
        self._run = run

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> File:
        run = self._run
        self._is_read = True
        if run is None:
            raise StopIteration
        try:
            while not run.ready:
                run.feed()
                rows = run.rows.next(run.wait(), _ROWS)
                if rows is None:
                    run.over()
                    self._run = None
                    raise StopIteration
                run.take(rows)
            row = run.next()
            if self._raise_on_error:
                row.raise_for_error()
            return row
        except StopIteration:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stops the downloads that have not ended. A later call of `download` with the same arguments
        continues them."""
        run, self._run = self._run, None
        if run is not None:
            run.stop()
            run.core.wait(_STOP)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        run = getattr(self, "_run", None)
        if run is None or run.is_elsewhere:
            return
        if not self._is_read:
            warnings.warn(
                "download() stopped, because nothing read its rows. Read them with "
                "`for file in downhaul.download(...)` or `list(downhaul.download(...))`",
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )
        self.close()

    def __repr__(self) -> str:
        return f"<Downloads: {self._shown!r}{'' if self._run else ', over'}>"


class AsyncDownloads(AsyncIterator[File]):
    """The rows of a download, one for each file. `adownload` returns it."""

    def __init__(self, run: _Run, items: AsyncIterable[Any] | None, raise_on_error: bool) -> None:
        # The import of these modules takes longer than the import of this package, so they are imported only
        # where they are needed.
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        self._run: _Run | None = run
        self._shown = run
        self._items = items
        self._raise_on_error = raise_on_error
        # A separate thread reads the input and waits for rows, so that the threads of the event loop stay
        # free.
        self._thread = ThreadPoolExecutor(1, "downhaul")
        self._feeder: asyncio.Task[None] | None = None
        self._has_room = asyncio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> File:
        run = self._run
        if run is None:
            raise StopAsyncIteration
        import asyncio

        loop = asyncio.get_running_loop()
        if self._items is not None and self._feeder is None:
            self._feeder = loop.create_task(_feed(run, self._items, self._has_room))
        try:
            while not run.ready:
                if self._feeder is None:
                    # The input may be slow, and must not stop the event loop.
                    await loop.run_in_executor(self._thread, run.feed)
                elif self._feeder.done():
                    self._feeder.result()
                rows = await loop.run_in_executor(self._thread, run.rows.next, run.wait(), _ROWS)
                if rows is None:
                    run.over()
                    self._run = None
                    self._thread.shutdown(wait=False)
                    raise StopAsyncIteration
                run.take(rows)
                if run.room:
                    self._has_room.set()
            row = run.next()
            if self._raise_on_error:
                row.raise_for_error()
            return row
        except StopAsyncIteration:
            raise
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Stops the downloads that have not ended. A later call of `adownload` with the same arguments
        continues them."""
        import asyncio

        run, self._run = self._run, None
        if run is None:
            return
        if self._feeder is not None:
            self._feeder.cancel()
        run.stop()
        until = time.monotonic() + _STOP
        while not run.core.wait(0) and time.monotonic() < until:
            await asyncio.sleep(0.005)
        self._thread.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        run = getattr(self, "_run", None)
        if run is not None and not run.is_elsewhere:
            run.stop()
            self._thread.shutdown(wait=False)
            if self._feeder is not None:
                loop = self._feeder.get_loop()
                if not loop.is_closed():
                    # This method may be called in any thread.
                    loop.call_soon_threadsafe(self._feeder.cancel)

    def __repr__(self) -> str:
        return f"<AsyncDownloads: {self._shown!r}{'' if self._run else ', over'}>"


async def _feed(run: _Run, items: AsyncIterable[Any], has_room: asyncio.Event) -> None:
    """Adds the items of an asynchronous input. This function has no reference to the `AsyncDownloads`, so
    that this object is deleted when its loop is left, even if the input has not ended."""
    async for item in items:
        if run.is_closed:
            return
        run.add(_input.job(item))
        while not run.room:
            has_room.clear()
            await has_room.wait()
    run.close_input()


def download(
    urls: _input.Input,
    to: StrPath | None = ".",
    *,
    progress: _progress.ProgressOption = None,
    raise_on_error: bool = False,
    columns: Mapping[str, str] | None = None,
    **options: Unpack[Options],
) -> Downloads:
    """Downloads files, and yields a row for each of them when it is complete, was skipped, or has failed.

    `urls` is a URL, a dictionary with the keys of a JSON line (docs/lists.md), an iterable of these, or a
    table of pandas, polars or pyarrow. The columns of a table are found by their names or by
    `columns={"url": "NAME", "md5": "NAME"}`. The input is read as needed, so it may be endless.

    `to` is the folder. `progress` is True, False, None (a bar in a terminal or a notebook), or a function
    that gets a `Progress`. The rows come in the order in which the downloads end.

    If a download fails, the row of its file has the error. The error is raised only if `raise_on_error` is
    true. To stop early, leave the loop, or call `close()`. A later call with the same arguments continues the
    unfinished downloads.

    Raises TypeError, ValueError, OSError or `DownloadError` if an argument cannot be used, and KeyError if a
    table has no column with URLs or no column of a name in `columns`.
    """
    run = _Run(_input.jobs(urls, columns), _input.count(urls), to, progress, options)
    return Downloads(run, raise_on_error)


def adownload(
    urls: AsyncInput,
    to: StrPath | None = ".",
    *,
    progress: _progress.ProgressOption = None,
    raise_on_error: bool = False,
    columns: Mapping[str, str] | None = None,
    **options: Unpack[Options],
) -> AsyncDownloads:
    """Does what `download` does, for `async for`. The URLs may come from an asynchronous iterable. Any
    other iterable is read in another thread."""
    if isinstance(urls, AsyncIterable):
        _input.refuse_columns(columns)
        return AsyncDownloads(_Run(iter(()), None, to, progress, options), urls, raise_on_error)
    run = _Run(_input.jobs(urls, columns), _input.count(urls), to, progress, options)
    return AsyncDownloads(run, None, raise_on_error)

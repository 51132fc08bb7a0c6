"""`adownload`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from conftest import Server

import downhaul


def test_rows_come_in_a_loop(server: Server, tmp_path: Path) -> None:
    async def read() -> list[downhaul.File]:
        return [file async for file in downhaul.adownload(server.urls(30), tmp_path)]

    files = asyncio.run(read())
    assert len(files) == 30 and all(file.ok for file in files)


def test_the_input_may_be_asynchronous(server: Server, tmp_path: Path) -> None:
    async def urls() -> AsyncIterator[str]:
        for url in server.urls(2000, 10):
            await asyncio.sleep(0)
            yield url

    async def read() -> int:
        return len([file async for file in downhaul.adownload(urls(), tmp_path) if file.ok])

    assert asyncio.run(read()) == 2000


def test_a_loop_that_is_left_stops_an_asynchronous_input_that_waits(
    server: Server, tmp_path: Path
) -> None:
    ended: list[bool] = []

    async def urls() -> AsyncIterator[str]:
        try:
            yield server.url("fine/1/a")
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def read() -> bool:
        async for _ in downhaul.adownload(urls(), tmp_path):
            break
        until = time.monotonic() + 5
        while not ended and time.monotonic() < until:
            await asyncio.sleep(0.01)
        return bool(ended)

    assert asyncio.run(read())


def test_an_error_of_an_asynchronous_input_is_raised(server: Server, tmp_path: Path) -> None:
    async def urls() -> AsyncIterator[str]:
        yield server.url("fine/1/a")
        raise LookupError("no more")

    async def read() -> None:
        async for _ in downhaul.adownload(urls(), tmp_path):
            pass

    with pytest.raises(LookupError):
        asyncio.run(read())


def longest_pause(work: Callable[[], Awaitable[None]]) -> float:
    """Returns the longest time in seconds for which some work blocked the event loop."""

    async def run() -> float:
        longest, last = 0.0, time.monotonic()

        async def tick() -> None:
            nonlocal longest, last
            while True:
                await asyncio.sleep(0.01)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()

        ticks = asyncio.create_task(tick())
        await work()
        ticks.cancel()
        return longest

    return asyncio.run(run())


def test_the_loop_is_not_kept_busy(server: Server, tmp_path: Path) -> None:
    async def read() -> None:
        async with downhaul.adownload(server.url("slow/200000/a.bin"), tmp_path) as files:
            assert [file.ok async for file in files] == [True]

    assert longest_pause(read) < 0.3


def test_a_slow_input_does_not_stop_the_loop(server: Server, tmp_path: Path) -> None:
    def urls() -> Iterator[str]:
        for url in server.urls(3):
            time.sleep(0.5)
            yield url

    async def read() -> None:
        assert len([file async for file in downhaul.adownload(urls(), tmp_path) if file.ok]) == 3

    assert longest_pause(read) < 0.4


def test_a_cancelled_download_stops(server: Server, tmp_path: Path) -> None:
    async def read() -> None:
        async for _ in downhaul.adownload(server.url("slow/30000000/a.bin"), tmp_path):
            pass

    async def cancelled() -> float:
        task = asyncio.create_task(read())
        while not (tmp_path / "a.bin.part").exists():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        begin = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - begin

    assert asyncio.run(cancelled()) < 1
    assert "a.bin.part" in os.listdir(tmp_path)


def test_the_first_error_can_be_raised(server: Server, tmp_path: Path) -> None:
    async def read() -> None:
        async for _ in downhaul.adownload(server.url("missing"), tmp_path, raise_on_error=True):
            pass

    with pytest.raises(downhaul.DownloadError, match="not_found"):
        asyncio.run(read())

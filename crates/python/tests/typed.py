"""A program that uses the package. The type checkers must accept it, and see these types."""

# pyright: strict

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

import downhaul


def rows() -> Iterator[dict[str, Any]]:
    yield {"url": "https://example.com/a", "sha256": "..."}


def main() -> None:
    for file in downhaul.download(["https://example.com/a"], to="data", parallel="auto"):
        assert_type(file, downhaul.File)
        assert_type(file.path, "Path | None")
        assert_type(file.bytes, "int | None")
        assert_type(file.verified, "str | None")
        if file.error is not None:
            assert_type(file.error.code, str)
    list(downhaul.download(rows(), Path("data"), limit_rate="2M", progress=print, retries=3))
    with downhaul.Session(to="data", parallel=8) as session:
        job = session.add("https://example.com/a", priority=1, path=Path("x"))
        assert_type(job.result(timeout=1.5), downhaul.File)
        session.limit_rate = None
        for event in session.events():
            assert_type(event, "dict[str, Any]")
    assert_type(downhaul.cli(["--version", Path("x")]), int)
    assert_type(downhaul.task_shard(8), str)


async def main_async() -> None:
    async for file in downhaul.adownload(("https://example.com/a",)):
        assert_type(file, downhaul.File)


def table(frame: Any) -> list[downhaul.File]:
    return list(downhaul.download(frame, columns={"url": "link"}))

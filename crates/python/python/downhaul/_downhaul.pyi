"""The part of the package that is written in Rust."""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict, final

class Row(TypedDict):
    number: int
    url: str
    status: Literal["finished", "skipped", "failed"]
    path: str | None
    bytes: int | None
    fetched: int
    seconds: float
    proven: str | None
    digests: dict[str, str]
    final_url: str | None
    reason: str | None
    warnings: list[str]
    retries: int
    error: tuple[str, str, str] | None

class Totals(TypedDict):
    files: int
    finished: int
    skipped: int
    failed: int
    bytes: int
    expected: int
    running: int
    name: str | None

class Sample(TypedDict):
    number: int
    name: str
    phase: str
    bytes: int
    total: int | None
    seconds: float
    wait: float

@final
class Rows:
    def next(self, timeout: float | None, most: int) -> list[Row] | None: ...

@final
class Events:
    def next(self, timeout: float | None, most: int) -> list[str] | None: ...

@final
class Core:
    def __new__(cls, options: dict[str, Any], watches: bool) -> Core: ...
    def add_all(self, jobs: Sequence[str | dict[str, Any]]) -> None: ...
    def add(self, given: str | dict[str, Any]) -> JobHandle: ...
    def rows(self) -> Rows: ...
    def events(self) -> Events: ...
    def close(self) -> None: ...
    def stop(self) -> None: ...
    def wait(self, timeout: float | None) -> bool: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def set_limit_rate(self, rate: int | None) -> None: ...
    def totals(self) -> Totals: ...
    def samples(self) -> list[Sample]: ...

@final
class JobHandle:
    @property
    def number(self) -> int: ...
    def row(self, timeout: float | None) -> Row | None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def remove(self, keep_partial: bool) -> None: ...
    def set_priority(self, priority: int) -> None: ...
    def set_limit_rate(self, rate: int | None) -> None: ...

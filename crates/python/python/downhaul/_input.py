"""Makes jobs of what people have: URLs, dictionaries, and the rows of tables.

A table of pandas, polars or pyarrow is recognised by its methods, so none of these packages is needed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, Union, cast


class _Pandas(Protocol):
    @property
    def columns(self) -> Any: ...
    def itertuples(self, index: bool = ..., name: str | None = ...) -> Iterable[tuple[Any, ...]]: ...


class _Polars(Protocol):
    @property
    def columns(self) -> Any: ...
    def iter_rows(self, *, named: Any = ...) -> Iterator[Any]: ...


class _Arrow(Protocol):
    @property
    def schema(self) -> Any: ...


Item = Union[str, Mapping[str, Any]]
"""A URL, or a dictionary with the keys of a JSON line (docs/lists.md)."""
Table = Union[_Pandas, _Polars, _Arrow]
"""A table of pandas, polars or pyarrow, or an open Parquet file of pyarrow."""
Input = Union[Item, Iterable[Item], Table]


class Given(NamedTuple):
    """One item of the input."""

    item: Any
    url: str
    """The URL as it was given."""
    core: str | dict[str, Any]
    """What the library takes: a URL, or a JSON line (`text`) with options."""


# Names of columns that stand for a key, as in the lists of the program. Of several, the first one is used.
_COLUMNS = {
    "url": ("url", "urls", "uri", "downloadurl", "fileurl", "link", "downloadlink", "downloadpath", "href"),
    "out": ("out", "filename", "file", "path", "name"),
    "size": ("size", "bytes", "filesize"),
}

# The keys for options of a JSON line. A table may have such a column by chance, so it is used only
# if `columns` names it.
_OPTIONS = frozenset("dir connections limitrate ratelimit ifexists priority credentials".split())

# The keys whose value may be a list or a dictionary. Other such values are data of the caller.
_NESTED = frozenset(
    "url urls headers header http_headers checksum checksums digest digests hash hashes integrity".split()
)


def jobs(given: Input, columns: Mapping[str, str] | None = None) -> Iterator[Given]:
    """Yields a job for each item of the input."""
    if isinstance(given, (str, Mapping)):
        return map(job, (given,))
    rows = _rows(given)
    if rows is None:
        return map(job, cast("Iterable[Any]", given))
    return _of_table(rows, columns or {})


def count(given: Any) -> int | None:
    """Returns the number of items, if it is known."""
    if isinstance(given, (str, Mapping)):
        return 1
    for number in (lambda: len(given), lambda: given.metadata.num_rows, lambda: given.num_rows):
        try:
            return int(number())
        except (TypeError, AttributeError):
            continue
    return None


def job(item: Any) -> Given:
    """Returns the job for one item. An item that cannot be understood has a job that fails."""
    if isinstance(item, str):
        return Given(item, item, _clean(item))
    scalar = getattr(item, "as_py", None)  # of pyarrow
    if scalar is not None:
        return job(scalar())
    if not isinstance(item, Mapping):
        # This may be a URL object of another package. An empty cell has no URL.
        url = "" if _is_none(item) else str(item)
        return Given(item, url, _clean(url))
    return _given(item, item)


def _given(item: Any, keys: Mapping[str, Any]) -> Given:
    """Returns the job for an item with these keys of a JSON line."""
    line = {name: value for name, value in keys.items() if _is_of_line(name, value)}
    url = line.get("url") or line.get("urls") or ""
    first = url if isinstance(url, str) else next(iter(url), "")
    core: dict[str, Any] = {"text": _encode(line)}
    size = keys.get("size")
    # The size of a table may be a text, or a number with a fraction because another row has none.
    if isinstance(size, (int, float)) and 0 <= size < 2**63:
        core["size"] = int(size)
    elif isinstance(size, str) and size.isascii() and size.isdigit():
        core["size"] = int(size)
    return Given(item, str(first), core)


def _is_of_line(name: Any, value: Any) -> bool:
    """Returns true for what the library may read: a text, some lists and dictionaries, and options."""
    if name == "size" or not isinstance(name, str):
        return False
    if isinstance(value, str):
        return True
    return (name in _NESTED or (_form(name) in _OPTIONS and isinstance(value, int))) and not _is_none(value)


def _plain(value: Any) -> Any:
    """Returns what is to be written for a value that JSON does not have, such as an array of numpy."""
    return dict(value) if isinstance(value, Mapping) else list(value)


_encode = json.JSONEncoder(default=_plain).encode


def _clean(url: str) -> str:
    """Returns a text that is UTF-8, which the library needs."""
    return url if url.isascii() else url.encode("utf-8", "replace").decode("utf-8")


def _rows(given: Any) -> Iterator[dict[str, Any]] | None:
    """Returns the rows of a table, or None if this is not a table."""
    if hasattr(given, "collect") and hasattr(given, "collect_schema"):
        raise TypeError("a lazy frame has no rows yet: pass frame.collect()")
    if hasattr(given, "iter_rows") and hasattr(given, "columns"):  # polars
        return cast("Iterator[dict[str, Any]]", given.iter_rows(named=True))
    if hasattr(given, "itertuples") and hasattr(given, "columns"):  # pandas
        names = [str(name) for name in given.columns]
        return (dict(zip(names, row)) for row in given.itertuples(index=False, name=None))
    if hasattr(given, "iter_batches"):  # pyarrow.parquet.ParquetFile
        return (row for batch in given.iter_batches() for row in batch.to_pylist())
    if hasattr(given, "schema") and hasattr(given, "to_batches"):  # a table or a data set of pyarrow
        return (row for batch in given.to_batches() for row in batch.to_pylist())
    if hasattr(given, "schema") and hasattr(given, "to_pylist"):  # pyarrow.RecordBatch
        return cast("Iterator[dict[str, Any]]", iter(given.to_pylist()))
    if hasattr(given, "schema") and hasattr(given, "read_next_batch"):  # pyarrow.RecordBatchReader
        return (row for batch in given for row in batch.to_pylist())
    return None


def _of_table(rows: Iterator[dict[str, Any]], columns: Mapping[str, str]) -> Iterator[Given]:
    """Yields the jobs of a table. All rows have the same columns."""
    keys: dict[str, str] | None = None
    for row in rows:
        keys = _keys(row, columns) if keys is None else keys
        yield _given(row, {key: row[column] for key, column in keys.items()})


def _keys(row: dict[str, Any], columns: Mapping[str, str]) -> dict[str, str]:
    """Returns the keys of a JSON line that the columns of a table stand for, each with its column."""
    missing = [column for column in columns.values() if column not in row]
    if missing:
        raise KeyError(f"the table has no column {missing[0]!r}")
    keys, taken = dict(columns), set(columns.values())
    forms = {_form(name): name for name in reversed(row) if name not in taken}
    for key, names in _COLUMNS.items():
        column = next((forms[name] for name in names if name in forms), None)
        if key not in keys and column is not None:
            keys[key] = column
            taken.add(column)
    if "url" not in keys:
        raise KeyError('the table has no column with URLs: name it with columns={"url": "NAME"}')
    for name in row:
        if name not in taken and name not in keys and _form(name) not in _OPTIONS:
            keys[name] = name
    return keys


def _form(name: str) -> str:
    return str(name).replace("_", "").replace("-", "").replace(" ", "").lower()


def _is_none(value: Any) -> bool:
    """Returns true for a cell without a value: None, NaN, and NA of pandas."""
    if value is None:
        return True
    if isinstance(value, float):
        return math.isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")

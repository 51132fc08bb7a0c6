"""Makes jobs from the input of a user: URLs, dictionaries, and the rows of tables.

A table of pandas, polars or pyarrow is recognised by its methods, so none of these packages is needed.
"""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from numbers import Number
from pathlib import PurePath
from typing import Any, NamedTuple, Protocol, Union, cast

from . import _downhaul


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
    """The form for the library: a URL, or a JSON line (`text`) with options. For an unusable item, the
    dictionary has the reason (`mistake`)."""


# Names of columns that stand for a key, as in the lists of the program. If a table has several columns for a
# key, the column whose name comes first in this list is used.
_COLUMNS = {
    "url": ("url", "urls", "uri", "downloadurl", "fileurl", "link", "downloadlink", "downloadpath", "href"),
    "out": ("out", "filename", "file", "path", "name"),
    "size": ("size", "bytes", "filesize"),
}

# The keys for options of a JSON line. A table may have a column with such a name by chance, so the column is
# used only if `columns` names it.
_OPTIONS = frozenset("dir connections limitrate ratelimit ifexists priority credentials".split())

# The other keys that downhaul understands in a JSON line, apart from those for digests.
_MEANT = frozenset(
    "url urls out size requiredsize chunkhashes headers header httpheaders referer referrer useragent namedby".split()
)

# The types of bytes.
_BYTES = (bytes, bytearray, memoryview)

# The keys whose value is a number, or a text with a number.
_NUMBERS = frozenset("size requiredsize connections limitrate ratelimit priority".split())

_digest_size = lru_cache(1024)(_downhaul.digest_size)


class _Mistake(ValueError):
    """The value under a key that downhaul understands cannot be used."""


def jobs(given: Input, columns: Mapping[str, str] | None = None) -> Iterator[Given]:
    """Yields a job for each item of the input."""
    if isinstance(given, _BYTES):
        raise TypeError(f"urls must be a URL, or URLs, dictionaries or a table, and not {type(given).__name__}")
    is_one = isinstance(given, (str, Mapping))
    rows = None if is_one else _rows(given)
    if rows is None:
        refuse_columns(columns)
        return map(job, (given,) if is_one else cast("Iterable[Any]", given))
    for key in columns or {}:
        if not _has_meaning(key):
            raise ValueError(f"columns has the key {key!r}, which downhaul does not know")
    return _of_table(rows, columns or {})


def refuse_columns(columns: Mapping[str, str] | None) -> None:
    """Raises `ValueError` if the caller names columns, because the input is not a table."""
    if columns:
        raise ValueError("columns is only for tables")


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
    """Returns the job for one item. The job of an item that cannot be understood fails."""
    if isinstance(item, str):
        return Given(item, item, _of_url(item))
    scalar = getattr(item, "as_py", None)  # A scalar of pyarrow has this method.
    if scalar is not None:
        return job(scalar())
    if not isinstance(item, Mapping):
        # This may be a URL object of another package. An empty cell has no URL.
        url = "" if _is_none(item) else str(item)
        return Given(item, url, _of_url(url))
    return _given(item, item)


def _given(item: Any, keys: Mapping[str, Any]) -> Given:
    """Returns the job for an item with these keys of a JSON line."""
    url = ""
    try:
        line: dict[str, Any] = {}
        for name, given in keys.items():
            value = _value(name, given)
            if value is not None:
                line[name] = value
        first = line.get("url") or line.get("urls") or ""
        url = str(first if isinstance(first, str) else next(iter(first), ""))
        if not _is_utf8(url):
            return Given(item, url, _of_url(url))
        return Given(item, url, {"text": _encode(line)})
    except (TypeError, ValueError) as error:
        why = error if isinstance(error, _Mistake) else f"the item has a value that JSON cannot represent: {error}"
        return Given(item, url or _shown(keys.get("url")), {"text": "", "mistake": _clean(str(why))})


def _shown(url: Any) -> str:
    return "" if _is_none(url) else str(url)


def _value(name: Any, value: Any) -> Any:
    """Returns the value under a key in the line of an item. None means that the line has no such key.

    Raises `_Mistake` if the key has a meaning and the value cannot be understood.
    """
    if isinstance(value, str) and isinstance(name, str):
        return value
    if not isinstance(name, str) or _is_none(value):
        return None
    if not _has_meaning(name):
        # A text under such a key is in the line (see above), and is copied to the events. Any other value is
        # data of the caller, which the row has in its `item`.
        return None
    scalar = getattr(value, "as_py", None)  # A scalar of pyarrow has this method.
    if scalar is not None:
        return _value(name, scalar())
    form = _form(name)
    size = _digest_size(name)
    if size is not None:
        return _digest(name, value, size)
    if form == "url":
        return _url(name, value)
    if form == "urls" and not isinstance(value, (*_BYTES, Mapping)):
        return [_url(name, one) for one in value]
    if form in ("out", "dir"):
        return _path(name, value)
    if form in _NUMBERS:
        return _integer(name, value)
    return value


def _digest(name: str, value: Any, size: int) -> Any:
    """Returns a digest as hexadecimal digits, or several digests."""
    if isinstance(value, _BYTES):
        digest = bytes(value)
        if size and len(digest) == size:
            return digest.hex()
        if digest.isascii() and len(digest) != size:
            return digest.decode("ascii")
        raise _Mistake(f"`{name}` must be {size or 'a text, or the right number of'} bytes, or hexadecimal digits")
    if isinstance(value, Number):
        raise _Mistake(
            f"`{name}` must be a text, because a number has no leading zeros: read the column as text (dtype=str)"
        )
    if isinstance(value, Mapping):
        # The library can read all types of values of JSON.
        return {
            key: _digest(str(key), one, _digest_size(str(key)) or 0) if isinstance(one, _BYTES) else one
            for key, one in value.items()
        }
    if isinstance(value, str):
        return value
    return [_digest(name, one, size) for one in value]


def _url(name: str, value: Any) -> str:
    if isinstance(value, (*_BYTES, Number, Mapping, list, tuple)):
        raise _Mistake(f"`{name}` must be a text")
    # This may be a URL object of another package.
    return str(value)


def _path(name: str, value: Any) -> str:
    if isinstance(value, PurePath):
        return value.as_posix()
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(path, str):
        return path
    if isinstance(path, bool) or not hasattr(path, "__index__"):
        raise _Mistake(f"`{name}` must be a text or a path")
    return str(operator.index(path))


def _integer(name: str, value: Any) -> int | None:
    try:
        if isinstance(value, bool):
            raise TypeError
        # If a cell of a column is empty, a table stores the numbers in the other cells as floating-point
        # numbers.
        if hasattr(value, "is_integer") and value.is_integer():
            value = int(value)
        return operator.index(value)
    except TypeError:
        if _form(name) == "size":  # A size that cannot be read is ignored.
            return None
        raise _Mistake(f"`{name}` must be a whole number, or a text with one") from None


@lru_cache(1024)
def _has_meaning(name: str) -> bool:
    """Returns true if a key of a JSON line has a meaning for downhaul."""
    form = _form(name)
    return form in _MEANT or form in _OPTIONS or _digest_size(name) is not None


def _plain(value: Any) -> Any:
    """Returns a list or a dictionary for a value that JSON cannot represent, such as an array of numpy."""
    if isinstance(value, _BYTES):
        raise _Mistake("the item has bytes where a text is needed")
    return dict(value) if isinstance(value, Mapping) else list(value)


_encode = json.JSONEncoder(default=_plain).encode


def _of_url(url: str) -> str | dict[str, Any]:
    """Returns the job of a URL. The job of a URL that cannot be written as UTF-8 fails."""
    return url if _is_utf8(url) else {"text": _clean(url), "is_not_utf8": True}


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _clean(text: str) -> str:
    """Returns a text that is UTF-8, which the library needs."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


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
        cells = ((key, row[column]) for key, column in keys.items())
        # An empty cell is ignored, as in the tables of the program.
        yield _given(row, {key: cell for key, cell in cells if not (isinstance(cell, str) and not cell)})


def _keys(row: dict[str, Any], columns: Mapping[str, str]) -> dict[str, str]:
    """Returns the keys of a JSON line for the columns of a table, each with the name of its column."""
    missing = [column for column in columns.values() if column not in row]
    if missing:
        raise KeyError(f"the table has no column {missing[0]!r}")
    keys, taken = dict(columns), set(columns.values())
    forms = {_form(name): name for name in reversed(row) if name not in taken}
    for key, names in _COLUMNS.items():
        if key == "url" and "urls" in keys:
            continue
        column = next((forms[name] for name in names if name in forms), None)
        if key not in keys and column is not None:
            keys[key] = column
            taken.add(column)
    if "url" not in keys and "urls" not in keys:
        raise KeyError('the table has no column with URLs: name it with columns={"url": "NAME"}')
    for name in row:
        if name not in taken and name not in keys and _form(name) not in _OPTIONS:
            keys[name] = name
    return keys


def _form(name: str) -> str:
    return str(name).replace("_", "").replace("-", "").replace(" ", "").lower()


def _is_none(value: Any) -> bool:
    """Returns true for a cell without a value: None, NaN, and NA of pandas."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Number) and bool(value != value)

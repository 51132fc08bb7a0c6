"""The options of a session: their types, and their conversion to the options of the library."""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypedDict, Union

from . import _environment as environment

Size = Union[int, str]
"""A number of bytes, or a text such as ``"500k"``, ``"2M"`` or ``"1.5GiB"``, with units of 1024."""
Seconds = Union[int, float, timedelta]
StrPath = Union[str, "os.PathLike[str]"]
IfExists = Literal["check", "skip", "overwrite", "rename", "update", "error"]


class OpenOptions(TypedDict, total=False):
    """The options of `open`: how a server is reached, and what is sent to it."""

    retries: int
    retry_on: Iterable[int]
    timeout: Seconds
    connect_timeout: Seconds
    headers: Mapping[str, str] | Iterable[tuple[str, str]]
    cookies: Mapping[str, str] | str
    user_agent: str
    user: tuple[str, str]
    bearer: str
    netrc: bool | StrPath
    proxy: str
    no_proxy: str
    cacert: StrPath
    cert: StrPath
    key: StrPath
    insecure: bool
    http_version: Literal["auto", "1.1", "2"]
    family: Literal["any", "ipv4", "ipv6"]
    max_redirects: int
    private: bool


class Options(OpenOptions, total=False):
    """The options of a download or a session.

    They have the same meaning as the options of the program with the same names. docs/python.md lists them.
    """

    parallel: int | Literal["auto"]
    connections: int
    max_per_host: int
    max_connections: int
    limit_rate: Size
    min_speed: Size
    max_time: Seconds
    if_exists: IfExists
    if_locked: Literal["fail", "wait", "skip"]
    resume: bool
    sync: Literal["auto", "always", "never"]
    verify: Literal["auto", "find", "listed", "require", "off"]
    checksum_file: StrPath
    names: Literal["auto", "url", "server"]
    folders: int | Literal["all", "host"]
    mtime: bool
    xattr: bool
    accept_html: bool
    mirrors: bool
    decode: bool
    learn: bool


class JobOptions(TypedDict, total=False):
    """The options of one file."""

    path: StrPath
    priority: int
    connections: int
    limit_rate: Size
    size: int
    if_exists: IfExists
    user: tuple[str, str]


# The names of options that have another name in the library.
_NAMES = {"mtime": "keep_mtime"}
_NUMBERS = ("connections", "max_per_host", "max_connections", "retries", "max_redirects")
_SIZES = ("limit_rate", "min_speed")
_TIMES = ("timeout", "connect_timeout", "max_time")
_PATHS = ("cacert", "cert", "key")
_SWITCHES = ("resume", "mtime", "xattr", "accept_html", "mirrors", "decode", "insecure", "private")

# The highest number of connections that a session may have, unless `max_connections` is given. If `parallel`
# is higher, the session may have `parallel` connections. The limit of open files can lower both numbers. The
# program does the same.
_CONNECTIONS = 64


def core_options(to: StrPath | None, options: Options | OpenOptions) -> dict[str, Any]:
    """Returns the options in the form that the library needs.

    An option that is None has its default. Raises TypeError for an unknown option, ValueError or TypeError
    for a value that cannot be used, and OSError for a file that cannot be read.
    """
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    unknown = sorted(given.keys() - Options.__annotations__.keys())
    if unknown:
        raise TypeError(f"unknown option {unknown[0]!r}")
    learn, netrc, proxy = given.pop("learn", True), given.pop("netrc", True), given.pop("proxy", None)
    parallel = given.pop("parallel", "auto")
    core: dict[str, Any] = {}
    for name, value in given.items():
        core[_NAMES.get(name, name)] = _value(name, value)
    if "key" in core and "cert" not in core:
        raise ValueError("key needs cert, the file with the certificate of this key")
    core["to"] = _absolute("to", "." if to is None else to)
    core["parallel"] = None if parallel == "auto" else _number("parallel", parallel)
    if "max_connections" not in core:
        most = max(_CONNECTIONS, core["parallel"] or 0)
        core["max_connections"] = max(1, min(most, environment.file_limit() // 4))
    core.update(_proxies(proxy, core))
    found = _netrc(netrc)
    if found is not None:
        core["netrc"] = found
    state = environment.state_folder()
    if state is not None:
        if learn:
            core["hosts"] = str(state / "hosts.json")
        key = environment.hash_key(state)
        if key is not None:
            core["hash_key"] = key
    return core


def core_job_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of a job in the form that the library needs. Raises ValueError for an option that
    cannot be used."""
    core = {}
    for name, value in options.items():
        try:
            core[name] = _value(name, value)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{name}: {error}") from error
    return core


# This function is long because it has a case for each kind of option.
def _value(name: str, value: Any) -> Any:
    if name in _NUMBERS:
        return _number(name, value)
    if name in _SIZES:
        return parse_size(value, name)
    if name in _TIMES:
        return _seconds(name, value)
    if name in _PATHS:
        return _absolute(name, value)
    if name == "path":
        # A relative path is below the folder of the session.
        return _path(name, value)
    if name in _SWITCHES:
        return _checked(name, value, bool, "True or False")
    if name == "retry_on":
        statuses = [] if isinstance(value, str) else [operator.index(status) for status in value]
        if isinstance(value, str) or not all(100 <= status <= 599 for status in statuses):
            raise ValueError("retry_on must be HTTP statuses from 100 to 599, such as [404]")
        return statuses
    if name == "folders":
        return str(value)
    if name == "headers":
        return _headers(value)
    if name == "cookies":
        if isinstance(value, Mapping):
            value = "; ".join(f"{key}={_line(name, one)}" for key, one in value.items())
        return _line(name, value)
    if name == "user":
        if isinstance(value, str) or len(value) != 2:
            raise TypeError('user must be a tuple of a name and a password, such as ("NAME", "PASSWORD")')
        return _line(name, value[0]), _line(name, value[1])
    if name in ("bearer", "user_agent"):
        return _line(name, value)
    if name == "checksum_file":
        return _checksum_file(value)
    if name == "size":
        return _within(name, value, 0, 2**63)
    if name == "priority":
        return priority(value)
    return _checked(name, value, str, "a text")


def _checked(name: str, value: Any, kind: type, needs: str) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {needs}, and not {type(value).__name__}")
    return value


def _line(name: str, value: Any) -> str:
    """Returns a text that is sent in a header. Line ends at its end are removed, because a text that was read
    from a file often has one."""
    text = str(_checked(name, value, str, "a text")).rstrip("\r\n")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError(f"{name} must not have control characters")
    return text


def _headers(value: Any) -> list[tuple[str, str]]:
    needs = 'headers must be a dictionary of texts, such as {"NAME": "VALUE"}, or pairs of texts'
    if isinstance(value, (str, bytes)):
        raise TypeError(needs)
    pairs = list(value.items() if isinstance(value, Mapping) else value)
    if not all(len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in pairs):
        raise TypeError(needs)
    return [(pair[0], pair[1]) for pair in pairs]


def _path(name: str, value: Any) -> str:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    return str(_checked(name, path, str, "a text or a path"))


def _absolute(name: str, value: Any) -> str:
    """Returns an absolute path, so that a later change of the working folder does not matter."""
    return str(Path(_path(name, value)).absolute())


def _number(name: str, value: Any) -> int:
    return _within(name, value, 0 if name in ("retries", "max_redirects") else 1, 2**31)


def _within(name: str, value: Any, least: int, end: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        also = ' or "auto"' if name == "parallel" else ""
        raise TypeError(f"{name} must be a whole number{also}, and not {type(value).__name__}") from None
    if not least <= number < end:
        raise ValueError(f"{name} must be from {least} to {end - 1}, and not {value}")
    return number


def _seconds(name: str, value: Any) -> float:
    try:
        seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    except OverflowError:
        raise ValueError(f"{name} must be a number of seconds that a float can represent") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number of seconds or a timedelta") from None
    if not seconds > 0:
        raise ValueError(f"{name} must be more than 0 seconds")
    return seconds


def parse_size(value: Any, name: str = "the size") -> int:
    """Returns a number of bytes. In a text, `k`, `M`, `G` and `T` are units of 1024."""
    needs = f'{name} must be a number of bytes, or a text such as "2M"'
    number: Any = value
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", value, re.IGNORECASE)
        if match is None:
            raise ValueError(needs)
        number = float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " ")
    elif not isinstance(value, (int, float)) and not hasattr(value, "__index__"):
        raise TypeError(needs)
    try:
        size = int(number)
    except (OverflowError, ValueError):
        # The value is infinite, has too many digits, or is not a number (NaN).
        raise ValueError(needs) from None
    if size < 1:
        raise ValueError(f"{name} must be at least 1 byte; None means no limit")
    if size >= 2**64:
        raise ValueError(f"{name} must be less than 16 EiB (2**64 bytes); None means no limit")
    return size


def priority(value: Any) -> int:
    """Returns the priority of a file. Raises TypeError or ValueError for a value that cannot be used."""
    return _within("priority", value, -(2**31), 2**31)


def _checksum_file(value: Any) -> tuple[str, bytes | None]:
    if isinstance(value, str) and "://" in value:
        return value, None
    path = Path(_absolute("checksum_file", value))
    return path.name, path.read_bytes()


def _proxies(proxy: Any, core: Mapping[str, Any]) -> dict[str, str]:
    """Returns the options for proxies. If `proxy` is an empty text, no proxy is used."""
    if proxy is None:
        return {**environment.proxies(), **{k: core[k] for k in ("no_proxy",) if k in core}}
    if not proxy:
        return {}
    except_hosts = core.get("no_proxy") or environment.no_proxy() or ""
    return {"proxy": _checked("proxy", proxy, str, "a text"), "no_proxy": except_hosts}


def _netrc(netrc: Any) -> tuple[str, str, bool] | None:
    if netrc is True:
        return environment.netrc()
    if netrc is False:
        return None
    return environment.read_netrc(Path(netrc), strict=True)

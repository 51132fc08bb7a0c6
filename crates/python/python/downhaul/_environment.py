"""Reads options and files of the environment, by the same rules as the program."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

# The library needs a key of this length for the hashes of URLs.
_KEY_BYTES = 32

# The length of the longest netrc file that is read, in bytes. The program has the same limit.
_LONGEST_NETRC = 1 << 20


def proxies() -> dict[str, str]:
    """Returns the proxies that environment variables name, as options."""
    env = os.environ
    # In a CGI program, the web server sets HTTP_PROXY to the value of a request header, which any client can
    # choose (httpoxy.org).
    upper = () if "REQUEST_METHOD" in env else ("HTTP_PROXY",)
    found = {
        "proxy_http": _first(env, "http_proxy", *upper, "all_proxy", "ALL_PROXY"),
        "proxy_https": _first(env, "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
        "no_proxy": no_proxy(),
    }
    return {name: value for name, value in found.items() if value}


def no_proxy() -> str | None:
    """Returns the hosts that need no proxy."""
    return _first(os.environ, "no_proxy", "NO_PROXY")


def _first(env: Mapping[str, str], *names: str) -> str | None:
    return next((env[name] for name in names if env.get(name)), None)


def netrc() -> tuple[str, str, bool] | None:
    """Returns the netrc file of the user, if it can be read. Entries with mistakes are left out."""
    name = "_netrc" if sys.platform == "win32" else ".netrc"
    path = Path(os.environ.get("NETRC") or Path("~", name)).expanduser()
    try:
        return read_netrc(path, strict=False)
    except OSError:
        return None


def read_netrc(path: Path, *, strict: bool) -> tuple[str, str, bool]:
    """Returns the text of a netrc file, its path, and true if its mistakes are errors."""
    with path.open("rb") as file:
        text = file.read(_LONGEST_NETRC + 1)
    if len(text) > _LONGEST_NETRC:
        raise OSError(f"the netrc file {path} is longer than {_LONGEST_NETRC} bytes")
    return text.decode("utf-8", "strict" if strict else "replace"), str(path), strict


def state_folder() -> Path | None:
    """Returns the folder for data that is kept between runs, which the program uses too."""
    if sys.platform == "win32":
        folder, usual = os.environ.get("LOCALAPPDATA", ""), None
    else:
        folder = os.environ.get("XDG_STATE_HOME", "")
        below = "Library/Application Support" if sys.platform == "darwin" else ".local/state"
        home = os.environ.get("HOME", "")
        usual = Path(home, below) if os.path.isabs(home) else None
    chosen = Path(folder) if os.path.isabs(folder) else usual
    return chosen / "downhaul" if chosen else None


def hash_key(folder: Path) -> bytes | None:
    """Returns the key for the hashes of URLs, or None if there is no usable key. The first run creates it."""
    path = folder / "key"
    try:
        key = path.read_bytes()[:_KEY_BYTES]
    except FileNotFoundError:
        try:
            _create_key(folder, path)
            key = path.read_bytes()[:_KEY_BYTES]
        except OSError:
            return None
    except OSError:
        return None
    return key if len(key) == _KEY_BYTES else None


def _create_key(folder: Path, path: Path) -> None:
    """Creates the file with the key, unless another run has created it.

    The key is first written under another name, so that no other run reads half a key.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # The name has random digits and no process number, because runs in several containers may have the same
    # process number.
    new = folder / f"key.{os.urandom(8).hex()}"
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(os.urandom(_KEY_BYTES))
        os.link(new, path)
    except FileExistsError:
        pass
    finally:
        new.unlink()


def file_limit() -> int:
    """Returns how many files and connections this process may have open, or 8192 if no limit is known."""
    try:
        import resource
    except ImportError:
        return 8192
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 8192 if limit in (-1, resource.RLIM_INFINITY) else limit

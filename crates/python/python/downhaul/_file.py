"""The row that a download yields for each file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import _downhaul
from ._errors import DownloadError

if TYPE_CHECKING:
    from ._downhaul import Row

Status = Literal["finished", "skipped", "failed"]

# The texts of the library for a file that was not compared with a digest or a signature.
_NOT_VERIFIED = ("size only", "end of transfer only")


# The class is not frozen, and its objects are not compared by their fields. Both would take longer than all
# other work for a row.
@dataclass(repr=False, eq=False, slots=True)
class File:
    """The result of the download of one file."""

    url: str
    """The URL as it was given. In the rows of `Session.files`, the URL has no secrets."""
    status: Status
    """``finished``; ``skipped``, if an existing file was kept, if another run is working on the file
    (``if_locked="skip"``), or if an earlier item has the same URL and no other name; or ``failed``."""
    ok: bool = False
    """True if the complete file is at `path`. False if the download failed, if another run works on the file
    (``if_locked="skip"``), or if an earlier item has the same URL and no other name. In the last case, the
    row of the earlier item has the result."""
    path: Path | None = None
    """The path of the file. None if the download failed."""
    bytes: int | None = None
    """The size of the file in bytes. None if `ok` is false, or if the file is no longer at `path`."""
    verified: str | None = None
    """The digest or signature with which the content was compared, such as ``sha-256 from Repr-Digest``. None
    if there was none, or if the file was skipped."""
    error: DownloadError | None = None
    """The error of a download that failed, or None."""
    final_url: str | None = None
    """The URL of the response after redirects, without secrets. None if no download began."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """The digests that were computed, in hexadecimal, by algorithm. If the file was skipped, the digests that
    are known. Empty if the download failed."""
    reason: str | None = None
    """The reason why the file was skipped, or None."""
    warnings: tuple[str, ...] = ()
    """Notes about the file, for example that its name was changed."""
    fetched: int = 0
    """The number of bytes that were received in this run. 0 if the file was skipped or failed."""
    seconds: float = 0.0
    """The time from the first request to the end, in seconds. 0 if the file was skipped or failed."""
    retries: int = 0
    """The number of retries before the download failed. 0 if it did not fail."""
    number: int = 0
    """The number of the item in the input, from 1."""
    item: Any = None
    """The item of the input, such as a text, or a dictionary with all its keys, even unknown ones. None in
    the rows of `Session.files`."""

    def raise_for_error(self) -> File:
        """Returns this row. Raises the error instead if the download failed."""
        if self.error is not None:
            raise self.error
        return self

    def to_dict(self) -> dict[str, Any]:
        """Returns a dictionary of plain values, for a table or for JSON. It leaves out `item`
        and the place of the error (`error.at`)."""
        return {
            "number": self.number,
            "url": self.url,
            "final_url": self.final_url,
            "status": self.status,
            "ok": self.ok,
            "path": None if self.path is None else str(self.path),
            "bytes": self.bytes,
            "verified": self.verified,
            "digests": dict(self.digests),
            "reason": self.reason,
            "warnings": list(self.warnings),
            "error_code": self.error.code if self.error else None,
            "error_message": self.error.message if self.error else None,
            "fetched": self.fetched,
            "seconds": self.seconds,
            "retries": self.retries,
        }

    def __fspath__(self) -> str:
        if self.path is None:
            raise TypeError(f"there is no file: {self!r}")
        return str(self.path)

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<File failed: {self.error.code}, {shown_url(self.url)}>"
        size = "" if self.bytes is None else f", {units(self.bytes)}"
        note = self.reason if self.status == "skipped" else self.verified or "not verified"
        return f"<File {self.status}: {str(self.path)!r}{size}, {note}>"


def file(row: Row, folder: str, url: str | None = None, item: Any = None) -> File:
    """Returns the row for the user. `folder` is the folder of the download, and `url` is the given URL."""
    path = None if row["path"] is None else Path(folder, row["path"])
    size = row["bytes"]
    if size is None and path is not None and row["is_complete"]:
        try:
            size = path.stat().st_size
        except OSError:
            pass
    proven, error = row["proven"], row["error"]
    return File(
        url=row["url"] if url is None else url,
        status=row["status"],
        ok=row["is_complete"],
        path=path,
        bytes=size,
        verified=None if proven in _NOT_VERIFIED else proven,
        error=None if error is None else DownloadError(*error),
        final_url=row["final_url"],
        digests=row["digests"],
        reason=row["reason"],
        warnings=tuple(row["warnings"]),
        fetched=row["fetched"],
        seconds=row["seconds"],
        retries=row["retries"],
        number=row["number"],
        item=item,
    )


def units(size: float) -> str:
    """Returns a number of bytes in the largest unit that fits, with three digits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1000:
            break
        size /= 1024
    else:
        unit = "TiB"
    digits = 0 if unit == "B" else 2 if size < 10 else 1 if size < 100 else 0
    return f"{size:.{digits}f} {unit}"


def shown_url(url: str) -> str:
    """Returns a URL without the parts that may be secret."""
    return _downhaul.shown_url(url.encode("utf-8", "replace").decode("utf-8"))

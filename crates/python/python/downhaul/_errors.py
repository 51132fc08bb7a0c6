"""The exceptions of the package."""

from __future__ import annotations


class DownloadError(Exception):
    """A file that could not be downloaded or read, or a session that could not start.

    The codes are stable, and docs/errors.md lists them.
    """

    code: str
    """The code of the failure, such as ``http.not_found``."""
    message: str
    """The meaning of the code, and the message of the server or the system."""
    at: str
    """The place of the failure: a URL without secrets, an address, or a path."""

    def __init__(self, code: str, message: str, at: str = "") -> None:
        super().__init__(code, message, at)
        self.code = code
        self.message = message
        self.at = at

    def __str__(self) -> str:
        place = f" ({self.at})" if self.at else ""
        return f"{self.message}{place} [{self.code}]"

"""downhaul downloads many files at once, resumes interrupted downloads, and verifies the files.

::

    import downhaul

    for file in downhaul.download(["https://example.com/a.bin"], to="data"):
        print(file.path, file.bytes, file.verified)

docs/python.md describes the package.
"""

from ._downhaul import __version__ as __version__
from ._download import AsyncDownloads, Downloads, adownload, download
from ._errors import DownloadError
from ._file import File
from ._open import RemoteFile, open
from ._options import JobOptions, OpenOptions, Options
from ._progress import Progress
from ._program import cli, program
from ._session import FileProgress, Job, Session, Summary
from ._shard import task_shard

__all__ = [
    "AsyncDownloads",
    "DownloadError",
    "Downloads",
    "File",
    "FileProgress",
    "Job",
    "JobOptions",
    "OpenOptions",
    "Options",
    "Progress",
    "RemoteFile",
    "Session",
    "Summary",
    "adownload",
    "cli",
    "download",
    "open",
    "program",
    "task_shard",
]

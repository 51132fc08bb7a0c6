"""`open`: a remote file that is read like a local one.

Blocks of the file are fetched before they are read, and some are kept after they were read.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ._downhaul import Fetch
from ._downhaul import RemoteFile as Core
from ._file import shown_url, units
from ._options import OpenOptions, core_options

if TYPE_CHECKING:
    from typing_extensions import Buffer, Unpack

# The length of the first block, and the shortest length of a block after a jump (a seek to another place). It
# is small, because a program that jumps often reads only a few bytes.
_FIRST = 256 * 1024

# The length of the longest block. With a round trip of 100 ms, four such blocks at a time arrive at up to
# 160 MB/s.
_LONGEST = 4 * 1024 * 1024

# The highest number of blocks that are fetched ahead of the block that is read.
_AHEAD = 4

# The number of blocks that are kept: the one that is read, those ahead of it, and one before it.
_KEPT = _AHEAD + 2


class _Block:
    """A range of the file. Its bytes may not have arrived yet."""

    def __init__(self, start: int, end: int, source: Fetch | bytes) -> None:
        self.start = start
        self.end = end
        self._source = source

    def bytes(self) -> bytes:
        if isinstance(self._source, Fetch):
            self._source = self._source.take()
        return self._source


class _Raw(io.RawIOBase):
    """Reads blocks. While the file is read without a jump, the blocks become longer, and more of them are
    fetched ahead."""

    def __init__(self, core: Core, url: str) -> None:
        self._core: Core | None = core
        self.url = url
        self.size = core.size
        self._at = 0
        first = core.first
        # The blocks in the order in which they were used. The last one was used last.
        self._blocks = [_Block(0, len(first), first)]
        self._length = _FIRST
        self._ahead = 1

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check()
        try:
            base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        except KeyError:
            raise ValueError(f"whence must not be {whence!r}") from None
        if base + offset < 0:
            raise ValueError(f"the file has no byte {base + offset}")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        self._check()
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer).cast("B")
        part = self._next(len(view))
        view[: len(part)] = part
        return len(part)

    def readall(self) -> bytes:
        # The method of the base class reads only 8 KiB at a time.
        parts = []
        while part := self._next(_LONGEST):
            parts.append(part)
        return b"".join(parts)

    def _next(self, most: int) -> memoryview:
        """Returns the next bytes, which are in one block. Returns no bytes at the end of the file."""
        core = self._check()
        if most == 0 or self._at >= self.size:
            return memoryview(b"")
        block = self._block(core, most)
        offset = self._at - block.start
        try:
            content = block.bytes()
        except BaseException:
            # The next read fetches the block again.
            self._blocks.remove(block)
            raise
        part = memoryview(content)[offset : offset + most]
        self._at += len(part)
        return part

    def _block(self, core: Core, wanted: int) -> _Block:
        """Returns the block with the next byte, and begins to fetch blocks ahead."""
        latest = self._blocks[-1] if self._blocks else None
        block = self._find(self._at)
        if latest is not None and latest.end == self._at:
            self._length = min(self._length * 2, _LONGEST)
            self._ahead = min(max(1, self._ahead * 2), _AHEAD)
        elif block is None:
            # A read of more than the longest block takes several blocks, so that few bytes are in memory.
            self._length, self._ahead = min(max(wanted, _FIRST), _LONGEST), 0
        if block is None:
            block = self._fetch(core, self._at, self._length)
        end = block.end
        for _ in range(self._ahead):
            if end >= self.size:
                break
            following = self._find(end) or self._fetch(core, end, self._length)
            self._use(following)
            end = following.end
        self._use(block)
        del self._blocks[:-_KEPT]
        return block

    def _use(self, block: _Block) -> None:
        """Makes a block the one that was used last."""
        self._blocks.remove(block)
        self._blocks.append(block)

    def _fetch(self, core: Core, start: int, length: int) -> _Block:
        end = min(start + length, self.size)
        block = _Block(start, end, core.fetch(start, end))
        self._blocks.append(block)
        return block

    def _find(self, at: int) -> _Block | None:
        return next((block for block in self._blocks if block.start <= at < block.end), None)

    def _check(self) -> Core:
        if self._core is None:
            raise ValueError("I/O operation on closed file")
        return self._core

    def close(self) -> None:
        self._core = None
        self._blocks = []
        super().close()


class RemoteFile(io.BufferedReader):
    """A remote file that is read like a local one. `open` returns it."""

    def __init__(self, raw: _Raw) -> None:
        # The base class has a buffer, so that small reads do not look for a block.
        super().__init__(raw, 64 * 1024)
        self._remote = raw

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        return self._remote.size

    @property
    def url(self) -> str:
        """The URL as it was given."""
        return self._remote.url

    def __repr__(self) -> str:
        return f"<RemoteFile {shown_url(self.url)}, {units(self.size)}>"


def open(url: str, **options: Unpack[OpenOptions]) -> RemoteFile:
    """Opens a remote file for reading. Returns a seekable binary file, which `zipfile` and pyarrow accept.

    Ranges of the file are fetched before they are read. All of them belong to one version of the file: if the
    file changes on the server, a read raises a `DownloadError` with the code ``remote.changed``. A file of
    more than 256 KiB can be opened only if the server sends ranges, and states the size of the file and an
    ETag or the date of the last change.

    Raises `DownloadError` if the file cannot be opened, and TypeError, ValueError or OSError if an option
    cannot be used.
    """
    unknown = sorted(options.keys() - OpenOptions.__annotations__.keys())
    if unknown:
        raise TypeError(f"unknown option {unknown[0]!r}")
    return RemoteFile(_Raw(Core(core_options(".", options), url, _FIRST), url))

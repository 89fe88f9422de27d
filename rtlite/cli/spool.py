"""Lines that wait to be sent: a few in memory, the rest on disk, in files that no name leads to.

They are gone with the process, and with their last line from the disk, in steps of 8 MiB.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from typing import IO, Final

import attrs

_IN_MEMORY: Final = 64 * 1024
_SEGMENT: Final = 8 * 1024 * 1024


@attrs.define
class _Segment:
    file: IO[bytes] = attrs.field(factory=lambda: tempfile.TemporaryFile(buffering=0))  # noqa: SIM115  # closed when it is read
    written: int = 0
    read: int = 0


class Spool:
    """First in, first out. No line holds a newline.

    :ivar size: the bytes that wait.
    """

    def __init__(self) -> None:
        self.size = 0
        self._segments: deque[_Segment] = deque()
        self._tail = bytearray()

    def put(self, line: bytes) -> None:
        """Add a line. :raises OSError: the disk does not take what waits; then it waits in memory."""
        self._tail += line
        self._tail += b"\n"
        self.size += len(line) + 1
        if len(self._tail) >= _IN_MEMORY:
            self._flush()

    def take(self, size: int) -> list[bytes]:
        """The oldest lines, of about so many bytes together, and one at least if there is any."""
        data = self._read(size) if self._segments else self._cut_tail(size)
        self.size -= len(data)
        return data.split(b"\n")[:-1]

    def close(self) -> None:
        """Let go of everything."""
        while self._segments:
            self._segments.popleft().file.close()
        self._tail.clear()
        self.size = 0

    def _cut_tail(self, size: int) -> bytes:
        end = self._tail.find(b"\n", min(size, len(self._tail)) - 1) + 1
        data = bytes(self._tail[:end])
        del self._tail[:end]
        return data

    def _flush(self) -> None:
        new = not self._segments or self._segments[-1].written >= _SEGMENT
        segment, data = _Segment() if new else self._segments[-1], bytes(self._tail)
        end = segment.written
        try:
            while data:  # a disk that gets full takes a part of it; that counts for nothing
                count = os.pwrite(segment.file.fileno(), data, end)
                end, data = end + count, data[count:]
        except OSError:
            if new:
                segment.file.close()
            raise
        segment.written = end
        if new:
            self._segments.append(segment)
        self._tail.clear()

    def _read(self, size: int) -> bytes:
        """Whole lines from the oldest file, which ends with one."""
        segment = self._segments[0]
        data = b""
        while b"\n" not in data and segment.read + len(data) < segment.written:
            data += os.pread(segment.file.fileno(), size, segment.read + len(data))
        data = data[: data.rfind(b"\n") + 1]
        segment.read += len(data)
        if segment.read == segment.written:
            self._segments.popleft().file.close()
        return data

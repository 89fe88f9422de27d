"""The only way out of a connection.

Bytes leave in the order they were given. While nothing waits, :meth:`Outbox.offer` writes
to the non-blocking socket at once: no task is woken and nothing is copied. What the
kernel does not take is queued, bounded, and drained by a writer task that exists only
while there is something to drain.

Two writers on one socket would interleave inside a frame, so trio-websocket's own frames
and Hypercorn's answers go through here as well.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

import trio

Spawn = Callable[..., None]
"""Starts a task beside the connection, as ``nursery.start_soon`` does."""

_GATHER = 64  # buffers per writev; the kernel's limit is 1,024
PIECE: Final = 16 * 1024  # bytes per send_all; a TLS record holds as many
_NEVER: Final = -math.inf
NOTHING: deque[bytes | memoryview] = (
    deque()
)  # shared by every outbox that holds nothing: 15,000 idle ones cost 11 MB else


class Outbox:
    """A bounded queue of bytes before one socket.

    :param descriptor: the non-blocking socket's, or ``None`` where bytes must pass through
        ``stream`` (TLS, memory streams); then all writing is done by the writer task.
    :param limit: bytes that may wait.
    :param write_timeout: seconds without a byte accepted after which the peer is given up.
    :param spawn: starts the writer in the connection's nursery.
    :param on_broken: called once when the peer is gone or given up; it ends the reading side.
    """

    __slots__ = (
        "_closed",
        "_descriptor",
        "_emptied",
        "_idle",
        "_in_flight",
        "_limit",
        "_on_broken",
        "_queue",
        "_queued",
        "_spawn",
        "_stream",
        "_timeout",
        "_writing",
        "sent",
    )

    def __init__(
        self,
        descriptor: int | None,
        stream: trio.abc.SendStream,
        limit: int,
        write_timeout: float,
        spawn: Spawn,
        on_broken: Callable[[], None],
    ) -> None:
        self._descriptor = descriptor
        self._stream = stream
        self._limit = limit
        self._timeout = write_timeout
        self._spawn = spawn
        self._on_broken = on_broken
        self._queue: deque[bytes | memoryview] = NOTHING
        self._queued = 0
        self._in_flight = 0
        self._emptied = _NEVER
        self._writing = False
        self._closed = False
        self._idle: trio.Event | None = None  # set at each step of the writer, for those who wait for room
        self.sent = 0

    @property
    def queued(self) -> int:
        """Bytes that wait."""
        return self._queued

    @property
    def emptied(self) -> float:
        """When, on Trio's clock, the last byte of a backlog left; long ago if there was none."""
        return self._emptied

    @property
    def closed(self) -> bool:
        return self._closed

    def offer(self, data: bytes) -> bool:
        """Take ``data`` without waiting; ``False`` if too much waits already.

        A single message larger than the limit is taken when nothing else waits. After the
        connection is gone, bytes are dropped and the answer is ``True``: the reader is not slow.
        """
        if self._closed or not data:  # Hypercorn ends an answer with empty bytes
            return True
        if self._queued:
            if self._queued + len(data) > self._limit:
                return False
            self._enqueue(data)
            return True
        if self._descriptor is None:
            self._start(data)
            return True
        try:
            written = os.write(self._descriptor, data)
        except BlockingIOError:
            written = 0
        except OSError:  # reset, or closed under us: the reading side ends the connection
            self._break()
            return True
        self.sent += written
        if written < len(data):
            self._start(memoryview(data)[written:])
        return True

    async def send(self, data: bytes) -> None:
        """Take ``data`` once there is room, at most half of the limit waiting.

        :raises trio.BrokenResourceError: the connection is gone.
        """
        await self.room(len(data))
        self.offer(data)

    async def room(self, size: int) -> None:
        """Wait until ``size`` bytes more are at most half of the limit, or nothing waits.

        :raises trio.BrokenResourceError: the connection is gone.
        """
        await trio.lowlevel.checkpoint()
        while self._queued and self._queued + size > self._limit // 2:  # nothing waits in one that is closed
            await self._step()
        if self._closed:
            raise trio.BrokenResourceError("the connection is closed")

    async def drained(self) -> None:
        """Wait until nothing waits (or the connection is gone)."""
        while self._queued and not self._closed:
            await self._step()

    def discard_queued(self) -> None:
        """Drop what waits, but for the piece that is partly written: a frame must not be cut."""
        if self._queue:
            first = self._queue[0]
            kept = [first] if isinstance(first, memoryview) else []  # the rest of what was cut
            self._queue = deque(kept)
            self._queued = self._in_flight + sum(map(len, kept))

    def leave_by(self, descriptor: int | None, stream: trio.abc.SendStream) -> None:
        """From now on bytes leave this way, in order with those before."""
        self._descriptor = descriptor
        self._stream = stream

    def close(self) -> None:
        """Take nothing any more and drop what waits. Idempotent."""
        self._closed = True
        self._queue = NOTHING
        self._queued = 0
        self._wake()

    def _start(self, data: bytes | memoryview) -> None:
        self._queue = deque()
        self._enqueue(data)
        if not self._writing:  # else what it was to write was discarded, and it takes this instead
            self._writing = True
            self._spawn(self._write)

    def _enqueue(self, data: bytes | memoryview) -> None:
        self._queue.append(data)
        self._queued += len(data)

    async def _step(self) -> None:
        if self._idle is None:
            self._idle = trio.Event()
        await self._idle.wait()

    def _wake(self) -> None:
        if self._idle is not None:
            self._idle.set()
            self._idle = None

    def _break(self) -> None:
        if not self._closed:
            self.close()
            self._on_broken()

    async def _write(self) -> None:
        """The writer: drains the queue, then ends."""
        try:
            while self._queue:
                with trio.fail_after(self._timeout):
                    written = await self._write_some()
                if self._closed:
                    return
                self._drop(written)
                if not self._queued:
                    self._emptied = trio.current_time()
                self._wake()
            if not self._queued:
                self._queue = NOTHING
        except (OSError, trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError):
            # The peer is gone, or took no byte for the whole time: one outcome for the reader.
            self._break()
        finally:
            self._writing = False

    async def _write_some(self) -> int:
        if self._descriptor is None:
            # What is in flight counts as waiting until the stream took it all. It is little, because
            # a stream does not tell how far it got, and a slow peer is one that takes some in time.
            data = self._take_piece()
            self._in_flight = len(data)
            await self._stream.send_all(data)
            self.sent += len(data)
            self._queued -= len(data)
            self._in_flight = 0
            return 0
        descriptor = self._descriptor
        await trio.lowlevel.wait_writable(descriptor)
        if not self._queue or self._descriptor is None:  # dropped, or to leave another way
            return 0
        try:
            written = os.writev(descriptor, list(islice(self._queue, _GATHER)))
        except BlockingIOError:
            return 0
        self.sent += written
        return written

    def _take_piece(self) -> bytes:
        """Bytes for one ``send_all``: what is small is joined, what is large is cut."""
        parts: list[bytes | memoryview] = []
        room = PIECE
        while self._queue and room:
            first = self._queue.popleft()
            if len(first) > room:
                self._queue.appendleft(memoryview(first)[room:])
                first = memoryview(first)[:room]
            parts.append(first)
            room -= len(first)
        return b"".join(parts)

    def _drop(self, written: int) -> None:
        queue = self._queue
        self._queued -= written
        while written and queue:
            first = queue[0]
            if len(first) > written:
                queue[0] = memoryview(first)[written:]
                return
            written -= len(first)
            queue.popleft()

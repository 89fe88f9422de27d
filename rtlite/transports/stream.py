"""One accepted connection: bytes that were read ahead, and everything out through the outbox."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Coroutine
from typing import Any

import trio

from rtlite.settings import Settings
from rtlite.transports.impaired import Nowhere, Throttled
from rtlite.transports.outbox import Outbox, Spawn

# Below the allocator's threshold for a mapping of its own, which every read would make and undo (8 % of a publish).
_READ = 16 * 1024
_LINGER = 1.0


class ServerStream(trio.abc.HalfCloseableStream):
    """A Trio stream whose reading side can be given bytes back and whose writing side is an outbox.

    trio-websocket and Hypercorn both get this one object, so whichever protocol a
    connection turns out to speak, its bytes keep their order.

    :param transport: a socket stream, a TLS stream over one, or any stream in tests.
    :param spawn: starts a task that lives as long as the connection.
    """

    def __init__(
        self,
        transport: trio.abc.Stream,
        settings: Settings,
        spawn: Spawn,
        *,
        secure: bool = False,
        trusted: bool = False,
    ) -> None:
        self.transport = transport
        self.spawn = spawn
        self.secure = secure
        self.trusted = trusted
        self._settings = settings
        self._socket = transport.socket if isinstance(transport, trio.SocketStream) else None
        self._unread = bytearray()
        self._broken = False
        self._lingering = False
        self._closing: trio.Event | None = None
        self._silence: trio.Event | None = None
        self._receiving: trio.CancelScope | None = None
        self.peer = _peer(transport)
        self._descriptor = self._socket.fileno() if self._socket is not None else -1
        descriptor = None if self._socket is None else self._descriptor
        self.outbox = Outbox(descriptor, transport, settings.outbox, settings.write_timeout, spawn, self.break_off)

    def break_off(self) -> None:
        """End the connection from a place that cannot wait: whoever reads gets the end of the stream."""
        self._broken = True
        self.outbox.close()
        if self._silence is not None:  # the peer is not to notice
            return
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is gone already, which is what was wanted
                self._socket.shutdown(socket.SHUT_RDWR)
        elif self._receiving is not None:
            self._receiving.cancel()

    def throttle(self, rate: float) -> Throttled:
        """Let no more than so many bytes a second out, until that is lifted: as to a peer that reads slowly."""
        slow = Throttled(self.transport, rate)
        self.outbox.leave_by(None, slow)
        return slow

    def lift(self, slow: Throttled) -> None:
        """The end of a :meth:`throttle`."""
        slow.lifted.set()
        self.outbox.leave_by(None if self._socket is None else self._descriptor, self.transport)

    def fall_silent(self) -> None:
        """From now on nobody reads, what is sent goes nowhere, and the peer does not notice: not even the end
        of the connection here, before :meth:`cut`."""
        self._silence = trio.Event()
        self.outbox.leave_by(None, Nowhere())

    def cut(self) -> None:
        """End the connection without another word, also one that fell silent."""
        silence, self._silence = self._silence, None
        if silence is not None:
            silence.set()
        self.break_off()

    def unread(self, data: bytes | bytearray) -> None:
        """Put bytes back in front of what comes next."""
        self._unread[:0] = data

    @property
    def descriptor(self) -> int | None:
        """The socket's, where bytes can be read from it as they are (no TLS, no memory stream)."""
        return None if self._socket is None or self._broken else self._descriptor

    def keep(self, data: bytes) -> None:
        """Add bytes that someone else read ahead."""
        self._unread += data

    def receive_some(self, max_bytes: int | None = None) -> Coroutine[Any, Any, bytes]:
        # Not ``async``: a frame less for each connection that waits.
        if self._lingering:
            return self._nothing()
        return self._receive_unread(max_bytes) if self._unread else self._receive(max_bytes or _READ)

    async def _receive_unread(self, max_bytes: int | None) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.take(max_bytes or len(self._unread))

    async def _nothing(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return b""

    async def _receive(self, max_bytes: int) -> bytes:
        if self._broken:
            raise trio.BrokenResourceError("the connection was ended")
        if self._socket is not None:
            # Waiting first and then reading once spares the read that almost always says "not yet".
            await trio.lowlevel.wait_readable(self._descriptor)
            if self._silence is not None:
                await self._silence.wait()
            if self._broken:
                raise trio.BrokenResourceError("the connection was ended")
            try:
                return os.read(self._descriptor, max_bytes)
            except BlockingIOError:
                return bytes(await self.transport.receive_some(max_bytes))
            except OSError as error:
                raise trio.BrokenResourceError("the connection was reset") from error
        with trio.CancelScope() as self._receiving:
            data = bytes(await self.transport.receive_some(max_bytes))
            if self._silence is None:
                return data
            await self._silence.wait()
        raise trio.BrokenResourceError("the connection was ended")

    @property
    def buffered(self) -> int:
        """Bytes that were read ahead."""
        return len(self._unread)

    def take_until(self, separator: bytes, limit: int) -> bytes | None:
        """From what was read ahead: the bytes up to and with ``separator``; ``None`` if it is not there yet.

        :raises ValueError: ``limit`` bytes went by without it.
        """
        end = self._unread.find(separator, 0, limit)
        if end < 0:
            if len(self._unread) >= limit:
                raise ValueError("too long")
            return None
        return self.take(end + len(separator))

    def take(self, count: int) -> bytes:
        """``count`` bytes of what was read ahead."""
        with memoryview(self._unread) as read:
            taken = bytes(read[:count])
        del self._unread[:count]
        return taken

    async def read_ahead(self) -> bool:
        """Wait for more bytes and keep them; ``False`` at the end of the stream."""
        self._unread += (data := await self._receive(_READ))
        return bool(data)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.outbox.send(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        """Flush, and tell the peer that no more comes (TLS has no such half-close: nothing then)."""
        await self.outbox.drained()
        if isinstance(self.transport, trio.abc.HalfCloseableStream) and not self._broken:
            await self.transport.send_eof()

    def _still_sending(self) -> bool:
        if self._socket is None or self._broken:
            return False
        try:
            return bool(os.read(self._descriptor, _READ))
        except OSError:  # nothing is there, or it was reset
            return False

    async def linger(self) -> None:
        """Say that no more comes, and read on for a moment.

        A socket that is closed with unread bytes resets the connection, and the peer may
        never see our last words. To whoever else comes to read, this is the end.
        """
        self._lingering = True
        with trio.move_on_after(_LINGER):
            await self.send_eof()
            try:
                while await self._receive(_READ):
                    pass
            except trio.BusyResourceError:  # another task of the connection is at it
                await trio.sleep_forever()

    async def aclose(self) -> None:
        """Flush what waits, for as long as the peer takes it, and close.

        Whoever closes a stream that is being closed waits until it is: a WebSocket's reader and its
        endpoint may come to the end at once.
        """
        if self._closing is not None:
            await self._closing.wait()
            return
        if self._silence is not None:  # who does not wait for that leaves it open
            await self._silence.wait()
        self._closing = trio.Event()
        try:
            with trio.move_on_after(self._settings.write_timeout):
                await self.outbox.drained()
            if self._still_sending():
                await self.linger()
        finally:
            self._broken = True
            self.outbox.close()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                # Closing TLS politely may wait for the peer; a second is polite enough.
                await self.transport.aclose()
            self._closing.set()


def _peer(transport: trio.abc.Stream) -> str:
    """The peer's address, or ``unix`` on a unix socket."""
    stream = transport.transport_stream if isinstance(transport, trio.SSLStream) else transport
    if not isinstance(stream, trio.SocketStream):
        return "memory"
    if stream.socket.family == socket.AF_UNIX:
        return "unix"
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:  # already gone
        return "unknown"

"""The life of a WebSocket: handshake, heartbeat, the endpoint, one way out.

trio-websocket speaks RFC 6455 here, over a stream whose writing side is the outbox. What
is fanned out is framed once (:func:`text_frame`) and offered to many outboxes as the same
bytes: a server's frames are not masked, so they can be shared.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import attrs
import trio
import trio_websocket
import wsproto
import wsproto.events
import wsproto.utilities

from rtlite.errors import CloseCode, Reason
from rtlite.log import get_logger
from rtlite.metrics import Metrics
from rtlite.model import Identity
from rtlite.settings import Settings
from rtlite.transports.connections import Connection, Connections
from rtlite.transports.head import Head
from rtlite.transports.outbox import Outbox
from rtlite.transports.stream import ServerStream

log = get_logger(__name__)

MAX_FRAGMENTS: Final = 1024


def text_frame(payload: bytes) -> bytes:
    """One unmasked text frame with the whole message (RFC 6455, section 5.2)."""
    length = len(payload)
    if length < 126:
        return b"\x81" + length.to_bytes(1, "big") + payload
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


@attrs.frozen
class WebSocketRoute:
    """A path that WebSockets connect to.

    :param pattern: with ``{name}`` for a path segment.
    :param protocol: the name in lists and metrics.
    :param endpoint: runs the connection; when it returns, the connection is closed as normal.
    :param codes: picks this protocol's column of the close code table.
    """

    pattern: str
    protocol: str
    endpoint: Callable[[WebSocket], Awaitable[None]]
    codes: Callable[[CloseCode], int]


class WebSocket:
    """One open WebSocket, as its endpoint sees it."""

    def __init__(
        self,
        connection: trio_websocket.WebSocketConnection,
        stream: ServerStream,
        nursery: trio.Nursery,
        route: WebSocketRoute,
        params: Mapping[str, str],
        head: Head,
        settings: Settings,
    ) -> None:
        self._connection = connection
        self._nursery = nursery
        self._settings = settings
        self._scope = trio.CancelScope()
        self._reason: Reason | None = None
        self._callbacks: list[Callable[[], None]] = []
        self.route = route
        self.params = params
        self.head = head
        self.outbox: Outbox = stream.outbox
        self.listed: Connection | None = None

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Run a task as long as this connection lives."""
        self._nursery.start_soon(function, *args)

    def admit(self, identity: Identity, remaining: float | None) -> None:
        """The credential holds. ``remaining`` seconds from now it expires, and the connection with it."""
        if self.listed is not None:
            self.listed.identity = identity
        # A deadline on the monotonic clock: a wall clock that is set does not drop or immortalise anyone.
        self._scope.deadline = float("inf") if remaining is None else trio.current_time() + max(0.0, remaining)

    async def receive(self) -> str | bytes:
        """The next message. :raises trio_websocket.ConnectionClosed: no more will come."""
        return await self._connection.get_message()

    def send(self, payload: bytes) -> bool:
        """Offer one text message, without waiting; ``False`` if the reader is too slow."""
        return self.outbox.offer(text_frame(payload))

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call this before the closing handshake."""
        self._callbacks.append(callback)

    def end(self, reason: Reason) -> None:
        """Close with this reason, from wherever. The first reason stands."""
        if self._reason is None:
            self._reason = reason
            self._scope.cancel()

    async def run(self) -> Reason:
        """Run the endpoint and then close, whatever happened; returns why the connection ended."""
        try:
            with self._scope:
                await self.route.endpoint(self)
            if self._scope.cancelled_caught and self._reason is None:
                self._reason = Reason.EXPIRED
        except trio_websocket.ConnectionClosed:
            self._reason = self._reason or Reason.NORMAL
        except Exception:
            # The endpoint's own mistake ends this connection, and the peer gets a clean close.
            log.exception("an endpoint failed", protocol=self.route.protocol)
            self._reason = Reason.INTERNAL_ERROR
        reason = self._reason or Reason.NORMAL
        for callback in self._callbacks:
            callback()
        await self._close(reason)
        return reason

    async def _close(self, reason: Reason) -> None:
        """The closing handshake. It ends: by the peer's answer, or by one of the two deadlines.

        The close frame stands behind what the outbox holds; a slow reader's backlog is dropped,
        so that it learns why as soon as it reads again.
        """
        if reason is Reason.TOO_SLOW:
            self.outbox.discard_queued()
        code = self.route.codes(reason.value)
        patience = self._settings.close_timeout
        if self.outbox.queued:
            patience += self._settings.write_timeout
        with trio.move_on_after(patience):
            await self._connection.aclose(code, reason.value.text or None)

    async def heartbeat(self) -> None:
        """Ping every so often; a peer that does not answer is gone.

        The pong's time runs once the ping has left the outbox: a peer that still reads its
        backlog is slow, not dead, and the write deadline watches over it.
        """
        while True:
            await trio.sleep(self._settings.ping_interval)
            while True:
                await self.outbox.drained()
                with trio.move_on_after(self._settings.pong_timeout):
                    try:
                        await self._connection.ping()
                    except trio_websocket.ConnectionClosed:
                        return
                    break
                if not self.outbox.queued:
                    self.end(Reason.NO_PONG)
                    return


class _Wire(wsproto.WSConnection):
    """wsproto, with a cap on the fragments of one message: empty ones never count towards its size."""

    def __init__(self) -> None:
        super().__init__(wsproto.ConnectionType.SERVER)
        self._fragments = 0

    def events(self) -> Any:
        for event in super().events():
            if isinstance(event, wsproto.events.Message):
                self._fragments = 0 if event.message_finished else self._fragments + 1
                if self._fragments > MAX_FRAGMENTS:
                    raise TooManyFragments
            yield event


class TooManyFragments(Exception):
    """A message came in more pieces than any honest client sends."""


class WebSockets:
    """Serves WebSocket handshakes that passed the listener's checks."""

    def __init__(self, settings: Settings, connections: Connections, metrics: Metrics) -> None:
        self._settings = settings
        self._connections = connections
        self._metrics = metrics

    async def serve(
        self, stream: ServerStream, head: Head, route: WebSocketRoute, params: Mapping[str, str], address: str
    ) -> None:
        """The life of one connection; returns when it is over."""
        stream.unread(head.raw)
        async with trio.open_nursery() as nursery:
            connection = trio_websocket.WebSocketConnection(
                stream,
                _Wire(),
                message_queue_size=1,
                max_message_size=self._settings.max_message,
                receive_buffer_size=4096,
            )
            nursery.start_soon(connection._reader_task)
            with trio.fail_after(self._settings.handshake_timeout):
                request = await connection._get_request()
                await request.accept()
            websocket = WebSocket(connection, stream, nursery, route, params, head, self._settings)
            with self._connections.entered(route.protocol, address, stream.outbox, websocket.end) as websocket.listed:
                if len(self._connections) > self._connections.limit:
                    websocket.end(Reason.OVER_CAPACITY)
                nursery.start_soon(websocket.heartbeat)
                reason = await websocket.run()
            self._metrics.closed.labels(reason.name.lower()).inc()
            log.debug("websocket closed", protocol=route.protocol, reason=reason.name.lower())
            nursery.cancel_scope.cancel()

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
from wsproto.connection import ConnectionState

from rtlite.errors import CloseCode, Reason
from rtlite.metrics import Metrics
from rtlite.settings import Settings
from rtlite.transports.connections import Connections
from rtlite.transports.head import BadHead, Head
from rtlite.transports.link import Link
from rtlite.transports.routes import Reply
from rtlite.transports.stream import ServerStream

MAX_FRAGMENTS: Final = 1024
_SMALL: Final = 64  # bytes; a message that comes in thousands of pieces smaller than this is an attack on the memory
_UNLIMITED: Final = 2**62
_ABNORMAL: Final = 1006  # RFC 6455, section 7.4.1: there was no close frame


def text_frame(payload: bytes) -> bytes:
    """One unmasked text frame with the whole message (RFC 6455, section 5.2)."""
    length = len(payload)
    if length < 126:
        return b"\x81" + length.to_bytes(1, "big") + payload
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


def binary_frame(payload: bytes) -> bytes:
    """As :func:`text_frame`, for binary data."""
    return b"\x82" + text_frame(payload)[1:]


@attrs.frozen
class WebSocketRoute:
    """A path that WebSockets connect to.

    :param pattern: with ``{name}`` for a path segment.
    :param protocol: the name in lists and metrics.
    :param endpoint: runs the connection; when it returns, the connection is closed as normal.
    :param codes: picks this protocol's column of the close code table.
    :param max_message: the largest message, in bytes; ``None`` is the setting.
    :param max_fragments: the most frames that one message may come in.
    :param pings: whether we ping by frames of RFC 6455; a protocol with pings of its own needs none.
    :param refuse: why a handshake is answered with something else than a WebSocket, or ``None``.
    :param subprotocols: of those that a client offers, the first of these is chosen; without one, none is
        (RFC 6455, section 4.2.2).
    """

    pattern: str
    protocol: str
    endpoint: Callable[[WebSocket], Awaitable[None]]
    codes: Callable[[CloseCode], int]
    max_message: int | None = None
    max_fragments: int = MAX_FRAGMENTS
    pings: bool = True
    refuse: Callable[[Head], Reply | None] | None = None
    subprotocols: tuple[str, ...] = ()


class WebSocket(Link):
    """One open WebSocket, as its endpoint sees it."""

    gone = (*Link.gone, trio_websocket.ConnectionClosed)

    def __init__(
        self,
        connection: trio_websocket.WebSocketConnection,
        wire: Wire,
        stream: ServerStream,
        nursery: trio.Nursery,
        route: WebSocketRoute,
        params: Mapping[str, str],
        head: Head,
        settings: Settings,
    ) -> None:
        super().__init__(route.protocol, stream.outbox, nursery, params, head, settings)
        self._connection = connection
        self._wire = wire
        self.route = route

    @property
    def goodbye(self) -> bool:
        """Whether it was the peer who ended it, with a close frame."""
        closed = self._connection.closed
        return self._reason is Reason.NORMAL and closed is not None and closed.code != _ABNORMAL

    @property
    def subprotocol(self) -> str | None:
        """The one that was chosen at the handshake."""
        return self._connection.subprotocol

    async def receive(self) -> str | bytes:
        """The next message. :raises trio_websocket.ConnectionClosed: no more will come."""
        return await self._connection.get_message()

    async def reply(self, message: str | bytes) -> None:
        """Send one message of either type once there is room. :raises trio_websocket.ConnectionClosed: too late."""
        await self._connection.send_message(message)

    def send(self, payload: bytes) -> bool:
        """Offer one text message, without waiting; ``False`` if the reader is too slow."""
        return self.outbox.offer(text_frame(payload))

    def _converse(self) -> Awaitable[None]:
        return self.route.endpoint(self)

    def _judge(self, error: Exception) -> Reason:
        if isinstance(error, trio_websocket.ConnectionClosed):
            unexplained = Reason.INTERNAL_ERROR if error.reason is None else Reason.NORMAL  # the reader failed
            return self._wire.broken or unexplained
        return super()._judge(error)

    async def _close(self, reason: Reason) -> None:
        """The closing handshake. It ends: by the peer's answer, or by one of the two deadlines."""
        patience = self._patience()
        with trio.move_on_after(patience):
            await self._connection.aclose(self.route.codes(reason.value), reason.value.text or None)
            # Where the peer began, or broke a rule, the reader answers: let its last frame out.
            await self._connection._close_handshake.wait()
            await self.outbox.drained()

    async def heartbeat(self) -> None:
        """Ping every so often; a peer that does not answer is gone.

        The pong's time runs once the ping has left the outbox: a peer that still reads its
        backlog is slow, not dead, and the write deadline watches over it.
        """
        while self.route.pings:
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


class Wire(wsproto.WSConnection):
    """wsproto, with limits to a message, and with an answer to whatever breaks a rule.

    A broken rule is given to trio-websocket as a close frame that came with the right code:
    it answers with that code and ends, so that the peer learns why (RFC 6455, section 7.1.7).
    After either side's close frame, only the other's counts (section 5.5.1).

    :param max_message: bytes. trio-websocket's own limit does not see empty fragments.
    """

    def __init__(self, max_message: int, codes: Callable[[CloseCode], int], max_fragments: int = MAX_FRAGMENTS) -> None:
        super().__init__(wsproto.ConnectionType.SERVER)
        self._limit = max_message
        self._max_fragments = max_fragments
        self._codes = codes
        self._frames = self._pieces = self._size = 0
        self.broken: Reason | None = None

    def events(self) -> Any:
        for event in super().events() if self.connection is None else self.connection.events():
            if isinstance(event, wsproto.events.CloseConnection):
                if self.state is ConnectionState.OPEN:  # of wsproto's making: a frame could not be parsed
                    self._break(Reason.ABUSE)
                yield event
                return
            if self.state is ConnectionState.LOCAL_CLOSING:
                continue
            if isinstance(event, wsproto.events.Message) and (reason := self._too_much(event)) is not None:
                self._break(reason)
                yield wsproto.events.CloseConnection(self._codes(reason.value), reason.value.text)
                return
            yield event

    def _break(self, reason: Reason) -> None:
        self.broken = reason
        if self.connection is not None:
            self.connection._state = ConnectionState.REMOTE_CLOSING

    def _too_much(self, event: wsproto.events.Message[Any]) -> Reason | None:
        """A message may be large or come in many pieces, but neither without end."""
        data = event.data
        self._size += len(data) if not isinstance(data, str) or data.isascii() else len(data.encode())
        self._pieces += 1  # a frame comes in as many as there were reads
        self._frames += event.frame_finished
        if self._size > self._limit:
            return Reason.TOO_BIG
        most = self._max_fragments
        if self._frames > most or self._pieces > max(most, self._size // _SMALL):
            return Reason.ABUSE
        if event.message_finished:
            self._frames = self._pieces = self._size = 0
        return None


class WebSockets:
    """Serves WebSocket handshakes that passed the listener's checks."""

    def __init__(self, settings: Settings, connections: Connections, metrics: Metrics) -> None:
        self._settings = settings
        self._connections = connections
        self._metrics = metrics

    async def serve(
        self, stream: ServerStream, head: Head, route: WebSocketRoute, params: Mapping[str, str], address: str
    ) -> None:
        """The life of one connection; returns when it is over.

        :raises BadHead: wsproto finds something wrong with the handshake that we did not.
        """
        wire = Wire(route.max_message or self._settings.max_message, route.codes, route.max_fragments)
        try:
            wire.receive_data(head.raw)
        except wsproto.utilities.RemoteProtocolError as error:
            raise BadHead("the WebSocket handshake is malformed") from error
        async with trio.open_nursery() as nursery:
            connection = trio_websocket.WebSocketConnection(
                stream, wire, message_queue_size=1, max_message_size=_UNLIMITED, receive_buffer_size=4096
            )
            websocket = WebSocket(connection, wire, stream, nursery, route, params, head, self._settings)
            with trio.fail_after(self._settings.handshake_timeout):
                await self._accept(connection, wire, route.subprotocols)
                await stream.outbox.drained()
            # Only now: frames that came with the handshake are frames, and not more of the handshake.
            websocket.spawn(connection._reader_task)
            await websocket.serve(self._connections, self._metrics, address)

    @staticmethod
    async def _accept(
        connection: trio_websocket.WebSocketConnection, wire: Wire, subprotocols: tuple[str, ...]
    ) -> None:
        """Answer the handshake."""
        for event in wire.events():
            await connection._handle_request_event(event)
        request = await connection._get_request()
        offered = request.proposed_subprotocols
        await request.accept(subprotocol=next((name for name in subprotocols if name in offered), None))
        del wire.handshake  # h11's state machine is not needed any more: 5 KiB per connection
        connection._path, connection._handshake_headers = "", ()  # a copy of the head, of which we have our own

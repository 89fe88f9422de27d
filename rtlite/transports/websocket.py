"""The life of a WebSocket: handshake, heartbeat, the endpoint, one way out.

trio-websocket speaks RFC 6455 here, over a stream whose writing side is the outbox. What
is fanned out is framed once (:func:`text_frame`) and offered to many outboxes as the same
bytes: a server's frames are not masked, so they can be shared.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from operator import attrgetter
from typing import Any, cast

import attrs
import trio
import trio_websocket
import wsproto.utilities

from rtlite.errors import CloseCode, Reason
from rtlite.metrics import Metrics
from rtlite.model import Identity
from rtlite.settings import Settings
from rtlite.transports.connections import Connections
from rtlite.transports.contract import Asked, Message
from rtlite.transports.head import BadHead, Head
from rtlite.transports.link import ABNORMAL, Life, Link
from rtlite.transports.pulse import Beat, Pulse
from rtlite.transports.routes import Reply
from rtlite.transports.stream import ServerStream
from rtlite.transports.wire import MAX_FRAGMENTS, Wire, WireConnection


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


@attrs.frozen(eq=False)
class WebSocketRoute:
    """A path that WebSockets connect to.

    :param pattern: with ``{name}`` for a path segment.
    :param protocol: the name in lists and metrics.
    :param endpoint: runs the connection; when it returns, the connection is closed as normal.
    :param codes: picks this protocol's column of the close code table; that of ``/ws``, unless it has one of its own.
    :param max_message: the largest message, in bytes; ``None`` is the setting.
    :param max_fragments: the most frames that one message may come in.
    :param pings: whether we ping by frames of RFC 6455; a protocol with pings of its own needs none.
    :param refuse: why a handshake is answered with something else than a WebSocket, or ``None``.
    :param subprotocols: of those that a client offers, the first of these is chosen; without one, none is
        (RFC 6455, section 4.2.2).
    :param asks: the parameters; :param messages: what goes over it. Both are for the descriptions.
    """

    pattern: str
    protocol: str
    endpoint: Callable[[WebSocket], Awaitable[None]]
    codes: Callable[[CloseCode], int] = attrgetter("commands")
    max_message: int | None = None
    max_fragments: int = MAX_FRAGMENTS
    pings: bool = True
    refuse: Callable[[Head], Reply | None] | None = None
    subprotocols: tuple[str, ...] = ()
    asks: Sequence[Asked] = ()
    messages: Sequence[Message] = ()


class WebSocket(Link):
    """One open WebSocket, as its endpoint sees it.

    The endpoint takes messages with :meth:`receive`, and sends with :meth:`reply`, which waits until there is room,
    or :meth:`send`, which does not. The connection ends when the endpoint returns (as normal), with what it raises
    (a :class:`~rtlite.errors.Refused` is the client's mistake, anything else our own), or with :meth:`end`.
    """

    gone = (*Link.gone, trio_websocket.ConnectionClosed)
    moderate: Callable[[], Awaitable[None]] | None = None
    """Waits before each message that is read; ``None`` where the endpoint holds the rate itself."""
    words: str | None = None
    """What the close frame says in place of the reason's text."""

    def __init__(
        self,
        connection: WireConnection,
        stream: ServerStream,
        pulse: Pulse,
        route: WebSocketRoute,
        params: Mapping[str, str],
        head: Head,
        settings: Settings,
    ) -> None:
        super().__init__(route.protocol, stream.outbox, stream.spawn, params, head, settings)
        self._connection = connection
        self._pulse = pulse
        self.route = route

    @property
    def stream(self) -> ServerStream:
        return cast(ServerStream, self._connection._stream)

    @property
    def identity(self) -> Identity | None:
        """Who connected, once that is known."""
        return self.listed.identity if self.listed is not None else None

    @property
    def trusted(self) -> bool:
        return self.stream.trusted

    @property
    def goodbye(self) -> bool:
        """Whether it was the peer who ended it, with a close frame."""
        closed = self._connection.closed
        return self._reason is Reason.NORMAL and closed is not None and closed.code != ABNORMAL

    @property
    def subprotocol(self) -> str | None:
        """The one that was chosen at the handshake."""
        return self._connection.subprotocol

    def receive(self) -> Coroutine[Any, Any, str | bytes]:
        """The next message. :raises trio_websocket.ConnectionClosed: no more will come."""
        return self._connection.get_message() if self.moderate is None else self._receive_slowly(self.moderate)

    async def _receive_slowly(self, moderate: Callable[[], Awaitable[None]]) -> str | bytes:
        await moderate()
        return await self._connection.get_message()

    def allow(self, max_message: int) -> None:
        """Take messages of so many bytes from now on, where a stranger's had to be shorter."""
        self._connection.allow(max_message)

    async def reply(self, message: str | bytes) -> None:
        """Send one message of either type once there is room. :raises trio_websocket.ConnectionClosed: too late."""
        await self._connection.send_message(message)

    def end_saying(self, reason: Reason, text: str) -> None:
        """As :meth:`end`; the close frame has this text, of up to 123 bytes."""
        if self._reason is None:
            self.words = text
            self.end(reason)

    def send(self, payload: bytes) -> bool:
        """Offer one text message, without waiting; ``False`` if the reader is too slow."""
        return self.outbox.offer(text_frame(payload))

    def _converse(self) -> Awaitable[None]:
        return self.route.endpoint(self)

    def _judge(self, error: Exception) -> Reason:
        if isinstance(error, trio_websocket.ConnectionClosed):
            unexplained = Reason.INTERNAL_ERROR if error.reason is None else Reason.NORMAL  # the reader failed
            return self._connection.broken or unexplained
        return super()._judge(error)

    async def _close(self, reason: Reason) -> None:
        """The closing handshake. It ends: by the peer's answer, or by one of the two deadlines."""
        patience = self._patience()
        with trio.move_on_after(patience):
            code, text = self.farewell or (self.route.codes(reason.value), self.words or reason.value.text)
            await self._connection.aclose(code, text or None)
            # Where the peer began, or broke a rule, the reader answers: let its last frame out.
            await self._connection.over()
            await self.outbox.drained()

    def _begin(self) -> Beat | None:
        """Be pinged every so often; a peer that does not answer is gone.

        The pong's time runs once the ping has left the outbox: a peer that still reads its
        backlog is slow, not dead, and the write deadline watches over it.
        """
        if not self.route.pings:
            return None
        self._connection.beat = self._pulse.add(self)
        return self._connection.beat

    def ping(self) -> bool:
        """Offer a ping, which only its own pong answers; ``False`` if there is no room for it."""
        payload = random.randbytes(4)  # noqa: S311  # no secret
        if not self.outbox.offer(b"\x89\x04" + payload):
            return False
        self._connection.asked = payload
        return True


class WebSockets:
    """Serves WebSocket handshakes that passed the listener's checks."""

    def __init__(self, settings: Settings, connections: Connections, metrics: Metrics) -> None:
        self._settings = settings
        self._connections = connections
        self._metrics = metrics
        self.pulse = Pulse(settings.ping_interval, settings.pong_timeout)

    async def open(
        self, stream: ServerStream, head: Head, route: WebSocketRoute, params: Mapping[str, str], address: str
    ) -> Life:
        """Answer the handshake; returns the life of the connection from then on.

        :raises BadHead: wsproto finds something wrong with the handshake that we did not.
        """
        wire = Wire(route.max_message or self._settings.max_message, route.codes, route.max_fragments)
        try:
            wire.receive_data(head.raw)
        except wsproto.utilities.RemoteProtocolError as error:
            raise BadHead("the WebSocket handshake is malformed") from error
        connection = WireConnection(stream, wire)
        websocket = WebSocket(connection, stream, self.pulse, route, params, head, self._settings)
        with trio.fail_after(self._settings.handshake_timeout):
            await connection.accept(route.subprotocols)
            await stream.outbox.drained()
        # Only now: frames that came with the handshake are frames, and not more of the handshake.
        stream.spawn(websocket._guard, connection.read)
        return websocket.serve(self._connections, self._metrics, address)

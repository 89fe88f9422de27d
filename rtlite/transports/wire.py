"""RFC 6455 by trio-websocket and wsproto, with limits, and with little in memory while nothing comes.

Most connections are idle most of the time. Of what the two libraries hold for each, 11 KiB,
a third of one is left here: the handshake's state goes once it is over, wsproto's between two
messages, and what only clients or tests use is shared by all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

import trio
import trio_websocket
import wsproto
import wsproto.events
import wsproto.utilities
from wsproto.connection import Connection, ConnectionState, ConnectionType

from rtlite.errors import CloseCode, Reason
from rtlite.transports.mailbox import Mailbox, Signal, Turns
from rtlite.transports.pulse import Beat

MAX_FRAGMENTS: Final = 1024
_SMALL: Final = 64  # bytes; a message that comes in thousands of pieces smaller than this is an attack on the memory
_UNLIMITED: Final = 2**62
_READ: Final = 4096
_NO_PINGS: Final[OrderedDict[bytes, trio.Event]] = OrderedDict()
_UNWATCHED: Final = Signal()  # shared: events that nobody waits for
_HANDLERS: Final[dict[type, str]] = {
    wsproto.events.TextMessage: "_handle_message_event",
    wsproto.events.BytesMessage: "_handle_message_event",
    wsproto.events.Ping: "_handle_ping_event",
    wsproto.events.Pong: "_handle_pong_event",
    wsproto.events.CloseConnection: "_handle_close_connection_event",
}


class Wire(wsproto.WSConnection):
    """wsproto, with limits to a message, and with an answer to whatever breaks a rule.

    A broken rule is given to trio-websocket as a close frame that came with the right code:
    it answers with that code and ends, so that the peer learns why (RFC 6455, section 7.1.7).
    After either side's close frame, only the other's counts (section 5.5.1).

    :param max_message: bytes. trio-websocket's own limit does not see empty fragments.
    """

    def __init__(self, max_message: int, codes: Callable[[CloseCode], int], max_fragments: int = MAX_FRAGMENTS) -> None:
        super().__init__(ConnectionType.SERVER)
        self.limit = max_message
        self._max_fragments = max_fragments
        self._codes = codes
        self._frames = self._pieces = self._size = 0
        self._open = False
        self.broken: Reason | None = None

    def opened(self) -> None:
        """The handshake is answered: its state machine is not needed any more, 5 KiB for each connection."""
        self._open = True
        self.connection = None
        del self.handshake

    @property
    def state(self) -> ConnectionState:
        if self._open:
            return ConnectionState.OPEN if self.connection is None else self.connection.state
        return super().state

    def send(self, event: wsproto.events.Event) -> bytes:
        if not self._open:
            return super().send(event)
        data = self._awake().send(event)
        self._rest()
        return data

    def receive_data(self, data: bytes | None) -> None:
        if self._open:
            self._awake().receive_data(data)
        else:
            super().receive_data(data)

    def events(self) -> Any:
        if not self._open:
            yield from super().events()
        elif self.connection is not None:
            yield from self._checked(self.connection.events())
            self._rest()

    def _awake(self) -> Connection:
        """wsproto's state: as it was left within a message, else as it is at the start."""
        if self.connection is None:
            self.connection = Connection(ConnectionType.SERVER)
        return self.connection

    def _rest(self) -> None:
        """Between two messages there is nothing to remember: 1.7 KiB, and 2 µs to make it again."""
        connection = self.connection
        if connection is not None and connection._state is ConnectionState.OPEN and not connection._events:
            decoder = connection._proto._frame_decoder
            if decoder.header is None and not decoder.buffer and connection._proto._message_decoder.opcode is None:
                self.connection = None

    def _checked(self, events: Iterator[wsproto.events.Event]) -> Iterator[wsproto.events.Event]:
        for event in events:
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
        self._awake()._state = ConnectionState.REMOTE_CLOSING

    def _too_much(self, event: wsproto.events.Message[Any]) -> Reason | None:
        """A message may be large or come in many pieces, but neither without end."""
        data = event.data
        self._size += len(data) if not isinstance(data, str) or data.isascii() else len(data.encode())
        self._pieces += 1  # a frame comes in as many as there were reads
        self._frames += event.frame_finished
        if self._size > self.limit:
            return Reason.TOO_BIG
        most = self._max_fragments
        if self._frames > most or self._pieces > max(most, self._size // _SMALL):
            return Reason.ABUSE
        if event.message_finished:
            self._frames = self._pieces = self._size = 0
        return None


class WireConnection(trio_websocket.WebSocketConnection):
    """trio-websocket's connection, of a server.

    :ivar asked: the payload of the ping that was sent last, until it is answered.
    :ivar beat: learns that it was answered.
    """

    def __init__(self, stream: trio.abc.Stream, wire: Wire) -> None:
        super().__init__(stream, wire, message_queue_size=1, max_message_size=_UNLIMITED, receive_buffer_size=_READ)
        self._wire = wire
        self.asked: bytes | None = None
        self.beat: Beat | None = None

    async def accept(self, subprotocols: tuple[str, ...]) -> None:
        """Answer the handshake that the wire was fed. Of ``subprotocols``, the first that is offered is chosen."""
        for event in self._wire.events():
            await self._handle_request_event(event)
        request = await self._get_request()
        offered = request.proposed_subprotocols
        await request.accept(subprotocol=next((name for name in subprotocols if name in offered), None))
        self._wire.opened()
        self._path, self._handshake_headers = "", ()  # a copy of the head, of which we have our own
        self._pings = _NO_PINGS  # our pings are not of its making
        self._open_handshake = self._for_testing_peer_closed_connection = _UNWATCHED  # type: ignore[assignment]
        self._close_handshake = Signal()  # type: ignore[assignment]
        self._stream_lock = Turns()  # type: ignore[assignment]
        self._send_channel = self._recv_channel = Mailbox(self._gone)  # type: ignore[assignment]

    def _gone(self) -> Exception:
        return trio_websocket.ConnectionClosed(self._close_reason)

    def get_message(self) -> Coroutine[Any, Any, str | bytes]:
        """The next message. :raises trio_websocket.ConnectionClosed: no more will come."""
        return self._recv_channel.receive()

    def allow(self, max_message: int) -> None:
        """Take messages of so many bytes from now on."""
        self._wire.limit = max_message

    @property
    def broken(self) -> Reason | None:
        """The rule that the peer broke, if it did."""
        return self._wire.broken

    async def over(self) -> None:
        """Wait until the closing handshake is done, or the peer is gone."""
        await self._close_handshake.wait()

    async def read(self) -> None:
        """Read until the end, as trio-websocket does, whose table of handlers is a kilobyte for each connection."""
        try:
            while self._reader_running:
                await self._handle_events()
                try:
                    data = await self._stream.receive_some(_READ)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._abort_web_socket()
                    return
                if not data:
                    if self._wire.state is not ConnectionState.CLOSED:
                        await self._abort_web_socket()
                    return
                if self._wire.state is not ConnectionState.CLOSED:
                    self._wire.receive_data(bytes(data))
        finally:
            await self._send_channel.aclose()

    async def _handle_events(self) -> None:
        for event in self._wire.events():
            try:
                await getattr(self, _HANDLERS[type(event)])(event)
            except trio_websocket.ConnectionClosed:
                self._reader_running = False
                return

    async def _handle_pong_event(self, event: wsproto.events.Pong) -> None:
        if self.asked is not None and event.payload == self.asked:
            self.asked = None
            if self.beat is not None:
                self.beat.answered()

"""Socket.IO 5: namespaces, and the clients in them. How to write one::

    from rtlite.endpoints.socketio import Socket

    echo = rtlite.Namespace("/echo")

    @echo.on_connect
    async def connect(socket: Socket) -> None:       # raise rtlite.ConnectRefused to answer CONNECT_ERROR
        await socket.emit("auth", socket.auth)

    @echo.on("message")
    async def message(socket: Socket, *args: Any) -> tuple[Any, ...]:
        await socket.emit("message-back", *args)
        return args                                  # the acknowledgement, if the client asked for one

    async with rtlite.open(namespaces=[echo]): ...

Handlers of one client run one after the other, in the order of its events; ``bytes`` in
what is emitted or acknowledged go as attachments. ``await socket.call("question")`` is an
event that wants an acknowledgement, and returns what it says.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import trio

from rtlite.auth.throttle import Bucket
from rtlite.endpoints.enginesockets import EngineSocket
from rtlite.errors import InvalidRequest, Overloaded, Reason, Refused, StartError
from rtlite.log import get_logger
from rtlite.protocols.socketio import Assembler, Packet, Type, encode
from rtlite.settings import Settings
from rtlite.transports.link import Link
from rtlite.transports.websocket import binary_frame, text_frame

log = get_logger(__name__)

_WAITING: Final = 16  # events of a client that wait for a handler; then it is read no further
_MAX_CONNECTS: Final = 1000  # over the life of a connection, each of which it remembers
_MAX_CALLS: Final = 1000  # acknowledgements that a client owes us
_STAY_AWAY: Final = frozenset(
    {
        Reason.UNAUTHORIZED,
        Reason.FORBIDDEN,
        Reason.REVOKED,
        Reason.EXPIRED,
        Reason.ABUSE,
        Reason.TOO_BIG,
        Reason.CLOSED_BY_OPERATOR,
    }
)
"""What no reconnect mends: the client is disconnected from its namespaces, after which it does not come back."""
_UNSAID: Final = frozenset({Reason.NORMAL, Reason.STOPPING, Reason.NO_PONG, Reason.FAULT})


class ConnectRefused(Exception):
    """Raised by an ``on_connect`` handler: the client gets a CONNECT_ERROR with this message and data."""

    def __init__(self, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


Connecting = Callable[["Socket"], Awaitable[None]]
Handler = Callable[..., Awaitable[Any]]


class Namespace:
    """What clients can connect to by its name, and what happens with their events."""

    def __init__(self, name: str = "/") -> None:
        self.name = name
        self.connecting: Connecting | None = None
        self.handlers: dict[str, Handler] = {}

    def on_connect(self, handler: Connecting) -> Connecting:
        """Run this for each client that connects; what it emits comes after the answer to the client's CONNECT."""
        self.connecting = handler
        return handler

    def on(self, event: str) -> Callable[[Handler], Handler]:
        """Run this for each event of that name, with the socket and the event's arguments.

        What it returns is the acknowledgement's arguments: a tuple as it is, ``None`` as none. A
        :class:`~rtlite.errors.Refused` that it raises reaches the client as an ``error`` event.
        """

        def register(handler: Handler) -> Handler:
            self.handlers[event] = handler
            return handler

        return register


class Socket:
    """One client in one namespace.

    :ivar id: its id there; :ivar auth: what it sent with CONNECT.
    :ivar recovered: whether it goes on where it was cut off.
    """

    def __init__(self, client: SocketIOClient, namespace: Namespace, auth: Mapping[str, Any], id: str) -> None:
        self._client = client
        self.namespace = namespace
        self.auth = auth
        self.id = id
        self.recovered = False
        self.connected = False
        self._calls: dict[int, tuple[trio.Event, list[Any]]] = {}
        self._called = 0
        self._callbacks: list[Callable[[], None]] = []
        self._events: trio.MemorySendChannel[Packet] | None = None

    @property
    def link(self) -> Link:
        """The connection: its request, its outbox, its tasks."""
        return self._client.link

    @property
    def query(self) -> Mapping[str, str]:
        """The query of the connection's URL."""
        return self._client.link.head.query

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """Call this once the client has left the namespace, or its connection has ended."""
        self._callbacks.append(callback)

    def accept(self, **more: str) -> bytes:
        """Let the client in: the frame that says so, for who sends it together with something else."""
        self.connected = True
        return self.frames(Type.CONNECT, {"sid": self.id, **more})

    async def emit(self, event: str, *args: Any) -> None:
        """Send an event, once there is room. :raises trio.BrokenResourceError: the client is gone."""
        await self._send(Type.EVENT, [event, *args])

    async def call(self, event: str, *args: Any, timeout: float = 10.0) -> list[Any]:
        """Send an event and wait for its acknowledgement; returns the arguments of that.

        :raises trio.TooSlowError: it did not come in ``timeout`` seconds.
        :raises Overloaded: very many have not come yet.
        """
        if len(self._calls) >= _MAX_CALLS:
            raise Overloaded("the client acknowledges nothing")
        number, self._called = self._called, self._called + 1
        arrived, answer = self._calls[number] = trio.Event(), []
        try:
            with trio.fail_after(timeout):
                await self._send(Type.EVENT, [event, *args], number)
                await arrived.wait()
        finally:
            self._calls.pop(number, None)
        return answer

    async def disconnect(self) -> None:
        """Put the client out of the namespace; it does not come back by itself."""
        if self.connected:
            await self._send(Type.DISCONNECT)
            self._client.leave(self)

    def frames(self, type: Type, data: Any = None, id: int | None = None) -> bytes:
        """A packet as frames, the attachments right behind it."""
        return framed(Packet(type, self.namespace.name, data, id))

    async def _send(self, type: Type, data: Any = None, id: int | None = None) -> None:
        await self._client.accepted(self)
        if self.connected:
            await self.link.outbox.send(self.frames(type, data, id))

    def acknowledged(self, packet: Packet) -> None:
        """The client answers a call. What nobody waits for any more is nothing."""
        call = self._calls.pop(-1 if packet.id is None else packet.id, None)
        if call is not None:
            call[1].extend(packet.data)
            call[0].set()

    async def happened(self, packet: Packet) -> None:
        """The client sent an event: its handler runs after those of the events before."""
        if packet.data[0] not in self.namespace.handlers:
            await trio.lowlevel.checkpoint()
            return
        if self._events is None:
            self._events, receive = trio.open_memory_channel[Packet](_WAITING)
            self.link.spawn(self._handle, receive)
        await self._events.send(packet)

    async def _handle(self, events: trio.MemoryReceiveChannel[Packet]) -> None:
        async for packet in events:
            name, *args = packet.data
            try:
                answer = await self.namespace.handlers[name](self, *args)
            except Refused as refusal:
                await self.emit("error", {"code": refusal.code, "message": refusal.detail})
                continue
            if packet.id is not None:
                if not isinstance(answer, tuple):
                    answer = () if answer is None else (answer,)
                await self._send(Type.ACK, list(answer), packet.id)

    def left(self) -> None:
        """The client is not in the namespace any more. Idempotent."""
        self.connected = False
        if self._events is not None:
            self._events.close()
            self._events = None
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


def framed(packet: Packet) -> bytes:
    text, *attachments = encode(packet)
    return text_frame(text) + b"".join(map(binary_frame, attachments))


class SocketIO:
    """The namespaces, as the application of an :class:`~rtlite.endpoints.engine.Engine`.

    :raises StartError: two have the same name, or one has none that begins with ``/``.
    """

    def __init__(self, namespaces: Sequence[Namespace], settings: Settings) -> None:
        self.namespaces: dict[str, Namespace] = {}
        self.settings = settings
        for namespace in namespaces:
            if not namespace.name.startswith("/") or namespace.name in self.namespaces:
                taken = "served already" if namespace.name in self.namespaces else "no name of a namespace"
                raise StartError(f"namespaces: {namespace.name} is {taken}")
            self.namespaces[namespace.name] = namespace

    def converse(self, engine: EngineSocket) -> Awaitable[None]:
        """One connection, to its end."""
        return SocketIOClient(self, engine).run()


class SocketIOClient:
    """One connection, and the sockets of its namespaces."""

    def __init__(self, server: SocketIO, engine: EngineSocket) -> None:
        self._namespaces = server.namespaces
        self._settings = settings = server.settings
        self._engine = engine
        self.link = engine.link
        self._sockets: dict[str, Socket] = {}
        self._connects = 0
        self._assembler = Assembler(
            settings.socketio_max_attachments, settings.socketio_max_payload, self._sockets.__contains__
        )
        self._rate = Bucket(settings.command_rate, settings.command_burst, clock=trio.current_time)

    async def run(self) -> None:
        self.link.on_end(self._say_goodbye)
        deadline = trio.current_time() + self._settings.socketio_connect_timeout
        while True:
            if deadline == math.inf:  # no scope then: each idle connection would have one
                await self._take(await self._engine.receive())
            elif not await self._take_by(deadline):
                break
            deadline = self._deadline(deadline)
        self.link.end(Reason.ABUSE if self._assembler.waiting else Reason.NORMAL)

    async def _take_by(self, deadline: float) -> bool:
        """Take the next message, if it is here and done by then."""
        with trio.CancelScope(deadline=deadline) as patience:
            await self._take(await self._engine.receive())
        return not patience.cancelled_caught

    def _deadline(self, last: float) -> float:
        """When the next message has to be here and done, if it has to."""
        if self._assembler.waiting:
            return min(last, trio.current_time() + self._settings.socketio_attachment_timeout)
        if self._sockets:
            self._engine.settled = True
            return math.inf
        return trio.current_time() + self._settings.socketio_connect_timeout if last == math.inf else last

    async def _take(self, message: str | bytes) -> None:
        """One message. :raises InvalidRequest: it is not one that may come now."""
        if wait := self._rate.take():  # who sends too fast is read more slowly
            await trio.sleep(wait)
            self._rate.take()
        packet = self._assembler.feed(message)
        if packet is None:
            return
        socket = self._sockets.get(packet.namespace)
        if packet.type is Type.CONNECT:
            if socket is not None:
                raise InvalidRequest("this namespace is connected already")
            await self._connect(packet)
        elif packet.type is Type.DISCONNECT:
            if socket is not None:
                self.leave(socket)
        elif socket is None:
            raise InvalidRequest("this namespace is not connected")
        elif packet.type is Type.EVENT:
            await socket.happened(packet)
        else:
            socket.acknowledged(packet)

    async def _connect(self, packet: Packet) -> None:
        name, _, _ = packet.namespace.partition("?")  # clients of version 3 put a query there
        namespace = self._namespaces.get(name)
        if namespace is None:
            await self._refuse(packet.namespace, ConnectRefused("Invalid namespace"))
            return
        self._connects += 1
        if self._connects > _MAX_CONNECTS:
            self.link.end(Reason.RATE_LIMITED)
            await trio.lowlevel.checkpoint()  # the scope is cancelled: the connection ends here
        socket = Socket(self, namespace, packet.data or {}, secrets.token_urlsafe(15))
        self._sockets[name] = socket
        try:
            if namespace.connecting is not None:
                await namespace.connecting(socket)
            await self.accepted(socket)
        except ConnectRefused as refusal:
            self.leave(socket)
            await self._refuse(name, refusal)
        self.link.fold()

    async def accepted(self, socket: Socket) -> None:
        """What is said to a client comes after it was let in."""
        if not socket.connected and self._sockets.get(socket.namespace.name) is socket:
            await self.link.outbox.send(socket.accept())

    async def _refuse(self, namespace: str, refusal: ConnectRefused) -> None:
        data = {"message": refusal.message} | ({} if refusal.data is None else {"data": refusal.data})
        await self.link.outbox.send(framed(Packet(Type.CONNECT_ERROR, namespace, data)))

    def leave(self, socket: Socket) -> None:
        """The socket's namespace is not connected any more."""
        if self._sockets.get(socket.namespace.name) is socket:
            del self._sockets[socket.namespace.name]
        socket.left()

    def _say_goodbye(self) -> None:
        """The connection ends: each namespace hears why, and whether to come back."""
        reason = self.link.reason or Reason.NORMAL
        for socket in list(self._sockets.values()):
            if socket.connected and reason not in _UNSAID:
                said = {"code": reason.name.lower(), "message": reason.value.text}
                self.link.outbox.offer(socket.frames(Type.EVENT, ["error", said]))
                if reason in _STAY_AWAY:
                    self.link.outbox.offer(socket.frames(Type.DISCONNECT))
            self.leave(socket)

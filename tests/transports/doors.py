"""A listener without a database, and a peer that writes and reads byte by byte.

With memory streams under both, time is Trio's autojump clock: ten seconds of silence
take none. What needs a kernel (file descriptors, resets, TLS) uses ``tests.servers``.
"""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import attrs
import orjson
import trio
import trio.testing

from rtlite.auth.gate import Gate
from rtlite.auth.keyring import Keyring
from rtlite.auth.tickets import Tickets
from rtlite.auth.tokens import Tokens
from rtlite.metrics import Metrics
from rtlite.model import Kind
from rtlite.settings import Settings
from rtlite.transports.connections import Connections
from rtlite.transports.eventstream import EventStreamRoute, EventStreams
from rtlite.transports.hotlane import HotLane
from rtlite.transports.http import HttpServer, make_app
from rtlite.transports.lean import LeanLane
from rtlite.transports.listener import Listener
from rtlite.transports.longpoll import LongPollRoute, LongPolls
from rtlite.transports.routes import Access, Call, Reply, Route, Router, json_reply
from rtlite.transports.uploads import Uploads
from rtlite.transports.websocket import WebSocket, WebSocketRoute, WebSockets
from tests.servers import InProcess, running_server

SECRET = "x" * 40
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = base64.b64encode(bytes(range(16))).decode()


def head(start: str, **headers: str) -> bytes:
    """A request head: ``head("GET /", Upgrade="websocket")``; underscores become dashes. ``Host`` is ``localhost``."""
    lines = [f"{start} HTTP/1.1", f"Host: {headers.pop('Host', 'localhost')}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def post(path: str, body: bytes | dict[str, Any] = b"{}", **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return head(f"POST {path}", Content_Length=str(len(content)), **headers) + content


def handshake(path: str, **headers: str) -> bytes:
    chosen = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": KEY,
        **headers,
    }
    return head(f"GET {path}", **{name: value for name, value in chosen.items() if value})


def frame(payload: bytes | str = b"", opcode: int = TEXT, *, fin: bool = True, masked: bool = True) -> bytes:
    """A client's frame. The mask is zero, so that the payload reads as it is."""
    data = payload.encode() if isinstance(payload, str) else payload
    first, mask = (0x80 if fin else 0) | opcode, 0x80 if masked else 0
    if len(data) < 126:
        start = struct.pack("!BB", first, mask | len(data))
    elif len(data) < 65536:
        start = struct.pack("!BBH", first, mask | 126, len(data))
    else:
        start = struct.pack("!BBQ", first, mask | 127, len(data))
    return start + (bytes(4) if masked else b"") + data


def close_frame(code: int = 1000) -> bytes:
    return frame(struct.pack("!H", code), CLOSE)


@attrs.frozen
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        """The ``code`` of a problem."""
        assert self.headers["content-type"] == "application/problem+json", self
        assert self.json["status"] == self.status
        return str(self.json["code"])


class Peer:
    """The other end of a connection."""

    opened: ClassVar[list[Peer]] = []

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._read = bytearray()
        self.opened.append(self)

    async def send(self, *data: bytes) -> None:
        await self.stream.send_all(b"".join(data))

    async def _more(self) -> None:
        data = await self.stream.receive_some(65536)
        if not data:
            raise EOFError(f"the connection ended after {bytes(self._read[:200])!r}")
        self._read += data

    async def exactly(self, count: int) -> bytes:
        with trio.fail_after(200):
            while len(self._read) < count:
                await self._more()
        taken = bytes(self._read[:count])
        del self._read[:count]
        return taken

    async def until(self, separator: bytes) -> bytes:
        with trio.fail_after(200):
            while (end := self._read.find(separator)) < 0:
                await self._more()
        return await self.exactly(end + len(separator))

    async def answer(self, *, bodiless: bool = False, streaming: bool = False) -> Answer:
        """The next HTTP answer. ``bodiless``: to a HEAD; ``streaming``: the body may have no stated length."""
        lines = (await self.until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        status = int(lines[0].split(" ")[1])
        if bodiless or status in {100, 101, 204, 304} or (streaming and "content-length" not in headers):
            return Answer(status, headers, b"")
        return Answer(status, headers, await self.exactly(int(headers["content-length"])))

    async def frame(self) -> tuple[int, bytes]:
        """The next frame from the server: opcode and payload."""
        first, length = await self.exactly(2)
        assert first & 0x80 and length < 128, "the server sends whole, unmasked frames"
        if length == 126:
            (length,) = struct.unpack("!H", await self.exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self.exactly(8))
        return first & 0x0F, await self.exactly(length)

    async def text(self) -> bytes:
        """The next text message; pings are passed over."""
        while True:
            opcode, payload = await self.frame()
            if opcode == TEXT:
                return payload
            assert opcode in {PING, PONG}, (opcode, payload)

    async def close_code(self) -> int:
        """The close code, after whatever else comes; it is not answered."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                return int(struct.unpack("!H", payload[:2])[0])

    async def ended(self) -> bytes:
        """What comes until the connection ends, also by a reset."""
        with trio.fail_after(200):
            try:
                while True:
                    await self._more()
            except (EOFError, trio.BrokenResourceError):
                await trio.testing.wait_all_tasks_blocked()  # the server has put everything away
                return bytes(self._read)

    async def upgrade(self, path: str, **headers: str) -> Answer:
        await self.send(handshake(path, **headers))
        answer = await self.answer()
        await trio.testing.wait_all_tasks_blocked()  # the connection is listed
        return answer


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[InProcess]:
    """A whole server in this process; the peers that are open at the end vanish before it stops."""
    async with running_server(**settings) as server:
        try:
            yield server
        finally:
            for peer in Peer.opened:
                await trio.aclose_forcefully(peer.stream)
            Peer.opened.clear()


async def tcp(server: InProcess, receive_buffer: int = 0) -> Peer:
    """A connection over TCP, to the end of the server's block; ``receive_buffer`` is the kernel's, in bytes."""
    sock = trio.socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await sock.connect(("127.0.0.1", server.port))
    stream = trio.SocketStream(sock)
    server._stack.push_async_callback(trio.aclose_forcefully, stream)
    return Peer(stream)


async def echo(call: Call) -> Reply:
    """An endpoint that says what it was called with."""
    return json_reply(
        {
            "method": call.method,
            "params": dict(call.params),
            "query": dict(call.query),
            "body": call.body.decode("utf-8", "replace"),
            "address": call.address,
            "scheme": call.scheme,
            "user": call.identity.user,
        }
    )


async def listen(websocket: WebSocket) -> None:
    """An endpoint that answers each message with its length."""
    while True:
        message = await websocket.receive()
        websocket.send(str(len(message)).encode())


def route(method: str, pattern: str, handler: Callable[[Call], Awaitable[Reply]] = echo, **options: Any) -> Route:
    return Route(method, pattern, handler, "for tests", **{"access": Access.PUBLIC, **options})


def websocket_route(pattern: str, endpoint: Callable[[WebSocket], Awaitable[None]] = listen) -> WebSocketRoute:
    return WebSocketRoute(pattern, "test", endpoint, lambda row: row.blog)


ROUTES = [
    route("GET", "/echo"),
    route("POST", "/echo"),
    route("POST", "/lean", lean=True),
    route("GET", "/things/{name}"),
    route("PUT", "/things/{name}"),
]


class Door:
    """A listener, and connections to it through memory."""

    def __init__(
        self, listener: Listener, connections: Connections, gate: Gate, metrics: Metrics, nursery: trio.Nursery
    ) -> None:
        self.listener = listener
        self.connections = connections
        self.gate = gate
        self.metrics = metrics
        self.nursery = nursery
        self.sockets: list[trio.socket.SocketType] = []

    def connect(self) -> Peer:
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.listener.serve_stream, theirs)
        return Peer(ours)

    def connect_socket(self) -> Peer:
        """Through a pair of sockets: with descriptors, as the hot lane wants them."""
        ours, theirs = (trio.SocketStream(trio.socket.from_stdlib_socket(end)) for end in socket.socketpair())
        self.sockets.append(ours.socket)
        self.nursery.start_soon(self.listener.serve_stream, theirs)
        return Peer(ours)

    def answered(self, lane: str) -> float:
        """Answers that a lane gave."""
        return sum(
            sample.value
            for metric in self.metrics.requests.collect()
            for sample in metric.samples
            if sample.name.endswith("_total") and sample.labels["lane"] == lane
        )

    def faults(self) -> float:
        return self.metrics.faults._value.get()


@asynccontextmanager
async def open_door(
    routes: Sequence[Route] = ROUTES,
    websockets: Sequence[WebSocketRoute] = (),
    streams: Sequence[EventStreamRoute] = (),
    polls: Sequence[LongPollRoute] = (),
    **options: Any,
) -> AsyncIterator[Door]:
    """A listener with these routes; ``/ws`` answers each message with its length. The key is ``rtk_test``."""
    settings = Settings(**options)
    metrics = Metrics()
    keyring = Keyring(None)  # type: ignore[arg-type]  # a fixed key is never stored
    await keyring.create(Kind.ADMIN, "root", secret="rtk_test")
    gate = Gate(settings, keyring, Tokens(settings, SECRET), Tickets(settings.ticket_lifetime), metrics)
    websockets = [*websockets, websocket_route("/ws")]
    router = Router(routes, gate, settings, metrics, [route.pattern for route in websockets])
    connections = Connections(settings.max_connections, metrics)
    lean = LeanLane(router, settings)
    hot = HotLane(router, lean, settings)
    listener = Listener(
        settings,
        metrics,
        HttpServer(make_app(router), settings),
        lean,
        Uploads(router, lean, settings, connections),
        hot,
        WebSockets(settings, connections, metrics),
        websockets,
        EventStreams(list(streams), lean, settings, connections, metrics),
        LongPolls(list(polls), lean, settings, metrics),
    )
    async with trio.open_nursery() as outer:
        outer.start_soon(hot.run)
        outer.start_soon(listener.run)
        async with trio.open_nursery() as nursery:
            door = Door(listener, connections, gate, metrics, nursery)
            yield door
            nursery.cancel_scope.cancel()
        for end in door.sockets:
            end.close()
        outer.cancel_scope.cancel()

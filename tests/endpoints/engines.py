"""An Engine.IO server over memory, for Trio's autojump clock, and a client that polls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import orjson
import trio
import trio.testing

from rtlite.endpoints.engine import Engine
from rtlite.endpoints.enginesockets import Application, EngineSocket
from rtlite.protocols import engineio
from rtlite.settings import Settings
from rtlite.transports.longpoll import LongPollRoute, Poll
from rtlite.transports.routes import Reply
from rtlite.transports.websocket import WebSocket, WebSocketRoute, binary_frame, text_frame
from tests.transports.doors import Answer, Door, Peer, frame, head, open_door


async def echo(engine: EngineSocket) -> None:
    """Say each message back."""
    while True:
        message = await engine.receive()
        frame = binary_frame(message) if isinstance(message, bytes) else text_frame(b"4" + message.encode())
        await engine.link.outbox.send(frame)


@attrs.define
class Polling:
    """A client that polls, on a connection of its own for each request."""

    door: Door
    sid: str = ""
    path: str = "/engine.io/"
    more: str = ""
    rest: list[str | bytes] = attrs.field(factory=list)
    """Packets that came with the handshake."""

    async def open(self) -> dict[str, object]:
        """Shake hands; returns what the server said."""
        packets = await self.poll()
        shaken = orjson.loads(packets[0][1:])
        self.rest = packets[1:]
        self.sid = shaken["sid"]
        return shaken

    async def poll(self) -> list[str | bytes]:
        """The packets of the next answer."""
        if self.rest:
            rest, self.rest = self.rest, []
            return rest
        answer = await self.get()
        assert answer.status == 200, answer
        return engineio.decode_payload(answer.body, 1000)

    async def get(self, peer: Peer | None = None) -> Answer:
        return await self.request("GET", peer=peer)

    async def post(self, body: bytes) -> Answer:
        return await self.request("POST", body)

    async def request(self, method: str, body: bytes | None = None, peer: Peer | None = None) -> Answer:
        peer = peer or self.door.connect()
        length = {} if body is None else {"Content_Length": str(len(body))}
        await peer.send(head(f"{method} {self.target()}", **length) + (body or b""))
        return await peer.answer()

    def target(self, transport: str = "polling") -> str:
        sid = f"&sid={self.sid}" if self.sid else ""
        return f"{self.path}?EIO=4&transport={transport}{sid}{self.more}"

    async def upgraded(self) -> Peer:
        """Change over to a WebSocket, as clients do: probe, let the poll end, upgrade."""
        peer = await self.websocket()
        await say(peer, "2probe")
        assert await peer.text() == b"3probe"
        assert await self.poll() == ["6"]
        await say(peer, "5")
        await trio.testing.wait_all_tasks_blocked()
        return peer

    async def websocket(self) -> Peer:
        peer = self.door.connect()
        answer = await peer.upgrade(self.target("websocket"))
        assert answer.status == 101, answer
        return peer


async def say(peer: Peer, *messages: str) -> None:
    await peer.send(*(frame(message) for message in messages))


@asynccontextmanager
async def engine_door(application: Application = echo, **options: object) -> AsyncIterator[Door]:
    """A door with Engine.IO at ``/engine.io/``; pings every 25 s, and 20 s for the answer."""
    found: list[Engine] = []

    async def answer(poll: Poll) -> Reply:
        return await found[0].long_polls()[0].answer(poll)

    def refuse(head: object) -> Reply | None:
        return found[0]._refuse(head)  # type: ignore[arg-type]

    async def converse(websocket: WebSocket) -> None:
        await found[0]._converse(websocket)

    route = WebSocketRoute("/engine.io/", "socketio", converse, max_message=1_000_000, pings=False)
    route = attrs.evolve(route, refuse=refuse)
    async with (
        open_door(websockets=[route], polls=[LongPollRoute("/engine.io/", answer)], **options) as door,
        trio.open_nursery() as nursery,
    ):
        found.append(Engine("/engine.io", application, Settings(**options), door.connections, door.metrics))  # type: ignore[arg-type]
        await nursery.start(found[0].run)
        yield door
        nursery.cancel_scope.cancel()

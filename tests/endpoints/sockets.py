"""Clients of the command sockets, and a door to both whose time is Trio's autojump clock.

That door has a real hub, and no database: only kinds without history, so that nothing waits
for a thread while the clock jumps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import orjson
import trio
import trio.testing

from rtlite.domain.access import Access
from rtlite.domain.models import Models
from rtlite.domain.streams import Streams
from rtlite.endpoints.commands import CommandsEndpoint
from rtlite.endpoints.dialogue import Dialogues
from rtlite.endpoints.events import EventsEndpoint
from rtlite.endpoints.sessions import Sessions
from rtlite.hub.hub import Hub
from rtlite.metrics import Metrics
from rtlite.model import NewEvent, Role
from rtlite.settings import KindSettings, Settings
from rtlite.store.events import last_sequence
from rtlite.transports.connections import Connections
from rtlite.transports.websocket import WebSocket, WebSocketRoute
from tests.servers import InProcess
from tests.transports.doors import CLOSE, TEXT, Door, Peer, frame, open_door, tcp

PASSING = {kind: KindSettings(history=False) for kind in ("live", "notifications")}


class Client:
    """A client that speaks JSON; ``name`` is the socket's: ``/ws`` nests what ``/_events`` has flat."""

    def __init__(self, peer: Peer, name: str) -> None:
        self.peer = peer
        self.nested = name == "/ws"

    async def say(self, type: str, *, id: Any = None, **fields: Any) -> None:
        """Send a request, in this socket's shape."""
        if "event_id" in fields:
            fields["id" if self.nested else "eventId"] = fields.pop("event_id")
        message = {"type": type} | ({"data": fields} if self.nested else fields) | ({} if id is None else {"id": id})
        await self.raw(orjson.dumps(message))

    async def raw(self, text: bytes | str) -> None:
        await self.peer.send(frame(text))

    async def hear(self) -> dict[str, Any]:
        """The next message, as it is."""
        return orjson.loads(await self.peer.text())

    async def answer(self) -> dict[str, Any]:
        """The next message that is no event, flat whatever the socket."""
        message = await self.hear()
        if self.nested and "channel" not in message:
            data = message.pop("data")
            message |= {"eventId" if name == "id" else name: value for name, value in data.items()}
        elif not self.nested and message["type"] != "presence":  # the fields once more, as an event has its data
            assert message.pop("event") == message["type"]
            assert message.pop("data").items() <= message.items()
        return message

    async def ask(self, type: str, *, id: Any = None, **fields: Any) -> dict[str, Any]:
        await self.say(type, id=id, **fields)
        return await self.answer()

    async def ended(self) -> tuple[list[dict[str, Any]], int]:
        """What else comes, and the close code."""
        messages = []
        while True:
            opcode, payload = await self.peer.frame()
            if opcode == CLOSE:
                return messages, int.from_bytes(payload[:2], "big")
            if opcode == TEXT:
                messages.append(orjson.loads(payload))


async def connected(server: InProcess, path: str, secret: str, query: str = "") -> Client:
    """A client of a real server; of ``/ws`` the greeting is read."""
    peer = await tcp(server)
    assert (await peer.upgrade(f"{path}?token={secret}{query}")).status == 101
    client = Client(peer, path)
    if client.nested:
        assert (await client.hear())["type"] == "connected"
    return client


class _NoDatabase:
    async def read(self, work: Callable[..., Any]) -> Any:
        return 0 if work is last_sequence else None

    async def write(self, work: Callable[..., Any]) -> None:
        """Last-seen times are not kept."""


@attrs.define
class Scene:
    """The door, what is behind it, and clients for it."""

    door: Door
    hub: Hub
    metrics: Metrics

    def token(self, ttl: float = 3600.0, user: str = "u", subscribe: tuple[str, ...] = ("live:*",)) -> str:
        return self.door.gate._tokens.sign(user, Role.USER, ttl, subscribe, ("live:*",))

    async def client(self, path: str = "/_events", token: str | None = None) -> Client:
        peer = self.door.connect()
        assert (await peer.upgrade(f"{path}?token={token or self.token()}")).status == 101
        client = Client(peer, path)
        if client.nested:
            assert (await client.hear())["type"] == "connected"
        return client

    async def publish(self, channel: str = "live:a", name: str = "tick", data: bytes = b"1") -> None:
        await self.hub.publish(NewEvent(channel, name, data))


@asynccontextmanager
async def scene(**options: Any) -> AsyncIterator[Scene]:
    """``/ws`` and ``/_events`` over memory, for the autojump clock."""
    options = {"channels": PASSING, "ping_interval": 100_000.0, **options}
    settings, metrics, database = Settings(**options), Metrics(), _NoDatabase()
    hub = Hub(database, settings, metrics)  # type: ignore[arg-type]
    models = Models(hub, database, Connections(1, metrics), settings)  # type: ignore[arg-type]
    access = Access(database, settings, Streams(hub, database, settings), models)  # type: ignore[arg-type]
    endpoints: dict[str, Callable[[WebSocket], Awaitable[None]]] = {}

    def route(path: str) -> WebSocketRoute:
        async def converse(websocket: WebSocket) -> None:
            await endpoints[path](websocket)

        return WebSocketRoute(path, path, converse)

    async with open_door(websockets=[route("/ws"), route("/_events")], **options) as door:
        sessions = Sessions(hub, door.gate, access, settings)
        dialogues = Dialogues(hub, sessions, access, settings, metrics)
        endpoints["/ws"] = CommandsEndpoint(dialogues, sessions, access).converse
        endpoints["/_events"] = EventsEndpoint(dialogues).converse
        async with trio.open_nursery() as nursery:
            await nursery.start(hub.committer.run)
            await nursery.start(hub.presence.run)
            yield Scene(door, hub, metrics)
            nursery.cancel_scope.cancel()

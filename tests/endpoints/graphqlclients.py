"""Clients of ``/graphql/ws`` that speak message by message, and a door for them on Trio's autojump clock.

That door has a real hub and no database, as that of :mod:`tests.endpoints.sockets`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import attrs
import orjson
import trio

from rtlite.auth.throttle import Buckets
from rtlite.domain.access import Access
from rtlite.domain.models import Models
from rtlite.domain.streams import Streams
from rtlite.endpoints.graphqlsockets import GraphQLSockets
from rtlite.endpoints.sessions import Sessions
from rtlite.hub.hub import Hub
from rtlite.metrics import Metrics
from rtlite.model import Identity, NewEvent, Role
from rtlite.protocols.graphqldocuments import Documents, Operation
from rtlite.protocols.graphqllimits import Limits
from rtlite.protocols.graphqlws import MAX_STRANGER
from rtlite.settings import KindSettings, Settings
from rtlite.transports.connections import Connections
from rtlite.transports.websocket import WebSocket, WebSocketRoute
from tests.endpoints.sockets import _NoDatabase
from tests.servers import InProcess
from tests.transports.doors import CLOSE, TEXT, Door, Peer, frame, open_door, tcp

PROTOCOL = "graphql-transport-ws"
PATH = "/graphql/ws"
PASSING = {kind: KindSettings(history=False) for kind in ("live", "changes", "jobs", "notifications")}
TICKS = "subscription ($channel: String!, $since: String) { event(channel: $channel, since: $since) { event data } }"
CHANGES = """subscription ($modelKey: String!, $filter: JSON, $since: String) {
  recordChanged(modelKey: $modelKey, filter: $filter, since: $since) { type record { id data } }
}"""


class GraphQLClient:
    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    async def raw(self, text: bytes | str) -> None:
        await self.peer.send(frame(text))

    async def say(self, type: str, **fields: Any) -> None:
        await self.raw(orjson.dumps({"type": type} | fields))

    async def begin(self, id: str, query: str, /, **variables: Any) -> None:
        await self.say("subscribe", id=id, payload={"query": query, "variables": variables})

    async def hear(self) -> dict[str, Any]:
        return orjson.loads(await self.peer.text())

    async def ask(self, id: str, query: str, /, **variables: Any) -> dict[str, Any]:
        """The result of a query or mutation, after which it is complete; or the payload of its error."""
        await self.begin(id, query, **variables)
        message = await self.hear()
        assert message["id"] == id
        if message["type"] == "next":
            assert await self.hear() == {"id": id, "type": "complete"}
        return message["payload"]

    async def init(self, **payload: Any) -> dict[str, Any]:
        """Say who it is; returns what the server says then."""
        await self.say("connection_init", payload=payload)
        message = await self.hear()
        assert message["type"] == "connection_ack"
        return message["payload"]

    async def settled(self) -> list[dict[str, Any]]:
        """Wait until all that was said before is done; returns what was heard meanwhile."""
        await self.say("ping", payload={"settled": 1})
        heard = []
        while (message := await self.hear()) != {"type": "pong", "payload": {"settled": 1}}:
            heard.append(message)
        return heard

    async def ended(self) -> tuple[list[dict[str, Any]], int, str]:
        """What else comes, the close code, and its text."""
        messages = []
        while True:
            opcode, payload = await self.peer.frame()
            if opcode == CLOSE:
                return messages, int.from_bytes(payload[:2], "big"), payload[2:].decode()
            if opcode == TEXT:
                messages.append(orjson.loads(payload))

    async def closed(self) -> int:
        """The close code; nothing else comes before it."""
        messages, code, _ = await self.ended()
        assert messages == []
        return code


async def graphql_client(server: InProcess, receive_buffer: int = 0, **payload: Any) -> GraphQLClient:
    """A client of a real server, who has said who it is."""
    client = GraphQLClient(await tcp(server, receive_buffer))
    assert (await client.peer.upgrade(PATH, Sec_WebSocket_Protocol=PROTOCOL)).status == 101
    await client.init(**payload)
    return client


@attrs.define
class GraphQLScene:
    door: Door
    hub: Hub
    metrics: Metrics
    sockets: GraphQLSockets

    def token(self, ttl: float = 3600.0, user: str = "u", subscribe: tuple[str, ...] = ("live:*",)) -> str:
        return self.door.gate._tokens.sign(user, Role.USER, ttl, subscribe, ())

    async def stranger(self, query: str = "", **headers: str) -> GraphQLClient:
        """One who is connected, and has said nothing yet."""
        client = GraphQLClient(self.door.connect())
        headers = {"Sec_WebSocket_Protocol": PROTOCOL} | headers
        assert (await client.peer.upgrade(PATH + query, **headers)).status == 101
        return client

    async def client(self, token: str | None = None) -> GraphQLClient:
        client = await self.stranger()
        await client.init(authorization=f"Bearer {token or self.token()}")
        return client

    async def publish(self, channel: str = "live:a", name: str = "tick", data: Any = 1) -> None:
        await self.hub.publish(NewEvent(channel, name, orjson.dumps(data)))


@asynccontextmanager
async def graphql_scene(**options: Any) -> AsyncIterator[GraphQLScene]:
    """``/graphql/ws`` over memory. Of queries and mutations, all fields are null."""
    options = {"channels": PASSING, "ping_interval": 100_000.0, **options}
    settings, metrics, database = Settings(**options), Metrics(), _NoDatabase()
    hub = Hub(database, settings, metrics)  # type: ignore[arg-type]
    models = Models(hub, database, Connections(1, metrics), settings)  # type: ignore[arg-type]
    access = Access(database, settings, Streams(hub, database, settings), models)  # type: ignore[arg-type]
    schema = files("rtlite.endpoints").joinpath("schema.graphql").read_text()
    documents = Documents(schema, Limits.of(settings))

    async def answer(identity: Identity, operation: Operation) -> Mapping[str, Any]:
        await trio.lowlevel.checkpoint()
        return operation.answer({root.key: None for root in operation.roots})

    async def opened() -> Documents:
        return documents

    async def ended(channel: str) -> None:
        return None

    doors: list[GraphQLSockets] = []

    async def converse(websocket: WebSocket) -> None:
        await doors[0].converse(websocket)

    route = WebSocketRoute(
        PATH,
        "graphql",
        converse,
        lambda row: row.graphql,
        max_message=min(MAX_STRANGER, settings.max_message),
        subprotocols=(PROTOCOL, "graphql-ws"),
    )
    async with open_door(websockets=[route], **options) as door:
        sessions = Sessions(hub, door.gate, access, settings)
        users = Buckets(settings.user_command_rate, 2 * settings.user_command_rate, clock=trio.current_time)
        doors.append(GraphQLSockets(hub, sessions, opened, answer, ended, users, settings, metrics))
        async with trio.open_nursery() as nursery:
            await nursery.start(hub.committer.run)
            yield GraphQLScene(door, hub, metrics, doors[0])
            nursery.cancel_scope.cancel()

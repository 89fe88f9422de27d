"""One change is one event: made through REST or GraphQL, it is heard alike at every door."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from trio_websocket import open_websocket_url

from tests.receivers import Receiver, receiving
from tests.servers import InProcess, running_server
from tests.streams import ask
from tests.transports.doors import tcp

CHANNEL = "changes:product"
RECORD = "id modelKey naturalKey data version publishedVersion createdAt updatedAt"
CHANGES = f'subscription {{ recordChanged(modelKey: "product") {{ type record {{ {RECORD} }} }} }}'
EVENTS = f'subscription {{ event(channel: "{CHANNEL}") {{ id channel event data timestamp offset position }} }}'


@attrs.frozen
class Heard:
    """An event, as far as a door tells of it."""

    type: str
    record: dict[str, Any]
    id: str | None = None
    offset: int | None = None
    position: str | None = None

    def alike(self, other: Heard) -> bool:
        """Whether both tell of the same event."""
        own, others = attrs.asdict(self), attrs.asdict(other)
        return all(own[name] == others[name] for name in own if None not in (own[name], others[name]))


Hear = Callable[[], Awaitable[Heard]]


@asynccontextmanager
async def graphql(server: InProcess, key: str, query: str) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """What each result of a subscription is."""
    async with open_websocket_url(f"{server.ws_url}/graphql/ws", subprotocols=["graphql-transport-ws"]) as socket:
        await socket.send_message(json.dumps({"type": "connection_init", "payload": {"apiKey": key}}))
        assert json.loads(await socket.get_message())["type"] == "connection_ack"
        await socket.send_message(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))

        async def hear() -> Any:
            message = json.loads(await socket.get_message())
            assert message["type"] == "next", message
            return message["payload"]

        yield hear


async def doors(server: InProcess, receiver: Receiver, stack: AsyncExitStack) -> dict[str, Hear]:
    """Everything that listens to the channel, by name."""
    key, editor = await server.key("project", "shop"), server.token("eve", role="collab")
    changes = await stack.enter_async_context(graphql(server, key, CHANGES))
    events = await stack.enter_async_context(graphql(server, key, EVENTS))
    stream = await ask(await tcp(server), f"/sse/{CHANNEL}?apiKey={key}")
    await stream.until("connected")
    plain = await stack.enter_async_context(server.websocket(f"/_events?apiKey={key}"))
    await plain.send_message(json.dumps({"type": "subscribe", "channel": CHANNEL}))
    commands = await stack.enter_async_context(server.websocket(f"/ws?token={editor}"))
    await commands.send_message(json.dumps({"type": "subscribe", "data": {"channel": CHANNEL}}))

    async def by_record_changed() -> Heard:
        result = await changes()
        change = result["data"]["recordChanged"]
        return Heard(change["type"], change["record"], position=result["extensions"]["position"])

    async def by_event() -> Heard:
        event = (await events())["data"]["event"]
        assert event["channel"] == CHANNEL and event["event"] == event["data"]["type"]
        return Heard(event["event"], event["data"]["record"], event["id"], event["offset"], event["position"])

    async def by_sse() -> Heard:
        event = await stream.next()
        told = json.loads(event.data)
        assert told["channel"] == CHANNEL and told["event"] == told["data"]["type"]
        return Heard(told["event"], told["data"]["record"], position=event.id)

    async def by_event_channels() -> Heard:
        while "type" in (told := json.loads(await plain.get_message())):
            pass
        return Heard(told["event"], told["data"]["record"], told["id"], told["offset"])

    async def by_commands() -> Heard:
        while "channel" not in (told := json.loads(await commands.get_message())):
            pass
        return Heard(told["type"], told["data"]["record"], told["id"], told["offset"])

    async def by_webhook() -> Heard:
        request = await receiver.request()
        told = json.loads(request.body)
        return Heard(told["type"], told["data"]["record"])

    async def by_history() -> Heard:
        last = {"order": "desc", "limit": 1}
        answer = await (await server.operator()).get(f"/api/channels/{CHANNEL}/history", params=last)
        (told,) = answer.json()["items"]
        return Heard(
            told["event"], told["data"]["record"], told["id"], told["offset"], f"{told['epoch']}-{told['offset']}"
        )

    await server.subscribed(CHANNEL, 5)
    return {
        "GraphQL, recordChanged": by_record_changed,
        "GraphQL, event": by_event,
        "SSE": by_sse,
        "/_events": by_event_channels,
        "/ws": by_commands,
        "webhook": by_webhook,
        "history": by_history,
    }


async def by_rest(server: InProcess, key: str, type: str, record: dict[str, Any]) -> dict[str, Any]:
    client, path = server.http(key), f"/records/product/{record.get('id')}"
    answer = {
        "CREATED": lambda: client.post("/records/product", json={"naturalKey": "mug", "data": {"price": 1}}),
        "UPDATED": lambda: client.patch(path, json={"data": {"stock": 2}}),
        "PUBLISHED": lambda: client.post(f"{path}/publish"),
        "UNPUBLISHED": lambda: client.post(f"{path}/unpublish"),
        "DELETED": lambda: client.delete(path),
    }[type]()
    changed = await answer
    assert changed.is_success, changed.text
    return changed.json() if changed.content else record


async def by_graphql(server: InProcess, key: str, type: str, record: dict[str, Any]) -> dict[str, Any]:
    it = f'modelKey: "product", id: "{record.get("id")}"'
    field = {
        "CREATED": 'createRecord(modelKey: "product", naturalKey: "mug", data: {price: 1})',
        "UPDATED": f"updateRecord({it}, data: {{stock: 2}})",
        "PUBLISHED": f"publishRecord({it})",
        "UNPUBLISHED": f"unpublishRecord({it})",
        "DELETED": f"deleteRecord({it})",
    }[type]
    query = f"mutation {{ made: {field} {{ {RECORD} }} }}"
    answer = (await server.http(key).post("/graphql", json={"query": query})).json()
    assert "errors" not in answer, answer
    made: dict[str, Any] = answer["data"]["made"]
    return made


@pytest.mark.parametrize("make", [by_rest, by_graphql], ids=["REST", "GraphQL"])
async def test_a_change_is_one_event_that_every_door_tells_alike(
    make: Callable[[InProcess, str, str, dict[str, Any]], Awaitable[dict[str, Any]]],
) -> None:
    async with (
        receiving() as receiver,
        running_server(webhook_private=True) as server,
        AsyncExitStack() as stack,
    ):
        key = await server.key("project", "shop", write=True)
        hook = {"url": receiver.url, "channels": ["changes:*"]}
        assert (await (await server.operator()).post("/api/webhooks", json=hook)).status_code == 201
        listening = await doors(server, receiver, stack)
        record: dict[str, Any] = {}
        offsets = []
        for type in ("CREATED", "UPDATED", "PUBLISHED", "UNPUBLISHED", "DELETED"):
            record = await make(server, key, type, record)
            with trio.fail_after(10):
                heard = {name: await hear() for name, hear in listening.items()}
            event = heard["GraphQL, event"]
            offsets.append(event.offset)
            assert event.type == type and event.record == record
            assert {name: told for name, told in heard.items() if not told.alike(event)} == {}
        assert offsets == [1, 2, 3, 4, 5]  # and nothing besides

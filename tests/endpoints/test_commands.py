"""``/ws``: the source text's messages, and the notifications that come without asking."""

from __future__ import annotations

import orjson
import pytest

from rtlite.settings import KindSettings
from tests.endpoints.sockets import Client, connected
from tests.servers import InProcess
from tests.transports.doors import serving, tcp


async def publish(server: InProcess, channel: str, event: str, data: object) -> dict:
    answer = await (await server.operator()).post(
        "/api/publish", json={"channel": channel, "event": event, "data": data}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


async def greeted(server: InProcess, secret: str, query: str = "") -> tuple[Client, dict]:
    peer = await tcp(server)
    await peer.upgrade(f"/ws?token={secret}{query}")
    client = Client(peer, "/ws")
    return client, await client.hear()


@pytest.mark.parametrize(
    ("channel", "event", "data"),
    [
        ("notifications:user-1", "notification", {"message": "New comment on your post", "level": "info"}),
        (
            "conversation:conv-123",
            "chat_message",
            {"conversation_id": "conv-123", "sender_id": "user-456", "content": "Hello there!"},
        ),
        (
            "task:task-789",
            "status_update",
            {"entity_type": "task", "entity_id": "task-789", "status": "completed"},
        ),
    ],
)
async def test_each_event_of_the_source_text_comes_with_type_and_data(channel: str, event: str, data: dict) -> None:
    async with serving() as server:
        client = await connected(server, "/ws", server.token("user-1", subscribe=["conversation:conv-123", "task:*"]))
        if channel != "notifications:user-1":
            await client.raw(orjson.dumps({"type": "subscribe", "data": {"channel": channel}}))
            answer = await client.hear()
            assert (answer["type"], answer["data"]["channel"]) == ("subscribed", channel)
        receipt = await publish(server, channel, event, data)
        assert await client.hear() == {
            "type": event,
            "channel": channel,
            "data": data,
            "id": receipt["id"],
            "timestamp": receipt["timestamp"],
            "offset": 1,
            "position": f"{receipt['epoch']}-1",
        }


async def test_the_greeting_says_who_one_is_and_where_ones_notifications_begin() -> None:
    async with serving() as server:
        receipt = await publish(server, "notifications:u", "notification", 1)
        client, greeting = await greeted(server, server.token("u"))
        assert greeting == {
            "type": "connected",
            "data": {
                "user": "u",
                "channel": "notifications:u",
                "position": f"{receipt['epoch']}-1",
                "recovered": True,
            },
        }
        await publish(server, "notifications:u", "notification", 2)
        assert (await client.hear())["data"] == 2


async def test_since_in_the_url_brings_the_notifications_that_were_missed() -> None:
    async with serving() as server:
        first = await publish(server, "notifications:u", "notification", 1)
        await publish(server, "notifications:u", "notification", 2)
        for since, recovered, missed in [
            (f"{first['epoch']}-1", True, [2]),
            (first["id"], True, [2]),
            ("1h", True, [1, 2]),
            ("00000000-1", False, [1, 2]),
        ]:
            client, greeting = await greeted(server, server.token("u"), f"&since={since}")
            assert greeting["data"]["recovered"] is recovered
            assert [(await client.hear())["data"] for _ in missed] == missed


async def test_a_since_in_the_url_that_cannot_be_read_is_closed_with_1008() -> None:
    async with serving() as server:
        peer = await tcp(server)
        await peer.upgrade(f"/ws?token={server.token('u')}&since=a%20b")
        assert await peer.close_code() == 1008


async def test_ones_notifications_can_be_unsubscribed_like_any_channel() -> None:
    async with serving() as server:
        client = await connected(server, "/ws", server.token("u"))
        assert (await client.ask("unsubscribe", channel="notifications:u"))["type"] == "unsubscribed"
        await publish(server, "notifications:u", "notification", 1)
        assert (await client.ask("ping"))["type"] == "pong"


@pytest.mark.parametrize("user", ["Ärzte", "two words", "x" * 250])
async def test_a_user_whose_name_no_channel_can_have_is_greeted_without_one(user: str) -> None:
    async with serving() as server:
        client, greeting = await greeted(server, server.token(user))
        assert greeting["data"] == {"user": user, "channel": None, "position": None, "recovered": True}
        assert (await client.ask("subscribe", channel="article:a"))["type"] == "subscribed"


async def test_a_ticket_that_does_not_cover_the_notifications_brings_none() -> None:
    async with serving() as server:
        identity = server.running.server.tokens.verify(server.token("u"))
        ticket = server.running.server.tickets.issue(identity, only=("article:a",))
        client, greeting = await greeted(server, ticket)
        assert greeting["data"]["channel"] is None
        await publish(server, "notifications:u", "notification", 1)
        assert (await client.ask("ping"))["type"] == "pong"


async def test_notifications_without_history_are_greeted_and_come_too() -> None:
    async with serving(channels={"notifications": KindSettings(history=False)}) as server:
        client, greeting = await greeted(server, server.token("u"))
        assert greeting["data"]["position"].endswith("-0")
        await publish(server, "notifications:u", "notification", 1)
        assert (await client.hear())["position"].endswith("-1")


async def test_answers_and_errors_have_their_fields_inside_data() -> None:
    async with serving() as server:
        client = await connected(server, "/ws", server.token("u"))
        for sent, heard in [
            ({"type": "ping", "data": {}}, {"type": "pong", "data": {}}),
            (
                {"type": "unsubscribe", "data": {"channel": "a:b"}, "id": 1},
                {"type": "unsubscribed", "data": {"channel": "a:b"}, "id": 1},
            ),
            (
                {"type": "subscribe", "data": {"channel": "other:a"}, "id": "x"},
                {
                    "type": "error",
                    "data": {"code": "unauthorized", "message": "channel: this credential may not read it"},
                    "id": "x",
                },
            ),
            (
                {"type": "subscribe", "data": {}},
                {"type": "error", "data": {"code": "invalid_request", "message": "channel: missing"}},
            ),
        ]:
            await client.raw(orjson.dumps(sent))
            assert await client.hear() == heard

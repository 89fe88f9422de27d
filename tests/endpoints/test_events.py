"""``/_events``: the source text's messages; and one event in the shape of each protocol."""

from __future__ import annotations

import orjson
import pytest
import trio

from tests.endpoints.sockets import connected
from tests.endpoints.test_commands import publish
from tests.transports.doors import Peer, head, serving, tcp


async def test_the_source_texts_channels_are_subscribed_and_their_events_come_with_channel_and_event() -> None:
    async with serving() as server:
        client = await connected(server, "/_events", server.token("usr_abc123"))
        for channel in ("notifications:usr_abc123", "changes:product"):
            await client.raw(orjson.dumps({"type": "subscribe", "channel": channel}))
            answer = await client.hear()
            assert (answer["type"], answer["channel"], answer["recovered"]) == ("subscribed", channel, True)
        data = {
            "id": "notif_abc123",
            "type": "order_update",
            "title": "Order Shipped",
            "message": "Your order #1234 has been shipped.",
            "userId": "usr_abc123",
        }
        receipt = await publish(server, "notifications:usr_abc123", "notification.new", data)
        assert await client.hear() == {
            "channel": "notifications:usr_abc123",
            "event": "notification.new",
            "data": data,
            "id": receipt["id"],
            "offset": 1,
            "timestamp": receipt["timestamp"],
            "position": f"{receipt['epoch']}-1",
        }
        await client.raw(orjson.dumps({"type": "unsubscribe", "channel": "changes:product"}))
        assert await client.hear() == {
            "type": "unsubscribed",
            "channel": "changes:product",
            "event": "unsubscribed",
            "data": {},
        }


async def test_answers_and_errors_are_flat() -> None:
    async with serving() as server:
        client = await connected(server, "/_events", server.token("u"))
        for sent, heard in [
            ({"type": "ping"}, {"type": "pong", "event": "pong", "data": {}}),
            (
                {"type": "subscribe", "channel": "other:a", "id": "x"},
                {
                    "type": "error",
                    "channel": "other:a",
                    "event": "error",
                    "code": "unauthorized",
                    "message": "channel: this credential may not read it",
                    "id": "x",
                },
            ),
            (
                {"type": "subscribe", "id": 0},
                {"type": "error", "event": "error", "code": "invalid_request", "message": "channel: missing", "id": 0},
            ),
        ]:
            await client.raw(orjson.dumps(sent))
            answer = await client.hear()
            if "code" in heard:
                assert answer.pop("data") == {"code": answer["code"], "message": answer["message"]}
            assert answer == heard


@pytest.mark.parametrize("write", [False, True])
async def test_a_project_key_reads_changes_and_jobs_and_publishes_only_with_write(write: bool) -> None:
    async with serving() as server:
        client = await connected(server, "/_events", await server.key("project", "p", write=write))
        for channel in ("changes:*", "jobs:job_9"):
            assert (await client.ask("subscribe", channel=channel))["type"] == "subscribed"
        assert (await client.ask("subscribe", channel="notifications:u"))["code"] == "unauthorized"
        await client.say("publish", channel="changes:product", event="CREATED", data={"id": 1})
        if write:
            assert (await client.hear())["event"] == "CREATED"
            assert (await client.answer())["type"] == "published"
        else:
            assert (await client.answer())["code"] == "unauthorized"


async def test_nothing_comes_unasked() -> None:
    async with serving() as server:
        client = await connected(server, "/_events", server.token("u"))
        await publish(server, "notifications:u", "notification", 1)
        assert (await client.ask("ping"))["type"] == "pong"


async def begin_stream(peer: Peer, secret: str) -> bool:
    """Open the user's event stream and read its greeting; ``False`` if streams are not served."""
    await peer.send(head("GET /sse/notifications:usr_1", Authorization=f"Bearer {secret}"))
    if b" 404 " in await peer.until(b"\r\n\r\n"):
        return False
    await peer.until(b"event: connected")
    await peer.until(b"\n\n")
    return True


async def test_one_event_reaches_a_users_blog_socket_command_socket_event_channel_and_stream() -> None:
    """Published once; each gets it in its own shape."""
    async with serving() as server:
        secret = server.token("usr_1")
        blog, stream = await tcp(server), await tcp(server)
        await blog.upgrade(f"/blog/ws/notifications?token={secret}")
        command = await connected(server, "/ws", secret)
        channel = await connected(server, "/_events", secret)
        await channel.ask("subscribe", channel="notifications:usr_1")
        streamed = await begin_stream(stream, secret)
        await server.subscribed("notifications:usr_1", 3 + streamed)

        receipt = await publish(server, "notifications:usr_1", "notification", {"message": "hi"})
        rest = {
            "id": receipt["id"],
            "timestamp": receipt["timestamp"],
            "offset": 1,
            "position": f"{receipt['epoch']}-1",
        }
        with trio.fail_after(5):
            assert orjson.loads(await blog.text()) == {"type": "notification", "message": "hi"}
            assert await command.hear() == {
                "type": "notification",
                "channel": "notifications:usr_1",
                "data": {"message": "hi"},
                **rest,
            }
            assert await channel.hear() == {
                "event": "notification",
                "channel": "notifications:usr_1",
                "data": {"message": "hi"},
                **rest,
            }
            if streamed:
                assert f"id: {rest['position']}".encode() in await stream.until(b"data: ")
                assert orjson.loads(await stream.until(b"\n")) == {
                    "channel": "notifications:usr_1",
                    "event": "notification",
                    "data": {"message": "hi"},
                }

"""The JavaScript of the event channels' reference, and a client after the command WebSocket's, against rtlite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.clients.runtimes import Client, Runtime, snippet
from tests.clients.test_blog_snippets import skip_if_refusals_go_untold
from tests.servers import Doors, ServerProcess, running_server


async def publish(server: Doors, channel: str, event: str, data: Any) -> None:
    answer = await (await server.operator()).post(
        "/api/publish", json={"channel": channel, "event": event, "data": data}
    )
    assert answer.status_code == 201, answer.text


def event_channels(server: Doors, token: str, later: str = "") -> str:
    """The reference's program; ``later`` runs when an event named ``now`` comes."""
    return (
        f"const getCollabToken = async () => {json.dumps(token)}\n{snippet('events.js', server)}"
        f'ws.addEventListener("open", () => console.log("open"))\n'
        f'ws.addEventListener("message", ({{ data }}) => {{ if (JSON.parse(data).event === "now") {{ {later} }} }})\n'
        f'ws.addEventListener("close", ({{ code, reason }}) => console.log("closed", code, reason))\n'
    )


class TestEventChannels:
    """*"For bidirectional real-time with dynamic subscribe/unsubscribe, use the WebSocket event channel"*."""

    async def test_the_snippet_gets_the_events_of_both_channels_until_it_unsubscribes(self, runtime: Runtime) -> None:
        async with runtime.client() as client, running_server(allowed_origins=client.origins) as server:
            unsubscribe = snippet("events-unsubscribe.js", server)
            await client.run(event_channels(server, server.token("usr_abc123"), f"\n{unsubscribe}\n"))
            assert await client.says() == ["open"]
            # The reference's program logs whatever comes as an event.
            for channel in ("notifications:usr_abc123", "changes:product"):
                word, data = await client.says()
                assert (word, data["recovered"]) == (f"[{channel}] subscribed:", True)
            await publish(server, "notifications:usr_abc123", "notification.new", {"title": "Order Shipped"})
            assert await client.says() == [
                "[notifications:usr_abc123] notification.new:",
                {"title": "Order Shipped"},
            ]
            await publish(server, "changes:product", "UPDATED", {"price": 5})
            assert await client.says() == ["[changes:product] UPDATED:", {"price": 5}]
            await publish(server, "changes:product", "now", None)
            assert await client.says() == ["[changes:product] now:", None]
            assert await client.says() == ["[changes:product] unsubscribed:", {}]
            await publish(server, "changes:product", "UPDATED", {"price": 6})
            await publish(server, "notifications:usr_abc123", "notification.new", 2)
            assert await client.says() == ["[notifications:usr_abc123] notification.new:", 2]

    async def test_a_project_key_in_the_query_works_as_well(self, runtime: Runtime) -> None:
        async with runtime.client() as client, running_server(allowed_origins=client.origins) as server:
            key = await server.key("project", "p")
            await client.run(event_channels(server, key).replace("?token=", "?apiKey="))
            assert await client.says() == ["open"]
            word, refused = await client.says()
            assert (word, refused["code"]) == ("[notifications:usr_abc123] error:", "unauthorized")  # not its channel
            assert (await client.says())[0] == "[changes:product] subscribed:"
            await publish(server, "changes:product", "CREATED", {"id": 1})
            assert await client.says() == ["[changes:product] CREATED:", {"id": 1}]

    async def test_what_does_not_hold_is_told_after_the_handshake(self, runtime: Runtime) -> None:
        async with runtime.client() as client, running_server(allowed_origins=client.origins) as server:
            for token, code, reason in [
                ("wrong", 4401, "credential missing or invalid"),
                (await server.key("stream", "s"), 4403, "not allowed"),
            ]:
                await client.run(event_channels(server, token))
                assert await client.says() == ["open"]
                assert await client.says() == ["[undefined] error:", {"code": "unauthorized", "message": reason}]
                assert await client.says() == ["closed", code, reason]

    async def test_a_token_that_expires_while_connected_closes_with_4401(self, runtime: Runtime) -> None:
        async with (
            runtime.client() as client,
            running_server(allowed_origins=client.origins, jwt_leeway=0.0, expiry_warning=0.0) as server,
        ):
            await client.run(event_channels(server, server.token("usr_abc123", ttl=2.0)))
            said: list[Any] = []
            while said[:1] != ["closed"]:
                said = await client.says()
            assert said == ["closed", 4401, "credential expired"]


def commands(server: Doors, token: str, user: str) -> str:
    names = f"const token = {json.dumps(token)}, inbox = {json.dumps(f'notifications:{user}')}\n"
    return f"{names}{snippet('commands.js', server)}connect()\n"


async def starts(client: Client) -> dict[str, Any]:
    """The greeting's data, after which the two commands of the program are answered."""
    word, greeting = await client.says()
    assert word == "connected"
    assert (await client.says())[0] == "subscribed"
    assert await client.says() == ["pong", {}]
    return dict(greeting)


class TestCommands:
    """*"Messages exchanged over the WebSocket connection are JSON-formatted"*."""

    async def test_a_client_gets_its_notifications_and_what_it_subscribes_to(self, runtime: Runtime) -> None:
        async with runtime.client() as client, running_server(allowed_origins=client.origins) as server:
            token = server.token("user-1", subscribe=["conversation:conv-123"])
            await client.run(commands(server, token, "user-1"))
            greeting = await starts(client)
            assert (greeting["user"], greeting["channel"]) == ("user-1", "notifications:user-1")
            message = {"conversation_id": "conv-123", "sender_id": "user-456", "content": "Hello there!"}
            await publish(server, "conversation:conv-123", "chat_message", message)
            assert await client.says() == ["chat_message", message]
            await publish(server, "notifications:user-1", "notification", {"message": "hi", "level": "info"})
            assert await client.says() == ["notification", {"message": "hi", "level": "info"}]

    async def test_a_client_that_reconnects_with_a_position_gets_what_it_missed_after_a_kill(
        self, runtime: Runtime, tmp_path: Path
    ) -> None:
        """*"Use exponential backoff with jitter"*."""
        async with runtime.client() as client:
            await skip_if_refusals_go_untold(client)
            origins = {"allowed_origins": ",".join(client.origins)} if client.origins else {}
            async with ServerProcess(tmp_path / "rtlite.db", **origins) as server:
                admin = await server.operator()
                made = await admin.post("/api/tokens", json={"user": "user-1", "subscribe": ["conversation:conv-123"]})
                await client.run(commands(server, made.json()["token"], "user-1"))
                await starts(client)
                await publish(server, "notifications:user-1", "notification", 1)
                assert await client.says() == ["notification", 1]
                await server.kill()
                assert (await client.says())[0] == "closed"
                await server.start()
                await publish(server, "notifications:user-1", "notification", 2)
                while (said := await client.says())[0] == "closed":
                    pass
                assert said[0] == "connected" and said[1]["recovered"]
                while (said := await client.says()) != ["notification", 2]:
                    assert said[0] in {"subscribed", "pong"}

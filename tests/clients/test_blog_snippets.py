"""The JavaScript of the blog's WebSocket reference, unchanged but for host and key, against rtlite."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import trio

from rtlite.transports.pulse import Beat
from tests.clients.runtimes import TALKING, Client, Runtime, snippet
from tests.servers import Doors, ServerProcess, running_server

SLUG = "my-first-post"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def call(server: Doors, key: str | None, path: str, **body: Any) -> Any:
    answer = await server.http(key).post(f"/blog/v1/{path}", json=body)
    assert answer.is_success, answer.text
    return answer.json()


async def says_event(client: Client, word: str = "Event:") -> dict[str, Any]:
    """The next event, with its times replaced once they were found to be times."""
    said, event = await client.says()
    assert said == word
    return {name: timeless(value) for name, value in event.items()}


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: timeless(item) for name, item in value.items()}
    return "TIME" if isinstance(value, str) and TIME.fullmatch(value) else value


class TestEvents:
    """*"Receive notification events for the authenticated user"*, *"live view count and reaction updates"*."""

    async def test_the_browser_snippet_gets_every_notification_with_the_fields_of_the_text(
        self, runtime: Runtime
    ) -> None:
        async with (
            runtime.client() as client,
            running_server(allowed_origins=client.origins, blog_milestones=(1,)) as server,
        ):
            key = await server.key("blog", "alice")
            await call(server, key, "articles", slug=SLUG, title="My first post")
            await client.run(snippet("browser.js", server, key))
            assert await client.says() == ["Connected"]
            await server.subscribed("notifications:alice")
            await notify_each(server, key)
            await gets_each(client)

    async def test_the_header_snippet_gets_every_notification_too(self, npm_ws: Runtime) -> None:
        async with npm_ws.client() as client, running_server(blog_milestones=(1,)) as server:
            key = await server.key("blog", "alice")
            await call(server, key, "articles", slug=SLUG, title="My first post")
            handlers = snippet("browser.js", server).partition("\n\n")[2]
            await client.run(snippet("node.mjs", server, key) + handlers)
            assert await client.says() == ["Connected"]
            await server.subscribed("notifications:alice")
            await notify_each(server, key)
            await gets_each(client)

    async def test_the_article_snippet_shows_each_new_view_count(self, runtime: Runtime) -> None:
        async with runtime.client() as client, running_server(allowed_origins=client.origins) as server:
            key, token = await server.key("blog", "alice"), server.token("reader")
            await call(server, key, "articles", slug=SLUG, title="My first post")
            opened = 'ws.onopen = () => console.log("open");'
            await client.run(f'const token = "{token}";\n{snippet("article.ts", server)}{opened}')
            assert await client.says() == ["open"]
            await server.subscribed(f"article:{SLUG}")
            for count in ("1", "2", "3"):
                await call(server, key, f"articles/{SLUG}/views", visitor=count)
                assert await client.says() == ["view-count", count]

    async def test_article_events_have_the_fields_of_the_text_and_come_to_any_user(self, runtime: Runtime) -> None:
        async with runtime.client() as client, running_server(allowed_origins=client.origins) as server:
            alice, bob = await server.key("blog", "alice"), await server.key("blog", "bob")
            await call(server, alice, "articles", slug=SLUG, title="My first post")
            await client.run(f'{TALKING}{snippet("reconnect.ts", server)}connect("{bob}", "{SLUG}")')
            assert await client.says() == ["open"]
            await server.subscribed(f"article:{SLUG}")
            await call(server, None, f"articles/{SLUG}/views")
            assert await says_event(client, "message") == {
                "type": "view_update",
                "slug": SLUG,
                "viewCount": 1,
                "timestamp": "TIME",
            }
            await call(server, bob, f"articles/{SLUG}/reactions", reaction="👍")
            assert await says_event(client, "message") == {
                "type": "reaction_update",
                "slug": SLUG,
                "reactions": {"👍": 1},
                "timestamp": "TIME",
            }


async def notify_each(server: Doors, key: str) -> None:
    """Make each notification of the text happen, through the blog's API."""
    await call(server, key, "subscribers", email="reader@example.com")
    await call(server, key, f"articles/{SLUG}/comments", author="reader123", body="Great article!")
    await call(server, None, f"articles/{SLUG}/reactions", reaction="👍")
    await call(server, None, f"articles/{SLUG}/views")


async def gets_each(client: Client) -> None:
    assert await says_event(client) == {
        "type": "new_subscriber",
        "subscriber": {"email": "reader@example.com", "subscribed_at": "TIME"},
    }
    comment = await says_event(client)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", comment["comment"].pop("id"))
    assert comment == {
        "type": "new_comment",
        "articleSlug": SLUG,
        "comment": {"body": "Great article!", "author": "reader123", "createdAt": "TIME"},
    }
    assert await says_event(client) == {
        "type": "article_reaction",
        "articleSlug": SLUG,
        "reaction": "👍",
        "count": 1,
        "timestamp": "TIME",
    }
    assert await says_event(client) == {
        "type": "milestone",
        "articleSlug": SLUG,
        "milestone": 1,
        "viewCount": 1,
        "timestamp": "TIME",
    }


class TestCloseCodes:
    """*"1001 Server restart or timeout, 1008 Policy violation (auth failed), 4401 Unauthorized, 4403 Forbidden"*."""

    async def test_what_does_not_hold_at_connect_is_told_after_the_handshake(self, runtime: Runtime) -> None:
        secret = "a secret of at least thirty-two bytes"
        async with (
            runtime.client() as client,
            running_server(allowed_origins=client.origins, jwt_secret=secret) as server,
        ):
            revoked = await server.key("blog", "alice")
            await server.revoke(revoked)
            expired = await server.key("blog", "alice", expires_in=0.001)
            old_token = jwt.encode({"sub": "alice", "exp": time.time() - 60}, secret)
            project = await server.key("project", "alice")
            for key, code, reason in (
                ("", 4401, "credential missing or invalid"),
                ("mbk_wrong", 4401, "credential missing or invalid"),
                (revoked, 4401, "credential missing or invalid"),
                (expired, 4401, "credential missing or invalid"),
                (old_token, 4401, "credential missing or invalid"),
                (project, 4403, "not allowed"),
            ):
                await client.run(snippet("browser.js", server, key))
                assert await client.says() == ["Connected"]
                assert await client.says() == ["Disconnected:", code, reason]

    async def test_the_header_is_judged_like_the_query(self, npm_ws: Runtime) -> None:
        async with npm_ws.client() as client, running_server() as server:
            handlers = snippet("browser.js", server).partition("\n\n")[2]
            project = await server.key("project", "alice")
            for key, code in (("", 4401), ("mbk_wrong", 4401), (project, 4403)):
                await client.run(snippet("node.mjs", server, key) + handlers)
                assert await client.says() == ["Connected"]
                assert (await client.says())[:2] == ["Disconnected:", code]

    async def test_a_key_that_is_revoked_while_connected_closes_with_1008(self, runtime: Runtime) -> None:
        async with runtime.client() as client, running_server(allowed_origins=client.origins) as server:
            key = await server.key("blog", "alice")
            await client.run(snippet("browser.js", server, key))
            assert await client.says() == ["Connected"]
            await server.subscribed("notifications:alice")
            await server.revoke(key)
            assert await client.says() == ["Disconnected:", 1008, "credential revoked"]

    async def test_a_key_and_a_token_that_expire_while_connected_close_with_1008(self, runtime: Runtime) -> None:
        async with (
            runtime.client() as client,
            running_server(allowed_origins=client.origins, jwt_leeway=0.0) as server,
        ):
            for kind in ("key", "token"):
                expiring = await server.key("blog", "alice", expires_in=1.5)
                credential = expiring if kind == "key" else server.token("alice", ttl=2.0)
                await client.run(snippet("browser.js", server, credential))
                assert await client.says() == ["Connected"]
                assert await client.says() == ["Disconnected:", 1008, "credential expired"]

    async def test_a_stop_of_the_server_closes_with_1001(self, runtime: Runtime) -> None:
        async with runtime.client() as client, running_server(allowed_origins=client.origins) as server:
            await client.run(snippet("browser.js", server, await server.key("blog", "alice")))
            assert await client.says() == ["Connected"]
            server.running.stop()
            assert await client.says() == ["Disconnected:", 1001, "server is stopping"]


class TestHeartbeat:
    """*"Respond with a pong frame to keep the connection alive. Most WebSocket libraries handle this …"*"""

    async def test_a_client_that_answers_pings_stays_connected(
        self, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        send_answered, answered = trio.open_memory_channel[None](1000)
        original = Beat.answered

        def pong(self: Beat) -> None:
            original(self)
            send_answered.send_nowait(None)

        monkeypatch.setattr(Beat, "answered", pong)
        async with (
            runtime.client() as client,
            running_server(allowed_origins=client.origins, ping_interval=0.05) as server,
        ):
            key = await server.key("blog", "alice")
            await client.run(snippet("browser.js", server, key))
            assert await client.says() == ["Connected"]
            with trio.fail_after(10):
                for _ in range(5):
                    await answered.receive()
            await call(server, key, "subscribers", email="reader@example.com")
            assert (await client.says())[1]["type"] == "new_subscriber"

    async def test_a_client_that_does_not_answer_pings_is_closed_with_1001(self) -> None:
        async with running_server(ping_interval=0.05, pong_timeout=0.1, close_timeout=0.1) as server:
            stream = await trio.open_tcp_stream("127.0.0.1", server.port)
            async with stream:
                key = await server.key("blog", "alice")
                await stream.send_all(
                    f"GET /blog/ws/notifications?token={key} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
                )
                received = b""
                with trio.fail_after(10):
                    async for data in stream:  # never answered
                        received += data
        frames = received.partition(b"\r\n\r\n")[2]
        ping, close = frames[: 2 + frames[1]], frames[2 + frames[1] :]
        assert ping[0] == 0x89
        assert close[0] == 0x88
        assert close[2:] == (1001).to_bytes(2, "big") + b"no pong in time"


class TestReconnection:
    """*"Implement exponential backoff when reconnecting"*: the function of the text."""

    async def test_the_function_reconnects_after_the_server_was_killed_and_restarted(
        self, runtime: Runtime, tmp_path: Path
    ) -> None:
        async with runtime.client() as client:
            await skip_if_refusals_go_untold(client)
            origins = {"allowed_origins": ",".join(client.origins)} if client.origins else {}
            async with ServerProcess(tmp_path / "rtlite.db", **origins) as server:
                assert server.admin_key is not None
                await call(server, server.admin_key, "articles", slug=SLUG, title="My first post")
                function = snippet("reconnect.ts", server)
                await client.run(f'{TALKING}{function}connect("{server.admin_key}", "{SLUG}")')
                assert await client.says() == ["open"]
                await server.kill()
                assert await client.says() == ["Reconnecting in 1s..."]
                await server.start()
                while (said := await client.says()) == ["Reconnecting in 1s..."]:
                    pass
                assert said == ["open"]
                await server.subscribed(f"article:{SLUG}")
                await call(server, None, f"articles/{SLUG}/views")
                assert (await says_event(client, "message"))["viewCount"] == 1


async def skip_if_refusals_go_untold(client: Client) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # not listening: connections are refused
        await client.run(
            f"""const ws = new WebSocket("ws://127.0.0.1:{unused.getsockname()[1]}")
            ws.onclose = () => console.log("close")
            ws.onerror = () => setTimeout(() => console.log("no close"), 100)"""
        )
        if await client.says() == ["no close"]:
            pytest.skip("this Node.js fires no close event when a connection is refused (nodejs/undici issue 3546)")
    assert await client.says() == ["no close"]

"""Presence over HTTP, on a server."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
import trio
import trio_websocket

from rtlite.model import now_ms
from rtlite.settings import KindSettings
from tests.hub.readers import reached
from tests.servers import InProcess, ServerProcess, running_server

ROOM = "room:1"


async def answer(client: httpx.AsyncClient, query: str = "", channel: str = ROOM) -> dict[str, Any]:
    found = await client.get(f"/api/channels/{channel}/presence?{query}")
    assert found.status_code == 200, found.text
    result: dict[str, Any] = found.json()
    return result


def ago(text: str) -> float:
    """How many seconds ago a time was."""
    return (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()


def join(server: InProcess, *users: str, channel: str = ROOM) -> None:
    for user in users:
        server.running.server.hub.presence.join(channel, user, None, "here")


async def test_members_are_shown_with_what_they_say_of_themselves() -> None:
    async with running_server() as server:
        presence = server.running.server.hub.presence
        presence.join(ROOM, "alice", {"mood": "busy", "n": [1, None]}, "tab")
        presence.join(ROOM, "alice", None, "phone")
        shown = await answer(await server.operator())
        assert shown["next"] is None
        (alice,) = shown["items"]
        assert list(alice) == ["user", "data", "connections", "joined", "lastSeen"]
        assert (alice["user"], alice["data"], alice["connections"]) == ("alice", {"mood": "busy", "n": [1, None]}, 2)
        assert -1 < ago(alice["joined"]) < 5 and -1 < ago(alice["lastSeen"]) < 5


async def test_who_left_is_shown_when_asked_for() -> None:
    async with running_server() as server:
        client = await server.operator()
        join(server, "alice", "bob", "carol")
        presence = server.running.server.hub.presence
        presence.leave(ROOM, "bob", "here", clean=True)
        presence.leave(ROOM, "carol", "here", clean=False)
        assert [item["user"] for item in (await answer(client))["items"]] == ["alice", "carol"]
        alice, bob, carol = (await answer(client, "absent=1"))["items"]
        assert {**bob, "lastSeen": 0} == {"user": "bob", "data": None, "connections": 0, "joined": None, "lastSeen": 0}
        assert -1 < ago(bob["lastSeen"]) < 5
        assert (alice["connections"], carol["connections"], carol["joined"] is None) == (1, 0, False)


@pytest.mark.parametrize("absent", ["0", "1"])
async def test_pages_follow_each_other(absent: str) -> None:
    users = ["z", "a", "é", "日本", "🦊", "A b", "%00", "a/b", '"', "a&limit=9", "a+b", "u" * 255]
    async with running_server() as server:
        client = await server.operator()
        join(server, *users)
        seen: list[str] = []
        after = ""
        while True:
            page = await answer(client, f"absent={absent}&limit=5&after={quote(after, safe='')}")
            seen += [item["user"] for item in page["items"]]
            if page["next"] is None:
                break
            after = page["next"]
        assert seen == sorted(users)


@pytest.mark.parametrize(
    ("query", "channel", "status", "code"),
    [
        ("limit=0", ROOM, 400, "invalid_request"),
        ("limit=1001", ROOM, 400, "invalid_request"),
        ("limit=x", ROOM, 400, "invalid_request"),
        ("absent=perhaps", ROOM, 400, "invalid_request"),
        ("", "room:*", 400, "invalid_channel"),
        ("", "quiet:1", 404, "no_presence"),
        ("absent=1", "quiet:1", 404, "no_presence"),
    ],
)
async def test_what_cannot_be_answered_is_said(query: str, channel: str, status: int, code: str) -> None:
    async with running_server(channels={"quiet": KindSettings(presence=False)}) as server:
        found = await (await server.operator()).get(f"/api/channels/{channel}/presence?{query}")
        assert (found.status_code, found.json()["code"]) == (status, code)


async def test_whoever_may_read_a_channel_sees_who_is_on_it_and_nobody_else() -> None:
    async with running_server() as server:
        statuses = {}
        for name, credential in {
            "nobody": None,
            "stranger": server.token("mallory"),
            "another room's": server.token("mallory", subscribe=["room:2"]),
            "reader": server.token("alice", subscribe=["room:*"]),
            "blog key": await server.key("blog", "bob"),
            "admin key": await server.key("admin", "operator"),
        }.items():
            found = await server.http(credential).get(f"/api/channels/{ROOM}/presence?absent=1")
            statuses[name] = found.status_code
        assert statuses == {
            "nobody": 401,
            "stranger": 403,
            "another room's": 403,
            "reader": 200,
            "blog key": 403,
            "admin key": 200,
        }


async def test_members_of_a_conversation_see_who_is_on_it() -> None:
    async with running_server() as server:
        operator = await server.operator()
        client = server.http(server.token("alice"))
        path = "/api/channels/conversation:c1/presence"
        assert (await client.get(path)).status_code == 403
        assert (await operator.put("/conversations/c1/members/alice", json={})).status_code < 300
        assert (await client.get(path)).status_code == 200


async def test_channels_are_listed_with_the_number_of_their_members() -> None:
    async with running_server() as server:
        client = await server.operator()
        await client.post("/api/publish", json={"channel": ROOM, "event": "e"})
        await client.post("/api/publish", json={"channel": "room:2", "event": "e"})
        join(server, "alice", "bob")
        listed = (await client.get("/api/channels")).json()["items"]
        assert {item["channel"]: item["members"] for item in listed} == {ROOM: 2, "room:2": 0}


async def test_last_seen_survives_an_orderly_stop(tmp_path: Path) -> None:
    data = str(tmp_path / "r.db")
    async with running_server(data=data) as server:
        join(server, "alice", "bob")
        server.running.server.hub.presence.leave(ROOM, "bob", "here", clean=False)
    stopped = now_ms()
    async with running_server(data=data) as server:
        client = await server.operator()
        assert (await answer(client))["items"] == []
        alice, bob = (await answer(client, "absent=1"))["items"]
        assert {alice["connections"], bob["connections"]} == {0}
        for user in (alice, bob):
            seen = datetime.fromisoformat(user["lastSeen"]).timestamp() * 1000
            assert stopped - 5000 < seen <= stopped


async def test_a_cancelled_server_starts_again_and_knows_who_was_there(tmp_path: Path) -> None:
    data = str(tmp_path / "r.db")
    with trio.CancelScope() as scope:
        async with running_server(data=data, presence_save=0.01) as server:
            join(server, "alice")
            await reached(lambda: not server.running.server.hub.presence._unsaved)
            await trio.sleep(0.05)
            scope.cancel()
            await trio.sleep(1)
    assert scope.cancelled_caught
    async with running_server(data=data) as server:
        (alice,) = (await answer(await server.operator(), "absent=1"))["items"]
        assert alice["connections"] == 0 and -1 < ago(alice["lastSeen"]) < 10


async def test_a_user_in_several_tabs_and_protocols_is_one_member() -> None:
    async with running_server(presence_grace=0.3) as server:
        presence = server.running.server.hub.presence
        alice, bob = (server.token(user, subscribe=["room:*"]) for user in ("alice", "bob"))
        async with server.websocket("/_events", bob) as watcher:

            async def told() -> dict[str, Any]:
                with trio.fail_after(5):
                    message: dict[str, Any] = orjson.loads(await watcher.get_message())
                return message

            def subscribe(presence: object) -> str:
                return orjson.dumps({"type": "subscribe", "channel": ROOM, "presence": presence}).decode()

            await watcher.send_message(subscribe("watch"))
            assert [(await told())["type"], (await told())["members"]] == ["subscribed", []]
            async with (
                server.websocket("/_events", alice) as tab,
                server.websocket("/ws", alice) as other,
                server.http(alice).stream("GET", f"/sse/{ROOM}?presence=1"),
            ):
                await reached(lambda: presence.count(ROOM) == 1)
                await tab.send_message(subscribe({"mood": 1}))
                command = {"type": "subscribe", "data": {"channel": ROOM, "presence": True}}
                await other.send_message(orjson.dumps(command).decode())
                await reached(lambda: presence.members(ROOM)[0].connections == 3)
                (shown,) = (await answer(server.http(bob)))["items"]
                assert (shown["user"], shown["data"], shown["connections"]) == ("alice", {"mood": 1}, 3)
            changes = [await told() for _ in range(3)]
            assert [(change["action"], change["member"]["user"]) for change in changes] == [
                ("join", "alice"),
                ("update", "alice"),
                ("leave", "alice"),
            ]


async def test_a_stream_that_is_refused_by_one_full_channel_is_on_none() -> None:
    async with running_server(presence_grace=0.01, max_members=1) as server:
        presence = server.running.server.hub.presence
        join(server, "bob", channel="room:2")
        client = server.http(server.token("alice", subscribe=["room:*"]))
        async with client.stream("GET", "/sse?channel=room:1&channel=room:2&presence=1") as stream:
            async for _ in stream.aiter_lines():
                pass
        await reached(lambda: presence.count("room:1") == 0)
        assert presence.count("room:2") == 1


async def test_a_killed_process_knows_when_it_saw_a_user_last(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "r.db", presence_save="50ms") as server:
        token = (
            await (await server.operator()).post("/api/tokens", json={"user": "alice", "subscribe": ["room:*"]})
        ).json()
        with suppress(trio_websocket.ConnectionClosed):
            async with server.websocket("/_events", token["token"]) as websocket:
                await websocket.send_message('{"type":"subscribe","channel":"room:1","presence":true}')
                await websocket.get_message()
                await trio.sleep(1.0)
                killed = now_ms()
                await server.kill()
        await trio.sleep(0.3)
        await server.start()
        (alice,) = (await answer(await server.operator(), "absent=1"))["items"]
        assert (alice["user"], alice["connections"]) == ("alice", 0)
        seen = datetime.fromisoformat(alice["lastSeen"]).timestamp() * 1000
        assert killed - 900 < seen <= killed + 100

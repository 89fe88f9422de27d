"""Who is where, over both sockets: joining, watching, and leaving in every way a connection can end."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from rtlite.settings import KindSettings
from tests.endpoints.sockets import PASSING, Client, scene
from tests.transports.doors import close_frame

SOCKETS = pytest.mark.parametrize("path", ["/ws", "/_events"])


async def notice(client: Client) -> dict[str, Any]:
    """The next message about presence, flat."""
    message = await client.hear()
    assert message["type"] == "presence", message
    if client.nested:
        message |= message.pop("data")
    return message


def member(user: str, data: Any = None, connections: int = 1) -> dict[str, Any]:
    return {"user": user, "data": data, "connections": connections}


async def change(client: Client) -> tuple[str, dict[str, Any]]:
    """The next change: what, and of whom."""
    found = await notice(client)
    assert found["channel"] == "live:a"
    assert found["member"].pop("joined").endswith("Z")
    return found["action"], found["member"]


@SOCKETS
async def test_who_subscribes_with_presence_is_there_and_told_who_else_is(path: str, autojump_clock) -> None:
    async with scene() as here:
        alice = await here.client(path, here.token(user="alice"))
        await alice.ask("subscribe", channel="live:a", presence=True)
        found = await notice(alice)
        assert (found["action"], [each["user"] for each in found["members"]]) == ("list", ["alice"])
        bob = await here.client(path, here.token(user="bob"))
        await bob.ask("subscribe", channel="live:a", presence={"mood": "busy"})
        assert [each["user"] for each in (await notice(bob))["members"]] == ["alice", "bob"]
        assert await change(alice) == ("join", member("bob", {"mood": "busy"}))
        assert (await bob.ask("presence", channel="live:a", action="update", data=[1], id=2))["type"] == "updated"
        assert await change(alice) == ("update", member("bob", [1]))


@SOCKETS
async def test_who_only_watches_is_not_there(path: str, autojump_clock) -> None:
    async with scene() as here:
        client = await here.client(path)
        await client.ask("subscribe", channel="live:a", presence="watch")
        assert (await notice(client))["members"] == []
        assert here.hub.presence.count("live:a") == 0


@SOCKETS
async def test_the_list_can_be_asked_for_without_a_subscription(path: str, autojump_clock) -> None:
    async with scene() as here:
        for user in ("alice", "bob"):
            other = await here.client(path, here.token(user=user))
            await other.ask("subscribe", channel="live:a")
            assert await other.ask("presence", channel="live:a", action="join", data={"n": user}, id=1) == {
                "type": "joined",
                "channel": "live:a",
                "id": 1,
            }
        client = await here.client(path)
        await client.say("presence", channel="live:a", action="list", id=3)
        found = await notice(client)
        assert (found["id"], found["action"], found["next"]) == (3, "list", None)
        assert [(each["user"], each["data"]["n"]) for each in found["members"]] == [("alice", "alice"), ("bob", "bob")]
        await client.say("presence", channel="live:a", action="list", after="alice")
        assert [each["user"] for each in (await notice(client))["members"]] == ["bob"]


@SOCKETS
@pytest.mark.parametrize("how", ["leave", "unsubscribe", "close"])
async def test_who_says_goodbye_has_left_at_once(path: str, how: str, autojump_clock) -> None:
    async with scene() as here:
        watcher = await here.client("/_events", here.token(user="w"))
        await watcher.ask("subscribe", channel="live:a", presence="watch")
        await notice(watcher)
        client = await here.client(path)
        await client.ask("subscribe", channel="live:a", presence=True)
        assert await change(watcher) == ("join", member("u"))
        before = trio.current_time()
        if how == "leave":
            await client.say("presence", channel="live:a", action="leave")
        elif how == "unsubscribe":
            await client.say("unsubscribe", channel="live:a")
        else:
            await client.peer.send(close_frame())
        assert await change(watcher) == ("leave", member("u", connections=0))
        assert trio.current_time() - before < 1


@SOCKETS
async def test_who_drops_out_has_left_after_the_grace_period_and_not_if_it_comes_back(
    path: str, autojump_clock
) -> None:
    async with scene() as here:
        watcher = await here.client("/_events", here.token(user="w"))
        await watcher.ask("subscribe", channel="live:a", presence="watch")
        await notice(watcher)
        client = await here.client(path)
        await client.ask("subscribe", channel="live:a", presence=True)
        assert (await change(watcher))[0] == "join"
        await trio.aclose_forcefully(client.peer.stream)
        await trio.sleep(10)
        client = await here.client(path)
        await client.ask("subscribe", channel="live:a", presence=True)
        await trio.sleep(60)
        await trio.aclose_forcefully(client.peer.stream)
        before = trio.current_time()
        assert await change(watcher) == ("leave", member("u", connections=0))
        assert trio.current_time() - before == pytest.approx(15, abs=0.5)


async def test_a_connection_that_the_server_ends_may_come_back_within_the_grace_period(autojump_clock) -> None:
    async with scene(jwt_leeway=0.0) as here:
        client = await here.client("/_events", here.token(ttl=60))
        await client.ask("subscribe", channel="live:a", presence=True)
        await notice(client)
        assert (await client.ended())[1] == 4401
        assert here.hub.presence.count("live:a") == 1
        await trio.sleep(16)
        assert here.hub.presence.count("live:a") == 0


@SOCKETS
async def test_a_user_with_two_connections_is_one_member_until_the_last_is_gone(path: str, autojump_clock) -> None:
    async with scene() as here:
        watcher = await here.client("/_events", here.token(user="w"))
        await watcher.ask("subscribe", channel="live:a", presence="watch")
        await notice(watcher)
        clients = [await here.client(path) for _ in range(2)]
        for client in clients:
            await client.ask("subscribe", channel="live:a", presence=True)
        assert (await change(watcher))[0] == "join"
        (found,) = here.hub.presence.members("live:a")
        assert found.connections == 2
        await clients[0].peer.send(close_frame())
        await trio.sleep(1)
        await clients[1].peer.send(close_frame())
        assert await change(watcher) == ("leave", member("u", connections=0))


@SOCKETS
async def test_what_presence_does_not_take_is_refused(path: str, autojump_clock) -> None:
    off = {**PASSING, "quiet": KindSettings(history=False, presence=False)}
    async with scene(channels=off, max_members=1) as here:
        client = await here.client(path, here.token(subscribe=("live:*", "quiet:*")))
        for channel, presence, code in [
            ("live:*", True, "invalid_request"),
            ("quiet:a", True, "subscription_failed"),
            ("live:a", {"x": "y" * 5000}, "subscription_failed"),
            ("live:a", 5, "invalid_request"),
            ("other:a", True, "unauthorized"),
        ]:
            answer = await client.ask("subscribe", channel=channel, presence=presence)
            assert (answer["type"], answer["code"]) == ("error", code), channel
        (listed,) = here.door.connections
        assert "live:a" not in listed.channels and "quiet:a" not in listed.channels
        assert here.hub.presence.count("live:a") == 0
        for channel, action, code in [
            ("live:a", "join", "invalid_request"),
            ("live:a", "update", "invalid_request"),
            ("other:a", "list", "unauthorized"),
            ("live:*", "list", "invalid_request"),
            ("quiet:a", "list", "no_presence"),
        ]:
            answer = await client.ask("presence", channel=channel, action=action)
            assert (answer["type"], answer["code"]) == ("error", code), (channel, action)
        await client.ask("subscribe", channel="live:a")
        answer = await client.ask("presence", channel="live:a", action="update", data=1)
        assert answer["message"] == "presence: join the channel first"
        assert (await client.ask("presence", channel="live:a", action="join", data="y" * 5000))["code"] == "too_large"
        assert (await client.ask("presence", channel="live:a", action="join"))["type"] == "joined"
        other = await here.client(path, here.token(user="other"))
        answer = await other.ask("subscribe", channel="live:a", presence=True)
        assert (answer["type"], answer["code"]) == ("error", "subscription_failed")
        assert (await other.ask("subscribe", channel="live:a", presence="watch"))["type"] == "subscribed"


@SOCKETS
async def test_whose_right_is_taken_away_is_there_no_more(path: str, autojump_clock) -> None:
    async with scene() as here:
        client = await here.client(path)
        await client.ask("subscribe", channel="live:a", presence=True)
        await notice(client)
        answer = await client.ask("auth", token=here.token(subscribe=()))
        assert answer["type"] == "authenticated"
        assert (await client.answer())["type"] == "unsubscribed"
        assert here.hub.presence.count("live:a") == 0


@SOCKETS
async def test_subscribing_again_changes_what_is_said_of_oneself(path: str, autojump_clock) -> None:
    async with scene() as here:
        client = await here.client(path)
        await client.ask("subscribe", channel="live:a", presence=True)
        await notice(client)
        await client.say("subscribe", channel="live:a", presence={"n": 1})
        heard = [await client.hear() for _ in range(2)]
        assert sorted(message["type"] for message in heard) == ["presence", "subscribed"]
        (found,) = here.hub.presence.members("live:a")
        assert (found.data, found.connections) == (b'{"n":1}', 1)

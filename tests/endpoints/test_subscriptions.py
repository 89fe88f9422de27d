"""The channels of one connection, over both sockets: subscribed, resumed, replaced, ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from rtlite.domain.access import Access
from rtlite.errors import StorageFailed
from rtlite.settings import KindSettings
from tests.endpoints.sockets import Client, connected, scene
from tests.servers import InProcess
from tests.transports.doors import serving

SOCKETS = pytest.mark.parametrize("path", ["/ws", "/_events"])


def reader(server: InProcess, user: str = "u", *patterns: str) -> str:
    return server.token(user, subscribe=list(patterns or ("news:*",)))


async def publish(server: InProcess, count: int = 1, channel: str = "news:a") -> list[dict[str, Any]]:
    """Publish ``count`` events with the data 1, 2, …; returns their receipts."""
    events = [{"channel": channel, "event": "tick", "data": number + 1} for number in range(count)]
    answer = await (await server.operator()).post("/api/publish/batch", json={"events": events})
    assert answer.status_code == 201, answer.text
    return answer.json()["items"]


async def datas(client: Client, count: int) -> list[Any]:
    return [(await client.hear())["data"] for _ in range(count)]


@SOCKETS
async def test_a_subscription_begins_now_and_says_where_that_is(path: str) -> None:
    async with serving() as server:
        last = (await publish(server, 3))[-1]
        client = await connected(server, path, reader(server))
        answer = await client.ask("subscribe", channel="news:a", id=1)
        assert answer == {
            "type": "subscribed",
            "channel": "news:a",
            "position": f"{last['epoch']}-3",
            "recovered": True,
            "id": 1,
        }
        await publish(server)
        event = await client.hear()
        assert (event["channel"], event["offset"], event["position"]) == ("news:a", 4, f"{last['epoch']}-4")


@SOCKETS
async def test_since_names_a_place_by_position_id_age_or_time(path: str) -> None:
    async with serving() as server:
        before = datetime.now(UTC).isoformat()
        items = await publish(server, 3)
        client = await connected(server, path, reader(server))
        for since, missed in [
            (f"{items[0]['epoch']}-1", [2, 3]),
            (items[1]["id"], [3]),
            ("1h", [1, 2, 3]),
            (before, [1, 2, 3]),
            (f"{items[0]['epoch']}-3", []),
        ]:
            answer = await client.ask("subscribe", channel="news:a", since=since)
            assert (answer["type"], answer["recovered"]) == ("subscribed", True), since
            assert await datas(client, len(missed)) == missed
            assert (await client.ask("ping"))["type"] == "pong"  # and nothing more


@SOCKETS
async def test_what_is_gone_is_said_and_what_is_there_is_sent(path: str) -> None:
    async with serving(max_replay=2) as server:
        items = await publish(server, 3)
        client = await connected(server, path, reader(server))
        for since, missed in [("00000000-1", [2, 3]), ("no-such-id", [2, 3]), (f"{items[0]['epoch']}-0", [2, 3])]:
            answer = await client.ask("subscribe", channel="news:a", since=since)
            assert (answer["type"], answer["recovered"]) == ("subscribed", False), since
            assert await datas(client, len(missed)) == missed


@SOCKETS
@pytest.mark.parametrize("since", ["a b", "", "x" * 65, "2020-13-45"])
async def test_a_since_that_cannot_be_read_is_refused_and_changes_nothing(path: str, since: str) -> None:
    async with serving() as server:
        client = await connected(server, path, reader(server))
        await client.ask("subscribe", channel="news:a")
        answer = await client.ask("subscribe", channel="news:a", since=since, id=1)
        assert (answer["type"], answer["code"], answer["id"]) == ("error", "invalid_request", 1)
        await publish(server)
        assert await datas(client, 1) == [1]


@SOCKETS
async def test_positions_of_a_kind_resume_all_its_channels_in_order(path: str) -> None:
    async with serving() as server:
        client = await connected(server, path, reader(server))
        first = await client.ask("subscribe", channel="news:*")
        for channel in ("news:a", "other:a", "news:b", "news:a"):
            await publish(server, channel=channel)
        events = [await client.hear() for _ in range(3)]
        assert [event["channel"] for event in events] == ["news:a", "news:b", "news:a"]
        assert [event["offset"] for event in events] == [1, 1, 2]
        again = await connected(server, path, reader(server))
        assert (await again.ask("subscribe", channel="news:*", since=first["position"]))["recovered"]
        assert [await again.hear() for _ in range(3)] == events
        assert (await again.ask("subscribe", channel="news:*", since=events[0]["position"]))["recovered"]
        assert [await again.hear() for _ in range(2)] == events[1:]


@SOCKETS
async def test_a_kind_without_history_gives_no_positions_to_who_listens_to_all_of_it(path: str) -> None:
    async with serving(channels={"live": KindSettings(history=False)}) as server:
        client = await connected(server, path, reader(server, "u", "live:*"))
        assert (await client.ask("subscribe", channel="live:*"))["position"] is None
        await publish(server, channel="live:a")
        assert "position" not in await client.hear()


@SOCKETS
async def test_subscribing_twice_changes_nothing_and_says_where_it_stands(path: str) -> None:
    async with serving() as server:
        client = await connected(server, path, reader(server))
        await client.ask("subscribe", channel="news:a")
        items = await publish(server, 2)
        assert await datas(client, 2) == [1, 2]
        answer = await client.ask("subscribe", channel="news:a")
        assert answer["position"] == f"{items[0]['epoch']}-2"
        assert (answer["type"], answer["recovered"]) == ("subscribed", True)
        await publish(server)
        assert await datas(client, 1) == [1]
        assert (await client.ask("ping"))["type"] == "pong"  # it came once
        (listed,) = server.running.server.connections
        assert listed.channels.count("news:a") == 1


@SOCKETS
async def test_a_subscription_with_since_takes_the_place_of_the_one_there_is(path: str) -> None:
    async with serving() as server:
        items = await publish(server, 2)
        client = await connected(server, path, reader(server))
        await client.ask("subscribe", channel="news:a")
        await client.ask("subscribe", channel="news:a", since=f"{items[0]['epoch']}-1")
        assert await datas(client, 1) == [2]
        await publish(server)
        assert await datas(client, 1) == [1]
        assert (await client.ask("ping"))["type"] == "pong"
        assert server.running.server.hub.fanout.topics["news:a"].subscribers == 1


@SOCKETS
async def test_unsubscribing_ends_it_and_what_was_never_subscribed_is_no_error(path: str) -> None:
    async with serving() as server:
        client = await connected(server, path, reader(server))
        await client.ask("subscribe", channel="news:a")
        for channel in ("news:a", "news:a", "other:never", "news:*"):
            assert await client.ask("unsubscribe", channel=channel, id=1) == {
                "type": "unsubscribed",
                "channel": channel,
                "id": 1,
            }
        await publish(server)
        assert (await client.ask("ping"))["type"] == "pong"
        assert "news:a" not in server.running.server.hub.fanout.topics


@SOCKETS
@pytest.mark.parametrize(
    ("channel", "code"),
    [
        ("x" * 300, "invalid_request"),
        ("", "invalid_request"),
        ("ä", "invalid_request"),
        ("*", "invalid_request"),
        ("a:b:*", "invalid_request"),
        ("other:a", "unauthorized"),
        ("other:*", "unauthorized"),
        ("notifications:somebody", "unauthorized"),
        ("notifications:*", "unauthorized"),
    ],
)
async def test_what_may_not_be_subscribed_is_an_error_and_the_connection_goes_on(
    path: str, channel: str, code: str
) -> None:
    async with serving() as server:
        client = await connected(server, path, reader(server, "u", "news:a"))
        answer = await client.ask("subscribe", channel=channel, id=5)
        assert (answer["type"], answer["code"], answer["id"]) == ("error", code, 5)
        assert (await client.ask("ping"))["type"] == "pong"


@SOCKETS
async def test_a_pattern_wider_than_the_grant_is_refused_as_a_whole(path: str) -> None:
    async with serving() as server:
        client = await connected(server, path, reader(server, "u", "news:a", "news:b"))
        assert (await client.ask("subscribe", channel="news:*"))["code"] == "unauthorized"
        assert (await client.ask("subscribe", channel="news:a"))["type"] == "subscribed"


@SOCKETS
async def test_the_129th_channel_is_refused_until_another_is_given_up(path: str, autojump_clock) -> None:
    async with scene(command_rate=0, user_command_rate=0) as here:
        client = await here.client(path)
        own = path == "/ws"  # its notifications are one of them
        for number in range(128 - own):
            assert (await client.ask("subscribe", channel=f"live:{number}"))["type"] == "subscribed"
        answer = await client.ask("subscribe", channel="live:more")
        assert (answer["type"], answer["code"]) == ("error", "subscription_failed")
        assert (await client.ask("subscribe", channel="live:5"))["type"] == "subscribed"  # one that is there already
        await client.ask("unsubscribe", channel="live:5")
        assert (await client.ask("subscribe", channel="live:more"))["type"] == "subscribed"


async def test_subscribing_and_unsubscribing_over_and_over_leaves_nothing_behind(autojump_clock) -> None:
    async with scene(command_rate=0, user_command_rate=0) as here:
        client = await here.client()
        (listed,) = here.door.connections
        for first in range(0, 2_000, 100):
            for number in range(first, first + 100):
                await client.say("subscribe", channel=f"live:{number}")
                await client.say("unsubscribe", channel=f"live:{number}")
            types = [(await client.answer())["type"] for _ in range(200)]
            assert types == ["subscribed", "unsubscribed"] * 100
        assert (listed.channels, here.hub.fanout.topics) == ([], {})


async def test_ten_thousand_subscribes_without_unsubscribing_hold_128_channels(autojump_clock) -> None:
    async with scene(command_rate=0, user_command_rate=0) as here:
        client = await here.client()
        for number in range(10_000):
            await client.say("subscribe", channel=f"live:{number}")
        types = [(await client.answer())["type"] for _ in range(10_000)]
        assert types == ["subscribed"] * 128 + ["error"] * 9_872
        assert len(here.hub.fanout.topics) == 128
        await trio.aclose_forcefully(client.peer.stream)
        await wait_all_tasks_blocked()
        assert here.hub.fanout.topics == {}


@SOCKETS
async def test_commands_are_answered_during_a_long_replay(path: str) -> None:
    async with serving() as server:
        await publish(server, 3000)
        client = await connected(server, path, reader(server))
        await client.say("subscribe", channel="news:a", since="1h")
        await client.say("ping", id="now")
        heard = 0
        while (message := await client.hear())["type" if "type" in message else "event"] != "pong":
            heard += 1
        assert heard < 3000
        await client.say("unsubscribe", channel="news:a")
        while (message := await client.hear())["type" if "type" in message else "event"] != "unsubscribed":
            heard += 1
        assert heard <= 3000


@SOCKETS
async def test_a_storage_that_fails_refuses_the_subscription_and_keeps_the_one_there_is(path: str, monkeypatch) -> None:
    async with serving() as server:
        client = await connected(server, path, reader(server))
        await client.ask("subscribe", channel="news:a")
        database = server.running.server.database

        async def fail(work: Any) -> Any:
            raise StorageFailed("the database refused")

        with monkeypatch.context() as broken:
            broken.setattr(database, "read", fail)
            for channel in ("news:a", "news:b"):
                answer = await client.ask("subscribe", channel=channel, since="1h", id=1)
                assert (answer["type"], answer["code"], answer["id"]) == ("error", "subscription_failed", 1)
        await publish(server)
        assert await datas(client, 1) == [1]


@SOCKETS
async def test_a_member_who_is_removed_hears_so_at_once_and_no_more(path: str) -> None:
    async with serving() as server:
        backend = await server.operator()
        await backend.put("/conversations/c1/members/u", json={})
        client = await connected(server, path, server.token("u"))
        assert (await client.ask("subscribe", channel="conversation:c1"))["type"] == "subscribed"
        assert (await backend.delete("/conversations/c1/members/u")).status_code in {200, 204}
        assert await client.answer() == {
            "type": "unsubscribed",
            "channel": "conversation:c1",
            "reason": "unauthorized",
        }
        await publish(server, channel="conversation:c1")
        assert (await client.ask("ping"))["type"] == "pong"
        for since in (None, "1h"):  # who lost the right gets nothing from history either
            answer = await client.ask("subscribe", channel="conversation:c1", since=since)
            assert answer["code"] == "unauthorized"


@SOCKETS
@pytest.mark.parametrize("second", [False, StorageFailed("the database refused")])
async def test_a_right_that_is_gone_at_the_second_question_gives_nothing(
    path: str, second: Any, autojump_clock, monkeypatch
) -> None:
    """It may be taken away after the first: what is published meanwhile does not come."""
    async with scene() as here:
        client = await here.client(path)
        answers = [True, second]

        async def may_read(*_: Any) -> bool:
            found = answers.pop(0)
            if not answers:
                await here.publish()
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(Access, "may_read", may_read)
        told = await client.ask("subscribe", channel="live:a", presence=True)
        assert (told["type"], told["code"]) == ("error", "unauthorized" if second is False else "subscription_failed")
        await here.publish()
        assert (await client.ask("ping"))["type"] == "pong"
        assert here.hub.presence.count("live:a") == 0
        assert "live:a" not in here.hub.fanout.topics
        assert all("live:a" not in connection.channels for connection in here.door.connections)


@SOCKETS
async def test_a_right_that_is_taken_away_while_a_subscription_begins_ends_it(
    path: str, autojump_clock, monkeypatch
) -> None:
    async with scene() as here:
        client = await here.client(path)
        subscribe = here.hub.subscribe

        async def meanwhile(*arguments: Any, **options: Any) -> Any:
            here.door.connections.drop("live:a", lambda _: True)
            return await subscribe(*arguments, **options)

        monkeypatch.setattr(here.hub, "subscribe", meanwhile)
        assert (await client.ask("subscribe", channel="live:a", presence=True))["type"] == "subscribed"
        told = await client.answer()
        assert (told["type"], told["reason"]) == ("unsubscribed", "unauthorized")
        await here.publish()
        assert (await client.ask("ping"))["type"] == "pong"
        assert here.hub.presence.count("live:a") == 0
        assert "live:a" not in here.hub.fanout.topics
        assert all("live:a" not in connection.channels for connection in here.door.connections)

from __future__ import annotations

import pytest
import trio
import trio.testing

from rtlite.model import NewEvent
from rtlite.settings import KindSettings
from tests.servers import InProcess, running_server


async def publish(server: InProcess, *data: object, channel: str = "news:a") -> list[dict]:
    client = await server.operator()
    events = [{"channel": channel, "event": "e", "data": item} for item in data]
    return (await client.post("/api/publish/batch", json={"events": events})).json()["items"]


async def page(client, query: str = "", channel: str = "news:a") -> dict:
    answer = await client.get(f"/api/channels/{channel}/history?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def data(answer: dict) -> list[object]:
    return [event["data"] for event in answer["items"]]


async def test_an_event_is_shown_whole() -> None:
    async with running_server() as server:
        (receipt,) = await publish(server, {"a": [1.5, "é", None]})
        (event,) = (await page(await server.operator()))["items"]
        assert event == {**receipt, "event": "e", "data": {"a": [1.5, "é", None]}}
        assert list(event) == ["id", "channel", "event", "data", "timestamp", "offset", "epoch"]


async def test_ascending_pages_follow_each_other_to_the_end() -> None:
    async with running_server() as server:
        client = await server.operator()
        await publish(server, *range(25))
        seen: list[object] = []
        at = await page(client, "limit=10")
        while at["items"]:
            assert at["recovered"]
            seen += data(at)
            at = await page(client, f"limit=10&since={at['next']}")
        assert seen == list(range(25))
        assert (await page(client, f"since={at['next']}"))["next"] == at["next"]


async def test_descending_pages_follow_each_other_to_the_beginning() -> None:
    async with running_server() as server:
        client = await server.operator()
        await publish(server, *range(25))
        at = await page(client, "limit=10&order=desc")
        seen = data(at)
        while at["next"]:
            at = await page(client, f"limit=10&order=desc&since={at['next']}")
            seen += data(at)
        assert seen == list(range(24, -1, -1))


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_that_are_cut_by_their_bytes_lose_nothing(order: str) -> None:
    async with running_server() as server:
        client = await server.operator()
        for number in range(7):
            await publish(server, [number, "x" * 1_000_000])
        seen, since = [], ""
        while True:
            at = await page(client, f"order={order}{since}")
            if not at["items"]:
                break
            seen += [item[0] for item in data(at)]
            if at["next"] is None:
                break
            since = f"&since={at['next']}"
        assert seen == (list(range(7)) if order == "asc" else list(range(6, -1, -1)))


async def test_a_channel_where_nothing_was_published_is_empty_and_can_be_polled_from() -> None:
    async with running_server() as server:
        client = await server.operator()
        at = await page(client)
        assert (at["items"], at["recovered"]) == ([], True)
        await publish(server, "first")
        assert data(await page(client, f"since={at['next']}")) == ["first"]
        assert (await page(client, "order=desc", "news:none"))["next"] is None


async def test_since_takes_every_form() -> None:
    async with running_server() as server:
        client = await server.operator()
        receipts = await publish(server, 1, 2, 3)
        for since in ("1h", "2020-01-01", "2020-01-01T00:00:00Z"):
            assert data(await page(client, f"since={since}")) == [1, 2, 3]
        assert data(await page(client, f"since={receipts[1]['id']}")) == [3]
        assert data(await page(client, f"since={receipts[0]['epoch']}-1")) == [2, 3]
        assert data(await page(client, "since=2999-01-01")) == []


async def test_what_is_gone_is_said() -> None:
    async with running_server(channels={"news": KindSettings(retention_count=5)}) as server:
        client = await server.operator()
        receipts = await publish(server, *range(12))
        await server.running.server.hub.sweeper.sweep()
        epoch = receipts[0]["epoch"]
        kept = [event["offset"] for event in (await page(client))["items"]]
        assert kept == [8, 9, 10, 11, 12]
        for since, recovered in [
            (f"{epoch}-7", True),
            (f"{epoch}-3", False),
            ("00000000-9", False),
            (f"{epoch}-99", False),
            (receipts[0]["id"], False),
            ("unknown-id", False),
            ("1h", False),
        ]:
            at = await page(client, f"since={since}")
            assert (at["recovered"], len(at["items"])) == (recovered, 5), since


BAD = [
    "limit=0",
    "limit=-1",
    "limit=10001",
    "limit=x",
    "limit=",
    "limit=1.5",
    "limit=%D9%A3",
    "limit=" + "9" * 5000,
    "order=up",
    "since=a%20b",
    "since=" + "x" * 65,
    "since=%00",
    "since=2020-13-45",
    "wait=soon",
    "wait=-1",
    "order=desc&since=1h",
    "since=%ff",
    "&".join(["a=b"] * 501),
]


@pytest.mark.parametrize("query", BAD)
async def test_a_malformed_question_is_400(query: str) -> None:
    async with running_server() as server:
        answer = await (await server.operator()).get(f"/api/channels/news:a/history?{query}")
        assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    "query", ["since=abcdef12-9999999999999999999", "order=desc&since=abcdef12-9999999999999999999"]
)
async def test_an_offset_beyond_all_numbers_is_no_fault_of_ours(query: str) -> None:
    async with running_server() as server:
        await publish(server, 1)
        answer = await (await server.operator()).get(f"/api/channels/news:a/history?{query}")
        assert answer.status_code == 400 or (data(answer.json()), answer.json()["recovered"]) == ([1], False)


@pytest.mark.parametrize("channel", ["a%20b", "%C3%A9", "news:*", "*", "x" * 256])
async def test_a_name_that_is_no_channel_is_400(channel: str) -> None:
    async with running_server() as server:
        answer = await (await server.operator()).get(f"/api/channels/{channel}/history")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_channel")


async def test_history_is_for_who_may_subscribe() -> None:
    async with running_server() as server:
        blog = await server.key("blog", "alice")
        for secret, channel, status in [
            (blog, "notifications:alice", 200),
            (blog, "notifications:bob", 403),
            (blog, "article:x", 200),
            (blog, "news:a", 403),
            (server.token("u", subscribe=["news:*"]), "news:a", 200),
            (server.token("u"), "news:a", 403),
            (await server.key("project", "p"), "changes:x", 200),
            ("wrong", "article:x", 401),
        ]:
            answer = await server.http(secret).get(f"/api/channels/{channel}/history")
            assert answer.status_code == status, (channel, answer.text)
        assert (await server.http().get("/api/channels/article:x/history")).status_code == 401


async def test_a_kind_without_history_says_so_and_makes_no_client_spin() -> None:
    async with running_server() as server:
        answer = await (await server.operator()).get("/api/channels/stream:x/history?wait=5s")
        assert (answer.status_code, answer.json()["code"]) == (404, "no_history")


# --- waiting


async def test_a_poll_wakes_at_once_when_an_event_comes() -> None:
    async with running_server() as server:
        client = await server.operator()
        at = await page(client)
        answers: list[dict] = []

        async def poll() -> None:
            answers.append(await page(client, f"since={at['next']}&wait=20s"))

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(poll)
                while "news:a" not in server.running.server.hub.fanout.topics:
                    await trio.lowlevel.checkpoint()
                await publish(server, "now")
        assert data(answers[0]) == ["now"]
        assert "news:a" not in server.running.server.hub.fanout.topics


async def test_polls_that_follow_each_other_see_each_event_once() -> None:
    async with running_server() as server:
        client = await server.operator()
        hub = server.running.server.hub
        seen: list[object] = []

        async def follow() -> None:
            at = await page(client)
            seen.extend(data(at))
            since = at["next"]
            while len(seen) < 200:
                at = await page(client, f"since={since}&wait=5s&limit=7")
                assert at["recovered"]
                seen.extend(data(at))
                since = at["next"]

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow)
                for number in range(200):
                    await hub.publish(NewEvent("news:a", "e", str(number).encode()))
        assert seen == list(range(200))


async def test_a_poll_ends_empty_when_its_time_is_up() -> None:
    async with running_server() as server:
        client = await server.operator()
        before = trio.current_time()
        assert (await page(client, "wait=100ms"))["items"] == []
        assert 0.1 <= trio.current_time() - before < 2


async def test_a_poll_waits_no_longer_than_the_setting() -> None:
    async with running_server(poll_timeout=0.1) as server:
        before = trio.current_time()
        assert (await page(await server.operator(), "wait=1h"))["items"] == []
        assert trio.current_time() - before < 2


async def test_a_poller_that_leaves_leaves_nothing() -> None:
    async with running_server() as server:
        client = await server.operator()
        topics = server.running.server.hub.fanout.topics
        async with trio.open_nursery() as nursery:
            nursery.start_soon(page, client, "wait=20s")
            while "news:a" not in topics:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        with trio.fail_after(5):
            while "news:a" in topics:
                await trio.lowlevel.checkpoint()


async def test_a_poll_that_waits_is_refused_at_once_when_its_key_is_revoked_and_no_other_is() -> None:
    async with running_server() as server:
        operator = await server.operator()
        made = [(await operator.post("/api/keys", json={"kind": "admin", "user": "u"})).json() for _ in range(2)]
        answers: dict[str, int] = {}
        refused = trio.Event()

        async def poll(key: dict) -> None:
            answer = await server.http(key["key"]).get("/api/channels/news:a/history?wait=20s")
            answers[key["id"]] = answer.status_code
            refused.set()

        async with trio.open_nursery() as nursery:
            for key in made:
                nursery.start_soon(poll, key)
            await trio.testing.wait_all_tasks_blocked(0.2)
            with trio.fail_after(5):
                assert (await operator.delete(f"/api/keys/{made[0]['id']}")).status_code == 200
                await refused.wait()
            assert answers == {made[0]["id"]: 401}
            await publish(server, 1)
        assert answers == {made[0]["id"]: 401, made[1]["id"]: 200}

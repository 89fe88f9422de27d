"""``/api/live``: what an operator sees, for whom, and that nobody pays for it who publishes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest
import trio
import trio_websocket

from rtlite.domain import monitor
from rtlite.endpoints import live
from rtlite.settings import KIB, KindSettings
from tests.servers import InProcess
from tests.streams import Stream, ask
from tests.transports.doors import serving, tcp


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots come more often than every second."""
    monkeypatch.setattr(monitor, "_TICK", 0.1)
    monkeypatch.setattr(live, "_TURN", 0.02)


async def look(server: InProcess, query: str = "", receive_buffer: int = 0) -> Stream:
    key = await server.key("admin", "op")
    stream = await ask(await tcp(server, receive_buffer), f"/api/live?{query}", X_Api_Key=key)
    assert stream.status == 200, stream.answer
    return stream


async def publish(server: InProcess, channel: str, data: Any = None, event: str = "view") -> dict[str, Any]:
    body = {"channel": channel, "event": event, "data": data}
    answer = await (await server.operator()).post("/api/publish", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def told(stream: Stream) -> list[dict[str, Any]]:
    """The next events."""
    return list(orjson.loads((await stream.until("events")).data)["items"])


async def snapshot(stream: Stream, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The next snapshot for which this holds."""
    with trio.fail_after(20):
        while True:
            found = orjson.loads((await stream.until("snapshot")).data)
            if holds(found):
                return dict(found)


async def test_a_snapshot_tells_rates_latency_connections_and_which_channel_is_busy() -> None:
    async with serving() as server, server.websocket("/blog/ws/articles/a", await server.key("blog", "ann")):
        await server.subscribed("article:a")
        stream = await look(server)
        assert orjson.loads((await stream.until("past")).data) == {"items": []}
        for number in range(5):
            await publish(server, "article:a", {"n": number})
        seen = await snapshot(stream, lambda it: it["published"] and it["delivered"])
        assert 0 < seen["p50"] <= seen["p99"] < 5
        assert seen["connections"] == 2 and seen["protocols"] == {"blog": 1, "console": 1}
        assert seen["memory"] > 10_000_000 and seen["waiting"] == 0 and seen["slow"] == []
        (busy,) = seen["channels"]
        assert (busy["channel"], busy["event"], busy["subscribers"]) == ("article:a", "view", 1) and busy["rate"] > 0
        later = await look(server)
        assert seen["time"] in [item["time"] for item in orjson.loads((await later.until("past")).data)["items"]]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("events=1", [0, 1, 2, 3]),
        ("events=1&channel=article:a", [0, 1]),
        ("events=1&channel=article:*", [0, 1, 2]),
        ("events=1&channel=art*", [0, 1, 2]),
        ("events=1&event=sold", [1, 3]),
        ("events=1&text=gr%C3%BCn", [1]),
        ("events=1&channel=article:*&event=sold&text=sol", [1]),
    ],
)
async def test_events_come_as_the_filter_says(query: str, wanted: list[int]) -> None:
    async with serving(channels={"passing": KindSettings(history=False)}) as server:
        stream = await look(server, query)
        await stream.until("snapshot")
        events = [
            ("article:a", "view", 1),
            ("article:a", "sold", "grün"),
            ("article:b", "view", 2),
            ("passing:x", "sold", 3),
        ]
        receipts = [await publish(server, channel, data, name) for channel, name, data in events]
        shown: list[dict[str, Any]] = []
        while len(shown) < len(wanted):
            shown += await told(stream)
        assert [item["id"] for item in shown] == [receipts[number]["id"] for number in wanted]
        first, receipt = shown[0], receipts[wanted[0]]
        assert first["data"] == events[wanted[0]][2] and first["timestamp"] == receipt["timestamp"]
        assert first["position"] == f"{receipt['epoch']}-{receipt['offset']}"


async def test_of_large_data_the_beginning_is_shown() -> None:
    async with serving() as server:
        stream = await look(server, "events=1")
        await stream.until("snapshot")
        await publish(server, "article:a", "é" * 50_000)
        (item,) = await told(stream)
        assert "data" not in item and item["size"] == 100_002 and item["beginning"].startswith('"ééé')
        assert len(item["beginning"].encode()) <= 8 * KIB


async def test_events_that_come_too_fast_are_left_out_and_counted() -> None:
    async with serving(console_events=500) as server:
        stream = await look(server, "events=1")
        await stream.until("snapshot")
        events = [{"channel": "article:a", "event": "e", "data": n} for n in range(500)]
        answer = await (await server.operator()).post("/api/publish/batch", json={"events": events})
        assert answer.status_code == 201
        found = orjson.loads((await stream.until("events")).data)
        assert [item["data"] for item in found["items"]] == list(range(10))  # a quarter of a second's
        assert found["dropped"] == 490


async def test_a_page_that_does_not_read_is_shown_less_and_holds_up_nobody() -> None:
    async with serving(console_events=10_000) as server:
        stream = await look(server, "events=1", receive_buffer=4096)
        await stream.until("snapshot")
        events = [{"channel": "article:a", "event": "e", "data": "x" * 7_000} for _ in range(60)]
        for _ in range(8):
            assert (
                await (await server.operator()).post("/api/publish/batch", json={"events": events})
            ).status_code == 201
            await trio.sleep(0.03)  # it has its turn
        console = next(item for item in server.running.server.connections if item.protocol == "console")
        assert console.outbox.queued < 768 * KIB
        dropped = shown = 0
        while shown + dropped < 480:
            found = orjson.loads((await stream.until("events")).data)
            shown += len(found["items"])
            dropped += found["dropped"]
        assert dropped > 0 and shown + dropped == 480


async def test_who_is_behind_is_shown_with_what_waits_and_where_it_reads() -> None:
    async with serving(outbox=64 * KIB) as server:
        slow = await tcp(server, 4096)
        await slow.upgrade("/blog/ws/articles/a", X_Api_Key=await server.key("blog", "ann"))
        await server.subscribed("article:a")
        stream = await look(server)
        for _ in range(12):
            await publish(server, "article:a", "x" * 60_000)
        seen = await snapshot(stream, lambda it: any(item["reads"] == "history" for item in it["slow"]))
        (item,) = [item for item in seen["slow"] if item["user"] == "ann"]
        assert item["queued"] > 0 and item["protocol"] == "blog"
        listed = (await (await server.operator()).get("/api/connections?filter=ann")).json()
        assert [found["reads"] for found in listed["items"]] == ["history"]


async def test_nothing_is_observed_while_nobody_looks() -> None:
    async with serving() as server:
        committer = server.running.server.hub.committer
        assert committer.observer is None
        stream = await look(server)
        await stream.until("snapshot")
        assert committer.observer is not None
        await stream.peer.stream.aclose()
        with trio.fail_after(10):
            while committer.observer is not None:  # noqa: ASYNC110  # the next tick takes it away
                await trio.sleep(0.01)
        before = len(server.running.server.monitor.past)
        await trio.sleep(0.2)
        assert len(server.running.server.monitor.past) == before


async def test_why_connections_ended_is_told_and_remembered() -> None:
    async with serving() as server:
        stream = await look(server)
        await stream.until("snapshot")
        operator, key = await server.operator(), await server.key("blog", "ann")
        async with server.websocket("/blog/ws/articles/a", key):
            await server.subscribed("article:a")
            await server.revoke(key)
            seen = await snapshot(stream, lambda it: bool(it["disconnects"]))
        (gone,) = seen["disconnects"]
        assert (gone["user"], gone["reason"], gone["text"]) == ("ann", "revoked", "credential revoked")
        assert gone["channels"] == ["article:a"] and gone["opened"] <= gone["closed"]
        assert (await operator.get("/api/disconnects")).json()["items"][0] == gone


async def test_the_latest_of_many_disconnects_are_kept() -> None:
    async with serving(login_rate=0) as server:
        for number in range(205):
            async with server.websocket(f"/blog/ws/articles/{number}?token=wrong") as websocket:
                with contextlib.suppress(trio_websocket.ConnectionClosed):
                    await websocket.get_message()
        items = (await (await server.operator()).get("/api/disconnects")).json()["items"]
        assert len(items) == 200 and {item["reason"] for item in items} == {"unauthorized"}


@pytest.mark.parametrize("kind", ["blog", "project", "stream", "token", "nobody"])
async def test_it_is_for_the_operator_alone(kind: str) -> None:
    async with serving() as server:
        headers = {}
        if kind == "token":
            headers = {"Authorization": f"Bearer {server.token('ann', role='admin')}"}
        elif kind != "nobody":
            headers = {"X_Api_Key": await server.key(kind, "ann")}
        stream = await ask(await tcp(server), "/api/live", **headers)
        assert stream.status == (401 if kind == "nobody" else 403)
        peer = server.http()
        for path in ("/api/live", "/api/disconnects"):
            method = "HEAD" if path.endswith("live") else "GET"
            assert (await peer.request(method, path)).status_code == 401


ELSEWHERE = {
    "a page on another port": {"Accept": "text/event-stream", "Sec_Fetch_Site": "same-site"},
    "a page elsewhere": {"Accept": "text/event-stream", "Sec_Fetch_Site": "cross-site"},
    "an old browser's page elsewhere": {"Accept": "text/event-stream", "Origin": "http://localhost:3000"},
    "an image": {"Accept": "image/avif,image/webp,*/*"},
    "a link": {"Accept": "text/html,*/*", "Sec_Fetch_Site": "none"},
}


@pytest.mark.parametrize("headers", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_with_the_cookie_it_opens_for_our_own_page_alone(headers: dict[str, str]) -> None:
    async with serving() as server:
        client, key = server.http(), await server.key("admin", "op")
        await client.post("/api/session", json={"key": key}, headers={"Origin": server.url})
        cookie = "rtlite_session=" + next(iter(client.cookies.jar)).value
        refused = await ask(await tcp(server), "/api/live", Cookie=cookie, **headers)
        assert refused.status == 403 and refused.answer.code == "origin_not_allowed"
        for ours in ({"Sec_Fetch_Site": "same-origin"}, {}):
            stream = await ask(await tcp(server), "/api/live", Cookie=cookie, Accept="text/event-stream", **ours)
            assert stream.status == 200


async def test_an_operator_who_closes_a_console_is_not_bothered_by_it_again() -> None:
    async with serving() as server:
        stream, operator = await look(server), await server.operator()
        await stream.until("snapshot")
        (console,) = (await operator.get("/api/connections?filter=console")).json()["items"]
        await operator.delete(f"/api/connections/{console['id']}")
        last = await stream.until("closed")
        again = await ask(
            await tcp(server), "/api/live", X_Api_Key=await server.key("admin", "op"), Last_Event_ID=last.id or ""
        )
        assert again.status == 204


async def test_what_is_shown_goes_on_whatever_fault_is_set() -> None:
    async with serving(faults=True) as server:
        operator, stream = await server.operator(), await look(server)
        for fault in (
            {"kind": "half-open"},
            {"kind": "slow-reader", "rate": 2_000},
            {"kind": "close"},
            {"kind": "refuse"},
        ):
            assert (await operator.post("/api/faults", json=fault)).status_code == 201
        opened_later = await look(server)
        for each in (stream, opened_later):
            await snapshot(each, lambda _: True)
        listed = (await operator.get("/api/faults")).json()["items"]
        assert [fault["struck"] for fault in listed] == [0, 0, 0, 0]

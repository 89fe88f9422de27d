"""``/sse``: who may listen to what, what comes first, and where a client goes on that comes back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import trio

from rtlite.protocols import sse
from rtlite.settings import KindSettings
from tests.servers import InProcess
from tests.streams import Stream, ask
from tests.transports.doors import head, serving, tcp

FORGETFUL = {"typing": KindSettings(history=False)}


async def publish(server: InProcess, channel: str, data: Any = None, event: str = "UPDATED") -> dict:
    answer = await (await server.operator()).post(
        "/api/publish", json={"channel": channel, "event": event, "data": data}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


async def listen(server: InProcess, target: str, **headers: str) -> Stream:
    return await ask(await tcp(server), target, **headers)


async def connected(stream: Stream) -> dict:
    event = await stream.next()
    assert event.name == "connected", event
    return orjson.loads(event.data)


# --- what comes


async def test_the_source_texts_events_come_after_connected() -> None:
    async with serving() as server:
        token = server.token("usr_abc123")
        stream = await listen(server, f"/sse/notifications:usr_abc123?token={token}")
        event = await stream.next()
        first = orjson.loads(event.data)
        assert event.name == "connected" and event.id == first["position"]
        assert (first["channel"], first["userId"], first["recovered"]) == (
            "notifications:usr_abc123",
            "usr_abc123",
            True,
        )
        # The text's fetch client hands whatever has data to one function: "All events are JSON objects with
        # channel, event, and data fields".
        assert (first["event"], first["data"]["userId"]) == ("connected", "usr_abc123")
        assert stream.decoder.retry == 3000
        data = {"id": "notif_abc123", "type": "order_update", "title": "Order Shipped", "userId": "usr_abc123"}
        receipt = await publish(server, "notifications:usr_abc123", data, "notification.new")
        event = await stream.next()
        assert event.name == "message"  # so that onmessage gets it
        assert orjson.loads(event.data) == {
            "channel": "notifications:usr_abc123",
            "event": "notification.new",
            "data": data,
        }
        assert event.id == f"{receipt['epoch']}-{receipt['offset']}"


async def test_several_channels_come_as_one_stream_in_the_order_of_their_commits() -> None:
    async with serving() as server:
        key = await server.key("project", "shop")
        stream = await listen(
            server, f"/sse?channel=changes:product&channel=jobs:*&channel=changes:product&apiKey={key}"
        )
        first = await connected(stream)
        assert first["channels"] == ["changes:product", "jobs:*"] and first["recovered"]
        names = ["changes:product", "jobs:1", "changes:order", "jobs:2", "changes:product"]
        for name in names:
            await publish(server, name)
        events = [await stream.next() for _ in range(4)]
        assert [orjson.loads(event.data)["channel"] for event in events] == [n for n in names if n != "changes:order"]
        epoch = first["position"].partition("-")[0]
        assert [event.id for event in events] == [f"{epoch}-{sequence}" for sequence in (1, 2, 4, 5)]

        again = await listen(
            server, f"/sse?channel=changes:product&channel=jobs:*&apiKey={key}", Last_Event_ID=str(events[1].id)
        )
        assert (await connected(again))["recovered"]
        assert [(await again.next()).id for _ in range(2)] == [events[2].id, events[3].id]


async def test_the_path_and_the_query_may_name_channels_together() -> None:
    async with serving() as server:
        key = await server.key("project", "shop")
        stream = await listen(server, f"/sse/changes:a?channel=changes:b&apiKey={key}")
        assert (await connected(stream))["channels"] == ["changes:a", "changes:b"]


async def test_what_is_not_kept_has_no_id_beside_what_is() -> None:
    async with serving(channels=FORGETFUL) as server:
        key = await server.key("admin", "root")
        stream = await listen(server, f"/sse?channel=typing:1&channel=news:1&token={key}")
        first = await connected(stream)
        await publish(server, "typing:1")
        await publish(server, "news:1")
        passing, kept = await stream.next(), await stream.next()
        assert passing.id == first["position"] != kept.id
        assert stream.body.count(b"id: ") == 2


async def test_of_a_whole_kind_that_keeps_nothing_no_event_has_an_id() -> None:
    async with serving(channels=FORGETFUL) as server:
        key = await server.key("admin", "root")
        stream = await listen(server, f"/sse/typing:*?token={key}")
        assert (await connected(stream))["position"] is None
        await publish(server, "typing:1")
        assert (await stream.next()).id is None


@pytest.mark.parametrize("target", ["/sse/news:1", "/sse?channel=news:1&channel=news:2"])
async def test_http_1_0_gets_the_same_events_without_chunks(target: str) -> None:
    async with serving() as server:
        key = await server.key("admin", "root")
        old = await ask(await tcp(server), target, version="1.0", X_Api_Key=key)
        new = await listen(server, target, X_Api_Key=key)
        await connected(old)
        await connected(new)
        await publish(server, "news:1", {"a": 1})
        assert await old.next() == await new.next()
        assert "transfer-encoding" not in old.headers


# --- where it goes on


async def test_a_resume_before_the_first_event_misses_nothing() -> None:
    async with serving() as server:
        key = await server.key("admin", "root")
        stream = await listen(server, f"/sse/news:1?token={key}")
        last = (await stream.next()).id
        await stream.peer.stream.aclose()
        await publish(server, "news:1", 1)
        again = await listen(server, f"/sse/news:1?token={key}", Last_Event_ID=str(last))
        assert (await connected(again))["recovered"]
        assert (await again.data())["data"] == 1


@pytest.mark.parametrize("name", ["lastEventId", "last_event_id", "since"])
async def test_the_header_wins_over_the_query(name: str) -> None:
    async with serving() as server:
        key = await server.key("admin", "root")
        receipts = [await publish(server, "news:1", number) for number in range(4)]
        places = [f"{receipt['epoch']}-{receipt['offset']}" for receipt in receipts]
        by_query = await listen(server, f"/sse/news:1?{name}={places[0]}&token={key}")
        assert (await connected(by_query))["position"] == places[0]
        assert [(await by_query.data())["data"] for _ in range(3)] == [1, 2, 3]
        both = await listen(server, f"/sse/news:1?{name}={places[0]}&token={key}", Last_Event_ID=places[2])
        assert (await connected(both))["position"] == places[2]
        assert (await both.data())["data"] == 3


@pytest.mark.parametrize("since", ["1h", "2020-01-01", "{id}", "{position}"])
async def test_every_way_to_name_a_place_works(since: str) -> None:
    async with serving() as server:
        key = await server.key("admin", "root")
        receipt = await publish(server, "news:1", 0)
        await publish(server, "news:1", 1)
        text = since.format(id=receipt["id"], position=f"{receipt['epoch']}-1")
        stream = await listen(server, f"/sse/news:1?since={text}&token={key}")
        assert (await connected(stream))["recovered"]
        assert (await stream.data())["data"] == (1 if "{" in since else 0)


@pytest.mark.parametrize("last", ["x" * 129, "not a place!", "01234567-9\tz"])
async def test_what_cannot_be_read_as_a_place_is_said_and_ends_nothing(last: str) -> None:
    async with serving() as server:
        key = await server.key("admin", "root")
        await publish(server, "news:1", 0)
        stream = await listen(server, f"/sse/news:1?token={key}", Last_Event_ID=last)
        assert not (await connected(stream))["recovered"]
        await publish(server, "news:1", 1)
        assert (await stream.data())["data"] == 1


@pytest.mark.parametrize("last", ["ffffffff-1", "nosuchid"])
async def test_a_place_that_is_gone_gives_what_is_kept_and_says_so(last: str) -> None:
    async with serving() as server:
        key = await server.key("admin", "root")
        await publish(server, "news:1", 0)
        stream = await listen(server, f"/sse/news:1?token={key}", Last_Event_ID=last)
        assert not (await connected(stream))["recovered"]
        assert (await stream.data())["data"] == 0


# --- who may


@pytest.mark.parametrize(
    ("who", "channel", "status"),
    [
        ("project", "changes:product", 200),
        ("project", "changes:*", 200),
        ("project", "jobs:7", 200),
        ("project", "notifications:shop", 403),
        ("project", "news:1", 403),
        ("blog", "article:a", 200),
        ("blog", "notifications:shop", 200),
        ("blog", "notifications:other", 403),
        ("blog", "changes:product", 403),
        ("stream", "changes:product", 403),
        ("admin", "news:1", 200),
        ("admin", "news:*", 200),
        ("admin", "*", 400),
        ("admin", "a:b:*", 400),
        ("admin", "x" * 256, 400),
        ("admin", "a%20b", 400),
        ("admin", "%C3%BC", 400),
        ("admin", "%ff", 400),
        ("none", "changes:product", 401),
        ("wrong", "changes:product", 401),
    ],
)
async def test_the_credential_decides(who: str, channel: str, status: int) -> None:
    async with serving() as server:
        secret = {"none": "", "wrong": "pk_live_wrong"}.get(who) if who in {"none", "wrong"} else None
        secret = await server.key(who, "shop") if secret is None else secret
        peer = await tcp(server)
        stream = await ask(peer, f"/sse/{channel}?apiKey={secret}")
        assert stream.status == status
        if status == 200:
            await connected(stream)
        else:
            assert stream.answer.code
        await peer.stream.aclose()
        if channel != "%ff":
            seen = await server.http(secret or None).head(f"/sse/{channel}")
            assert seen.status_code == status


@pytest.mark.parametrize("how", ["bearer", "header", "token", "apiKey"])
async def test_a_credential_comes_by_header_or_query(how: str) -> None:
    async with serving() as server:
        key = await server.key("project", "shop")
        headers = {"bearer": {"Authorization": f"Bearer {key}"}, "header": {"X_Api_Key": key}}.get(how, {})
        query = {"token": f"?token={key}", "apiKey": f"?apiKey={key}"}.get(how, "")
        assert (await connected(await listen(server, f"/sse/changes:a{query}", **headers)))["channel"] == "changes:a"


async def test_one_channel_that_may_not_be_read_refuses_them_all_without_repeating_its_name() -> None:
    async with serving() as server:
        key = await server.key("project", "shop")
        stream = await listen(server, f"/sse?channel=changes:a&channel=secret:plan&apiKey={key}")
        assert (stream.status, stream.answer.code) == (403, "forbidden")
        assert "2 of 2" in stream.answer.json["detail"] and b"secret" not in stream.answer.body


async def test_a_stream_has_128_channels_at_most() -> None:
    async with serving() as server:
        key = await server.key("project", "shop")
        names = [f"channel=changes:{number}" for number in range(129)]
        stream = await listen(server, f"/sse?{'&'.join(names)}&apiKey={key}")
        assert stream.status == 400
        stream = await listen(server, f"/sse?{'&'.join(names[1:])}&apiKey={key}")
        assert len((await connected(stream))["channels"]) == 128


async def test_nothing_named_is_refused() -> None:
    async with serving() as server:
        stream = await listen(server, f"/sse?apiKey={await server.key('project', 'shop')}")
        assert stream.status == 400 and "channel" in stream.answer.json["detail"]


async def test_too_many_failed_logins_are_told_to_come_back_later() -> None:
    async with serving(login_rate=2) as server:
        for _ in range(2):
            assert (await listen(server, "/sse/changes:a?apiKey=pk_live_wrong")).status == 401
        stream = await listen(server, "/sse/changes:a?apiKey=pk_live_wrong")
        assert stream.status == 200
        (event,) = await stream.rest()
        assert orjson.loads(event.data)["code"] == "rate_limited"
        assert stream.decoder.retry is not None and stream.decoder.retry >= 15_000


# --- other methods


async def test_the_paths_say_what_they_are_to_head_options_and_the_rest() -> None:
    async with serving(allowed_origins=("https://shop.example",)) as server:
        client = server.http(await server.key("project", "shop"))
        seen = await client.head("/sse/changes:a")
        assert seen.status_code == 200 and seen.headers["content-type"] == sse.CONTENT_TYPE and not seen.content
        asked = await client.options(
            "/sse/changes:a",
            headers={"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"},
        )
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == "https://shop.example"
        assert "Last-Event-ID" in asked.headers["access-control-allow-headers"]
        assert "GET" in asked.headers["access-control-allow-methods"]
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            refused = await client.request(method, "/sse/changes:a")
            assert (refused.status_code, refused.headers["allow"]) == (405, "GET")
        assert (await client.get("/sse/a/b")).status_code == 404


# --- the end


async def test_who_loses_its_key_is_told_and_does_not_come_back() -> None:
    async with serving() as server:
        key = await server.key("project", "shop")
        stream = await listen(server, f"/sse/changes:a?apiKey={key}")
        await connected(stream)
        await server.revoke(key)
        assert orjson.loads((await stream.next()).data)["code"] == "revoked"
        assert (await stream.rest(), stream.ended) == ([], True)
        assert (await listen(server, f"/sse/changes:a?apiKey={key}")).status == 401


async def test_a_token_that_expires_ends_its_stream_and_opens_no_other() -> None:
    async with serving(jwt_leeway=0.0) as server:
        token = server.token("ann", ttl=2.0)
        stream = await listen(server, f"/sse/notifications:ann?token={token}")
        await connected(stream)
        assert orjson.loads((await stream.next()).data)["code"] == "expired"
        assert (await stream.rest(), stream.ended) == ([], True)
        assert (await listen(server, f"/sse/notifications:ann?token={token}")).status == 401


async def test_who_is_closed_by_the_operator_comes_back_once_and_gets_204() -> None:
    async with serving() as server:
        key = await server.key("project", "shop")
        stream = await listen(server, f"/sse/changes:a?apiKey={key}")
        await connected(stream)
        client = await server.operator()
        (shown,) = (await client.get("/api/connections")).json()["items"]
        assert (shown["protocol"], shown["channels"]) == ("sse", ["changes:a"])
        assert (await client.delete(f"/api/connections/{shown['id']}")).status_code in {200, 204}
        (event,) = await stream.rest()
        assert orjson.loads(event.data)["code"] == "closed_by_operator"
        peer = await tcp(server)
        await peer.send(head(f"GET /sse/changes:a?apiKey={key}", Last_Event_ID=str(event.id)))
        assert (await peer.answer()).status == 204
        await connected(await listen(server, f"/sse/changes:a?apiKey={key}"))  # one that is new is no such client


async def test_a_stopping_server_says_so() -> None:
    async with serving() as server:
        stream = await listen(server, f"/sse/changes:a?apiKey={await server.key('project', 'shop')}")
        await connected(stream)
        server.running.stop()
        assert orjson.loads((await stream.next()).data)["code"] == "stopping"
        assert stream.decoder.retry is not None and 1000 <= stream.decoder.retry <= 5000
        assert (await stream.rest(), stream.ended) == ([], True)


async def test_who_is_removed_from_a_conversation_hears_no_more_of_it() -> None:
    async with serving() as server:
        client = await server.operator()
        assert (await client.put("/conversations/c1/members/ann", json={})).status_code in {200, 201, 204}
        token = server.token("ann")
        stream = await listen(server, f"/sse?channel=conversation:c1&channel=article:a&token={token}")
        await connected(stream)
        await client.delete("/conversations/c1/members/ann")
        assert orjson.loads((await stream.next()).data)["code"] == "forbidden"
        assert (await listen(server, f"/sse/conversation:c1?token={token}")).status == 403


async def test_nothing_is_left_of_a_client_that_went() -> None:
    async with serving() as server:
        key = await server.key("project", "shop")
        stream = await listen(server, f"/sse?channel=changes:a&channel=changes:b&apiKey={key}")
        await connected(stream)
        fanout = server.running.server.hub.fanout
        assert fanout.topics
        await stream.peer.stream.aclose()
        with trio.fail_after(5):
            while fanout.topics or len(server.running.server.connections):  # noqa: ASYNC110
                await trio.sleep(0.01)


@pytest.mark.parametrize("query", ["channel=secret:a&channel=changes:a", "channel=changes:a&channel=secret:a"])
async def test_a_head_asks_for_the_right_to_each_of_several_channels(query) -> None:
    async with serving() as server:
        client = server.http(await server.key("project", "p"))
        assert (await client.head(f"/sse?{query}")).status_code == 403
        assert (await client.head("/sse?channel=changes:a&channel=jobs:a")).status_code == 200
        assert (await client.head("/sse")).status_code == 400


async def test_what_is_published_once_the_right_is_gone_does_not_come(monkeypatch) -> None:
    """It may be taken away between the first question and the last: nothing is subscribed to until then."""
    async with serving() as server:
        answers = [True, False]

        async def may_read(*_: object) -> bool:
            if not answers[1:]:
                await publish(server, "conversation:c1", "SECRET")
            return answers.pop(0)

        monkeypatch.setattr(server.running.server.access, "may_read", may_read)
        stream = await listen(server, f"/sse/conversation:c1?token={server.token('u')}")
        assert [event.name for event in await stream.rest()] == ["closed"]
        assert b"forbidden" in stream.body and b"SECRET" not in stream.body


# --- presence


async def test_a_listener_may_be_seen_on_its_channels_and_for_a_moment_after() -> None:
    async with serving(presence_grace=0.1) as server:
        token = server.token("ann", subscribe=["room:*"])
        client = await server.operator()
        stream = await listen(server, f"/sse?channel=room:1&channel=room:2&token={token}&presence=%7B%22mood%22:1%7D")
        await connected(stream)

        async def members() -> list[dict]:
            return (await client.get("/api/channels/room:2/presence")).json()["items"]

        with trio.fail_after(5):
            while not (found := await members()):  # noqa: ASYNC110
                await trio.sleep(0.01)
            assert (found[0]["user"], found[0]["data"]) == ("ann", {"mood": 1})
            await stream.peer.stream.aclose()
            while await members():  # noqa: ASYNC110
                await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("channel", "presence", "status"),
    [("room:1", "1", 200), ("room:1", "0", 200), ("room:*", "1", 400), ("room:1", "[]", 400), ("room:1", "{", 400)],
)
async def test_presence_that_cannot_be_is_refused(channel: str, presence: str, status: int) -> None:
    async with serving() as server:
        key = await server.key("admin", "root")
        stream = await listen(server, f"/sse/{channel}?token={key}&presence={presence}")
        assert stream.status == status
        if presence in {"[]", "{"}:
            assert stream.answer.json["detail"].startswith("presence: ")


async def test_a_kind_without_presence_is_404_when_it_is_asked_for() -> None:
    async with serving(channels={"silent": KindSettings(presence=False)}) as server:
        key = await server.key("admin", "root")
        stream = await listen(server, f"/sse/silent:1?token={key}&presence=1")
        assert (stream.status, stream.answer.code) == (404, "no_presence")
        await connected(await listen(server, f"/sse/silent:1?token={key}"))

"""``/streams`` over HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import trio

from rtlite.errors import Overloaded, StorageFull
from tests.servers import InProcess
from tests.transports.doors import serving

NDJSON = {"Content-Type": "application/x-ndjson"}
TEXT = {"Content-Type": "text/plain"}
MESSAGES = "/streams/s/messages"


@pytest.fixture
async def server() -> AsyncIterator[InProcess]:
    async with serving() as server:
        yield server


@pytest.fixture
async def ann(server: InProcess) -> httpx.AsyncClient:
    client = server.http(await server.key("stream", "ann"))
    assert (await client.put("/streams/s", json={"storeHistory": True})).status_code == 201
    return client


@pytest.fixture
async def bob(server: InProcess) -> httpx.AsyncClient:
    return server.http(await server.key("stream", "bob"))


async def told(client: httpx.AsyncClient, channel: str = "", **query: Any) -> list[Any]:
    page = (await client.get(MESSAGES, params={"channel": channel, "limit": 10_000, **query})).json()
    return [item["data"] for item in page["items"]]


# --- making, changing, deleting


async def test_an_owner_makes_changes_lists_and_deletes_a_stream(server: InProcess) -> None:
    client = server.http(await server.key("stream", "ann"))
    made = await client.put("/streams/s")
    assert made.status_code == 201
    assert made.json() == {
        "id": "s",
        "owner": "ann",
        "storeHistory": False,
        "retention": {"age": "7d", "count": 10_000, "bytes": 64 * 1024 * 1024},
        "created": made.json()["created"],
    }
    wanted = {"storeHistory": True, "retention": {"age": "30d", "count": 50_000, "bytes": 10**9}}
    changed = await client.put("/streams/s", json=wanted)
    assert changed.status_code == 200
    assert changed.json() == made.json() | wanted
    assert (await client.put("/streams/s", json=changed.json())).json() == changed.json()
    assert (await client.get("/streams/s")).json() == changed.json()
    assert (await client.get("/streams")).json() == {"items": [changed.json()], "next": None}
    assert (await client.delete("/streams/s")).status_code == 204
    assert (await client.delete("/streams/s")).status_code == 404
    assert (await client.get("/streams")).json()["items"] == []


async def test_other_owners_see_nothing_of_it(ann: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    assert (await ann.post(MESSAGES, json="secret")).status_code == 201
    nowhere = (await bob.get("/streams/nowhere")).json()
    for method, path in (
        ("GET", "/streams/s"),
        ("PUT", "/streams/s"),
        ("DELETE", "/streams/s"),
        ("GET", MESSAGES),
        ("POST", MESSAGES),
        ("GET", f"{MESSAGES}?channel=errors"),
    ):
        answer = await bob.request(method, path, json={} if method != "GET" else None)
        assert answer.json() == nowhere, (method, path)
    lines = await bob.post(MESSAGES, content=b"x\n", headers=TEXT)
    assert lines.json() == nowhere
    assert (await bob.get("/streams")).json()["items"] == []
    assert await told(ann) == ["secret"]


async def test_the_operator_manages_everybodys_and_says_whose_a_new_one_is(
    server: InProcess, ann: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    operator = await server.operator()
    assert (await operator.put("/streams/t", json={"owner": "bob"})).json()["owner"] == "bob"
    assert (await operator.put("/streams/u")).json()["owner"] == "operator"
    assert [item["id"] for item in (await operator.get("/streams")).json()["items"]] == ["s", "t", "u"]
    assert [item["id"] for item in (await operator.get("/streams?after=s")).json()["items"]] == ["t", "u"]
    assert (await operator.put("/streams/s", json={"retention": {"count": 7}})).json()["owner"] == "ann"
    assert (await ann.get("/streams/s")).json()["retention"]["count"] == 7
    assert (await bob.get("/streams/t")).status_code == 200
    for client, path, owner in (
        (operator, "/streams/s", "bob"),
        (bob, "/streams/new", "ann"),
        (bob, "/streams/t", "ann"),
    ):
        assert (await client.put(path, json={"owner": owner})).status_code == 403
    assert (await operator.delete("/streams/s")).status_code == 204
    assert (await ann.get("/streams/s")).status_code == 404


async def test_only_stream_keys_and_the_operator_manage_streams(server: InProcess, ann: httpx.AsyncClient) -> None:
    narrow = (await ann.post("/api/tickets", json={})).json()["ticket"]
    assert (await server.http(narrow).get("/streams/s")).status_code == 200
    for secret in (
        await server.key("blog", "ann"),
        await server.key("project", "ann", write=True),
        server.token("ann", publish=["*"], subscribe=["*"]),
    ):
        client = server.http(secret)
        for method, path in (
            ("GET", "/streams"),
            ("GET", "/streams/s"),
            ("PUT", "/streams/n"),
            ("DELETE", "/streams/s"),
        ):
            assert (await client.request(method, path)).status_code == 403
    assert (await server.http().get("/streams")).status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"storeHistory": 1}, "storeHistory"),
        ({"retention": "7d"}, "retention"),
        ({"retention": {"age": "soon"}}, "retention.age"),
        ({"retention": {"age": "3660d"}}, "retention.age: at most 365d"),
        ({"retention": {"count": -1}}, "retention.count"),
        ({"retention": {"count": 10**12}}, "retention.count"),
        ({"retention": {"bytes": 2**62}}, "retention.bytes"),
        ({"retention": {"bytes": "1MiB"}}, "retention.bytes"),
    ],
)
async def test_a_wrong_field_is_named(body: Any, field: str, ann: httpx.AsyncClient) -> None:
    answer = await ann.put("/streams/s", json=body)
    assert answer.status_code == 400 and field in answer.json()["detail"]


async def test_what_cannot_be_a_name_is_400(ann: httpx.AsyncClient) -> None:
    for path in ("/streams/a:b", "/streams/a%20b", "/streams/%2A", "/streams/" + "x" * 65, "/streams/a%2Fb"):
        assert (await ann.put(path)).status_code == 400
        assert (await ann.post(f"{path}/messages", json=1)).status_code == 400
    for channel in ("*", "a b", "é", "x" * 250):
        assert (await ann.post(MESSAGES, params={"channel": channel}, json=1)).status_code == 400


# --- writing


async def test_a_message_is_any_json(ann: httpx.AsyncClient) -> None:
    for message in ({"a": [1]}, "text", 5, None, [1, 2], True):
        answer = await ann.post(MESSAGES, content=orjson.dumps(message))
        assert answer.status_code == 201
        assert list(answer.json()) == ["id", "channel", "offset", "epoch", "timestamp"]
    assert await told(ann) == [{"a": [1]}, "text", 5, None, [1, 2], True]
    for wrong in (b"", b"{", b"nope"):
        assert (await ann.post(MESSAGES, content=wrong)).json()["code"] == "invalid_json"


async def test_lines_are_messages_in_their_order(ann: httpx.AsyncClient) -> None:
    answer = await ann.post(MESSAGES, content=b"one\n\n{2}\r\nthree", headers=TEXT)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["last"]["offset"]) == (201, 4, 4)
    answer = await ann.post(MESSAGES, content=b'{"a": 5}\n\n  \n"six"\n7', headers=NDJSON)
    assert (answer.json()["accepted"], answer.json()["last"]["offset"]) == (3, 7)
    assert await told(ann) == ["one", "", "{2}", "three", {"a": 5}, "six", 7]
    empty = await ann.post(MESSAGES, content=b"", headers=NDJSON)
    assert (empty.status_code, empty.json()) == (200, {"accepted": 0, "last": None})


async def test_channels_are_apart_and_an_event_can_be_named(ann: httpx.AsyncClient) -> None:
    await ann.post(MESSAGES, json="out")
    await ann.post(f"{MESSAGES}?channel=errors", json="err")
    await ann.post(f"{MESSAGES}?channel=my%3Aown&event=exit", json=0)
    assert (await told(ann), await told(ann, "errors"), await told(ann, "my:own")) == (["out"], ["err"], [0])
    item = (await ann.get(MESSAGES, params={"channel": "my:own"})).json()["items"][0]
    assert (item["stream"], item["channel"], item["event"]) == ("s", "my:own", "exit")
    assert list(item) == ["id", "stream", "channel", "event", "data", "timestamp", "offset", "epoch"]


async def test_a_program_streams_into_one_request_and_each_line_is_there_at_once(ann: httpx.AsyncClient) -> None:
    async def program() -> AsyncIterator[bytes]:
        for number in range(3):
            assert len(await told(ann)) == number
            yield f"line {number}\npart".encode()
            with trio.fail_after(5):
                while len(await told(ann)) == number:
                    pass
            yield b"\b\b\b\b"
        yield b"\n"

    answer = await ann.post(MESSAGES, content=program(), headers=TEXT, timeout=30)
    assert answer.json()["accepted"] == 4
    assert (await told(ann))[1:] == ["part\b\b\b\bline 1", "part\b\b\b\bline 2", "part\b\b\b\b"]


async def test_what_is_sent_again_with_its_id_is_published_once(ann: httpx.AsyncClient) -> None:
    for status in (201, 200):
        assert (await ann.post(f"{MESSAGES}?id=one", json=1)).status_code == status
    for body in (b"a\nb\n", b"a\nb\nc\n", b"a\nb\n"):
        assert (await ann.post(f"{MESSAGES}?id=many", content=body, headers=TEXT)).status_code == 201
    assert await told(ann) == [1, "a", "b", "c"]
    for id in ("x" * 65, "a b", ""):
        assert (await ann.post(MESSAGES, params={"id": id}, json=1)).status_code == 400
    assert (await ann.post(MESSAGES, params={"id": "x" * 63}, content=b"a", headers=TEXT)).status_code == 400


async def test_a_line_that_is_wrong_is_named_and_those_before_it_stay(ann: httpx.AsyncClient) -> None:
    answer = await ann.post(MESSAGES, content=b"1\n2\n{secret\n4\n", headers=NDJSON)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
    assert answer.json()["detail"] == "line 3: the body is not JSON (accepted before: 2)"
    assert await told(ann) == [1, 2]


async def test_a_line_over_the_limit_is_413() -> None:
    async with serving(max_message=10) as server:
        client = server.http(await server.key("stream", "ann"))
        answer = await client.post(MESSAGES, content=b"ok\n" + b"x" * 11, headers=TEXT)
        assert answer.status_code == 413 and "accepted before: 1" in answer.json()["detail"]


async def test_a_line_in_chunks_of_a_byte_each_holds_up_nobody_else(ann: httpx.AsyncClient) -> None:
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        last = time.thread_time()
        while True:
            await trio.sleep(0.001)
            last, before = time.thread_time(), last
            worst = max(worst, last - before)

    peer = await trio.open_tcp_stream(ann.base_url.host, ann.base_url.port or 0)
    head = f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nAuthorization: {ann.headers['authorization']}\r\n"
    head += "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with peer, trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        await peer.send_all(head.encode() + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")
        assert (await peer.receive_some()).startswith(b"HTTP/1.1 201")
        nursery.cancel_scope.cancel()
    assert await told(ann) == ["x" * 100_000]
    assert worst < 0.1


async def test_ten_thousand_lines_arrive_in_order(ann: httpx.AsyncClient) -> None:
    body = b"".join(b"%d\n" % number for number in range(10_000))
    assert (await ann.post(MESSAGES, content=body, headers=NDJSON)).json()["accepted"] == 10_000
    assert await told(ann) == list(range(10_000))


async def test_the_first_write_of_a_stream_key_makes_the_stream_at_every_door(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    event = {"channel": "stream:two:errors", "event": "message", "data": 1}
    assert (await ann.post("/streams/one/messages", json=1)).status_code == 201
    assert (await ann.post("/api/publish", json=event)).status_code == 201
    batch = {"events": [event | {"channel": "stream:three"}]}
    assert (await ann.post("/api/publish/batch", json=batch)).status_code == 201
    assert [item["id"] for item in (await ann.get("/streams")).json()["items"]] == ["one", "s", "three", "two"]
    assert (await bob.post("/streams/one/messages", json=1)).status_code == 404
    for channel in ("stream:two", "stream:three:x"):
        assert (await bob.post("/api/publish", json=event | {"channel": channel})).status_code == 403
    for channel in ("stream:a b:c", "article:a", "stream:"):
        assert (await ann.post("/api/publish", json=event | {"channel": channel})).status_code in {400, 403}


async def test_a_token_writes_and_reads_what_its_patterns_name(server: InProcess, ann: httpx.AsyncClient) -> None:
    token = server.token("cy", publish=["stream:s"], subscribe=["stream:s:errors"])
    client = server.http(token)
    assert (await client.post(MESSAGES, json=1)).status_code == 201
    assert (await client.post(MESSAGES, content=b"x", headers=TEXT)).status_code == 201
    assert (await client.get(MESSAGES)).status_code == 403
    assert (await client.get(f"{MESSAGES}?channel=errors")).status_code == 200
    assert (await client.post(f"{MESSAGES}?channel=errors", json=1)).status_code == 403
    assert (await client.post("/streams/none/messages", json=1)).status_code == 403


async def test_a_revoked_key_stops_a_program_that_streams(server: InProcess, ann: httpx.AsyncClient) -> None:
    secret = await server.key("stream", "ann")

    async def program() -> AsyncIterator[bytes]:
        yield b"one\n"
        while await told(ann) != ["one"]:
            pass
        await server.revoke(secret)
        await trio.sleep(0.1)  # httpx looks for the answer when its body is over, or cannot be sent
        yield b"two\n"

    with trio.fail_after(5):
        answer = await server.http(secret).post(MESSAGES, content=program(), headers=TEXT)
    assert answer.status_code == 401 and "accepted before: 1" in answer.json()["detail"]


# --- polling


async def test_a_poller_gets_past_ten_thousand_page_by_page(ann: httpx.AsyncClient) -> None:
    await ann.put("/streams/s", json={"retention": {"count": 50_000}})
    body = b"".join(b"%d\n" % number for number in range(12_345))
    assert (await ann.post(MESSAGES, content=body, headers=NDJSON)).status_code == 201
    got: list[int] = []
    query: dict[str, Any] = {"limit": 5000}
    while page := (await ann.get(MESSAGES, params=query)).json():
        assert page["recovered"]
        if not page["items"]:
            break
        got += [item["data"] for item in page["items"]]
        query["since"] = page["next"]
    assert got == list(range(12_345))
    assert await told(ann, since="1h", limit=2) == [0, 1]


async def test_without_history_there_is_nothing_to_poll(ann: httpx.AsyncClient) -> None:
    await ann.post(MESSAGES, json=1)
    await ann.put("/streams/s", json={"storeHistory": False})
    answer = await ann.get(MESSAGES)
    assert (answer.status_code, answer.json()["code"]) == (404, "no_history")


async def test_where_too_much_waits_to_be_stored_a_sender_of_lines_is_held_up(
    ann: httpx.AsyncClient, server: InProcess
) -> None:
    hub = server.running.server.hub
    real, full = hub.publish_all, [True] * 3

    async def publish_all(events: Any) -> Any:
        if full:
            full.pop()
            raise Overloaded("full")
        return await real(events)

    hub.publish_all = publish_all  # type: ignore[method-assign]
    assert (await ann.post(MESSAGES, content=b"a\nb\n", headers=TEXT)).json()["accepted"] == 2
    assert await told(ann) == ["a", "b"]


async def test_but_not_for_ever() -> None:
    async with serving(body_timeout=0.2) as server:
        client = server.http(await server.key("stream", "ann"))

        async def full(_: Any) -> None:
            raise Overloaded("full")

        server.running.server.hub.publish_all = full  # type: ignore[method-assign,assignment]
        answer = await client.post(MESSAGES, content=b"a\n", headers=TEXT)
        assert (answer.status_code, answer.json()["detail"]) == (503, "full (accepted before: 0)")


async def test_an_orderly_stop_ends_a_program_that_streams_with_what_it_took() -> None:
    async with serving(shutdown_timeout=30.0) as server:
        client = server.http(await server.key("stream", "ann"))
        await client.put("/streams/s", json={"storeHistory": True})

        async def program() -> AsyncIterator[bytes]:
            yield b"one\n"
            while await told(client) != ["one"]:
                pass
            server.running.stop()
            await trio.sleep(0.1)
            yield b"two\n"

        with trio.fail_after(5):
            answer = await server.http(await server.key("admin", "root")).post(
                MESSAGES, content=program(), headers=TEXT
            )
        assert (answer.status_code, answer.json()["code"]) == (503, "stopping")
        assert answer.json()["detail"] == "the server is stopping (accepted before: 1)"


async def test_a_full_disk_says_what_it_took(ann: httpx.AsyncClient, server: InProcess) -> None:
    async def fails(*_: Any, **__: Any) -> None:
        raise StorageFull("the disk is full; nothing was stored")

    server.running.server.database.write = fails  # type: ignore[method-assign,assignment]
    answer = await ann.post(MESSAGES, content=b"x\n", headers=TEXT)
    assert (answer.status_code, answer.json()["detail"]) == (
        507,
        "the disk is full; nothing was stored (accepted before: 0)",
    )

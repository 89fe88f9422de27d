"""What a client may say, over every door: origins, names, texts, types, rates."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
import trio
from wsproto.utilities import RemoteProtocolError

from rtlite.transports.head import parse_head
from rtlite.transports.websocket import Wire
from tests.security.corpus import handshake
from tests.servers import InProcess, running_server
from tests.streams import ask
from tests.transports.doors import Peer, head, post, serving, tcp


@pytest.fixture
async def server() -> AsyncIterator[InProcess]:
    async with serving() as server:
        yield server


@pytest.fixture
async def admin(server: InProcess) -> httpx.AsyncClient:
    return await server.operator()


def refused(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    """The problem; nothing of the inside is in it."""
    assert answer.status_code in (statuses or (400,)), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 400
    for word in ("Traceback", ".py", "sqlite", "SELECT", "INSERT", "/work", "/root", "rtlite.", "orjson", "cattrs"):
        assert word.lower() not in answer.text.lower()
    problem: dict[str, Any] = answer.json()
    assert problem["code"] and problem["status"] == answer.status_code
    return problem


# --- origins (5, 6)

OWN = "http://localhost"
ORIGINS = {
    OWN: True,
    "https://good.example": True,
    "HTTPS://GOOD.EXAMPLE": True,
    "https://good.example:443": True,
    "https://good.example.": False,
    "https://good.example.evil.com": False,
    "https://evilgood.example": False,
    "https://good.example@evil.com": False,
    "https://good.example:8443": False,
    "http://good.example": False,
    "wss://good.example": False,
    "https://good.example/": False,
    "https://good.example evil.com": False,
    "https://good.example,https://evil.com": False,
    "null": False,
    "file://": False,
    "*": False,
}


@pytest.mark.parametrize(("origin", "passes"), ORIGINS.items(), ids=[repr(origin) for origin in ORIGINS])
async def test_a_page_reads_and_connects_only_from_an_origin_on_the_list(origin: str, passes: bool) -> None:
    async with serving(allowed_origins=("https://good.example",)) as server:
        key = await server.key("admin", "root")
        socket = await tcp(server)
        answer = await socket.upgrade("/blog/ws/articles/a", X_Api_Key=key, Origin=origin)
        reading = await tcp(server)
        await reading.send(head("GET /api/keys", X_Api_Key=key, Origin=origin))
        cors = (await reading.answer()).headers
        assert (answer.status == 101) is passes
        assert "access-control-allow-credentials" not in cors
        listed = origin != OWN and passes
        assert cors.get("access-control-allow-origin") == (origin if listed else None)
        assert cors["vary"] == "Origin"


@pytest.mark.parametrize(("origin", "passes"), ORIGINS.items(), ids=[repr(origin) for origin in ORIGINS])
async def test_a_page_reads_a_stream_of_events_only_from_an_origin_on_the_list(origin: str, passes: bool) -> None:
    async with serving(allowed_origins=("https://good.example",)) as server:
        key = await server.key("admin", "root")
        listed = origin if origin != OWN and passes else None
        for target, status in ((f"/sse/a:b?token={key}", 200), ("/sse/a:b", 401), (f"/sse/*?token={key}", 400)):
            stream = await ask(await tcp(server), target, Origin=origin)
            assert stream.status == status
            assert stream.headers.get("access-control-allow-origin") == listed
            assert stream.headers["vary"] == "Origin" and stream.headers["cache-control"] == "no-store"
            assert "access-control-allow-credentials" not in stream.headers


@pytest.mark.parametrize(("origin", "passes"), ORIGINS.items(), ids=[repr(origin) for origin in ORIGINS])
async def test_a_page_speaks_socketio_only_from_an_origin_on_the_list(origin: str, passes: bool) -> None:
    async with serving(allowed_origins=("https://good.example",)) as server:
        listed = origin if origin != OWN and passes else None
        poll = await tcp(server)
        await poll.send(head("GET /socket.io/?EIO=4&transport=polling", Origin=origin))
        answer = await poll.answer()
        assert answer.status == (200 if passes else 403)
        assert answer.headers.get("access-control-allow-origin") == listed
        assert answer.headers["vary"] == "Origin" and answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-credentials" not in answer.headers
        socket = await tcp(server)
        assert ((await socket.upgrade("/socket.io/?EIO=4&transport=websocket", Origin=origin)).status == 101) is passes


@pytest.mark.parametrize(("origin", "passes"), ORIGINS.items(), ids=[repr(origin) for origin in ORIGINS])
async def test_a_page_speaks_graphql_only_from_an_origin_on_the_list(origin: str, passes: bool) -> None:
    async with serving(allowed_origins=("https://good.example",)) as server:
        key = await server.key("admin", "root")
        listed = origin if origin != OWN and passes else None
        for credential, status in (({"X_Api_Key": key}, 200), ({}, 401)):
            asking = await tcp(server)
            fields = {"Origin": origin, "Content_Type": "application/json", **credential}
            await asking.send(post("/graphql", {"query": "{ __typename }"}, **fields))
            answer = await asking.answer()
            assert answer.status == status
            assert answer.headers.get("access-control-allow-origin") == listed
            assert "Origin" in answer.headers["vary"]
            assert "access-control-allow-credentials" not in answer.headers
        socket = await tcp(server)
        offer = {"Origin": origin, "Sec_WebSocket_Protocol": "graphql-transport-ws"}
        assert ((await socket.upgrade("/graphql/ws", **offer)).status == 101) is passes


async def test_a_page_behind_a_rebound_name_gets_nothing_without_a_credential(server: InProcess) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example"):
        for path in ("/api/keys", "/api/connections", "/api/channels/a:b/history", "/metrics"):
            peer = await tcp(server)
            await peer.send(
                head(f"GET {path}", Origin=f"http://{host}").replace(b"Host: localhost", f"Host: {host}".encode())
            )
            assert (await peer.answer()).status == 401
        peer = await tcp(server)
        await peer.send(
            handshake({b"Host": host.encode(), b"Origin": f"http://{host}".encode(), b"Authorization": None})
        )
        assert (await peer.answer()).status == 101
        assert await peer.close_code() == 4401


REBOUND = ["evil.example", "live.example.evil.example", "xlive.example", "live.example.", "localhost.evil.example"]
REBOUND += ["127.0.0.1.evil.example", "10.0.0.1", "0.0.0.0", "[::]", "2130706433", "127.1", "[2001:db8::1]:8000"]
OURS = ["live.example", "LIVE.example:8443", "localhost", "localhost:1", "127.0.0.1", "127.9.9.9:80", "[::1]:8000"]


def for_host(raw: bytes, host: str) -> bytes:
    return raw.replace(b"Host: localhost", f"Host: {host}".encode())


@pytest.mark.parametrize("host", [*REBOUND, *OURS])
async def test_with_a_public_url_a_request_for_another_host_is_421_whoever_asks_for_whatever(host: str) -> None:
    async with serving(public_url="https://live.example") as server:
        key = await server.key("admin", "root")
        event = {"channel": "a:b", "event": "e"}
        requests = {
            head("GET /healthz"): 200,
            head("GET /api/keys", X_Api_Key=key): 200,
            head("GET /nowhere"): 404,
            post("/api/publish", event, X_Api_Key=key): 201,
            head("OPTIONS /api/publish", Origin=f"http://{host}", Access_Control_Request_Method="POST"): 204,
            handshake({b"Authorization": f"Bearer {key}".encode(), b"Origin": b"https://live.example"}): 101,
        }
        for raw, status in requests.items():
            peer = await tcp(server)
            await peer.send(for_host(raw, host))
            answer = await peer.answer()
            assert answer.status == (status if host in OURS else 421), raw
            if host in REBOUND:
                assert answer.code == "misdirected" and host not in answer.body.decode()
                assert "access-control-allow-origin" not in answer.headers
        # Also on a connection that had a good request before.
        peer = await tcp(server)
        await peer.send(for_host(head("GET /healthz"), "live.example"), for_host(head("GET /healthz"), host))
        assert (await peer.answer()).status == 200
        assert (await peer.answer()).status == (200 if host in OURS else 421)


async def test_with_a_public_url_a_request_without_a_host_is_421() -> None:
    async with serving(public_url="https://live.example") as server:
        peer = await tcp(server)
        await peer.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert (await peer.answer()).status == 421


async def test_with_a_public_url_a_unix_socket_takes_any_host(tmp_path: Path) -> None:
    path = tmp_path / "rtlite.sock"
    async with serving(public_url="https://live.example", uds=str(path)):
        peer = Peer(await trio.open_unix_socket(str(path)))
        await peer.send(for_host(head("GET /healthz"), "backend"))
        assert (await peer.answer()).status == 200


async def test_without_a_public_url_any_host_will_do(server: InProcess) -> None:
    peer = await tcp(server)
    await peer.send(for_host(head("GET /healthz"), "evil.example"))
    assert (await peer.answer()).status == 200


# --- subprotocols, errors, static files (8, 13, 53)


@pytest.mark.parametrize("value", [b"a" + b" " * 8000 + b"b", b"," * 8000, b", " * 4000, b'"' * 8000, b"\t" * 8000])
def test_eight_kilobytes_of_junk_in_a_handshake_take_less_than_5_ms(value: bytes) -> None:
    def spent(name: bytes) -> float:
        raw = handshake({name: b"x" + value + b"x"})
        started = time.process_time()
        parse_head(raw, 100)
        wire = Wire(1000, lambda row: row.blog)
        with suppress(RemoteProtocolError):
            wire.receive_data(raw)
            list(wire.events())
        return time.process_time() - started

    for name in (b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions", b"Connection", b"Origin", b"Accept"):
        assert min(spent(name) for _ in range(5)) < 0.005, name


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/blog/embed.js/../../model.py",
        "/blog/..%2f..%2fmodel.py",
        "/blog/embed.js%00.py",
        "/static/x",
        "/console/embed.js",
        "/rtlite.db",
        "/rtlite.toml",
        "/.git/config",
        "/blog/C:/windows/win.ini",
        "/blog/NUL",
        "/favicon.ico",
    ],
)
async def test_no_path_leads_to_a_file(path: str, server: InProcess) -> None:
    peer = await tcp(server)
    await peer.send(head(f"GET {path}"))
    answer = await peer.answer()
    assert answer.status == 404 and answer.code == "not_found"


# --- texts (18, 19, 20, 23)

SURROGATES = ["\\ud800", "\\udfff", "a\\ud83d", "\\ude00\\ud83d"]
FIELDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "publish": ("POST", "/api/publish", {"channel": "a:b", "event": "e", "data": {"x": "y"}, "id": "i"}),
    "batch": ("POST", "/api/publish/batch", {"events": [{"channel": "a:b", "event": "e", "data": "x", "id": "j"}]}),
    "key": ("POST", "/api/keys", {"kind": "project", "user": "u", "name": "n", "expires": "1d", "scope": "read", "test": True}),
    "token": ("POST", "/api/tokens", {"user": "u", "role": "user", "ttl": "1h", "subscribe": ["a:b"], "publish": ["a:b"]}),
    "backup": ("POST", "/api/backup", {"file": "/tmp/x"}),
    "article": ("POST", "/blog/v1/articles", {"slug": "s", "title": "t", "author": "a"}),
    "view": ("POST", "/blog/v1/articles/it/views", {"visitor": "v"}),
    "reaction": ("POST", "/blog/v1/articles/it/reactions", {"reaction": "r", "remove": False, "visitor": "v"}),
    "comment": ("POST", "/blog/v1/articles/it/comments", {"author": "a", "body": "b"}),
    "subscriber": ("POST", "/blog/v1/subscribers", {"email": "a@example.org", "user": "u"}),
    "member": ("PUT", "/conversations/it/members/it", {"write": True}),
    "message": ("POST", "/conversations/it/messages", {"content": "c", "sender_id": "s", "id": "k"}),
    "job": ("POST", "/jobs", {"type": "t", "userId": "u", "id": "i"}),
    "job, changed": ("PATCH", "/jobs/it", {"status": "running", "progress": 5, "result": "r", "error": "e"}),
    "notification": ("POST", "/notifications", {"userId": "u", "type": "t", "title": "t", "message": "m", "actionUrl": "/", "id": "i"}),
    "stream": ("PUT", "/streams/it", {"storeHistory": True, "retention": {"age": "1d", "count": 5, "bytes": 5}, "owner": "u"}),
    "status": ("POST", "/status", {"entity_type": "t", "entity_id": "i", "status": "s"}),
    "webhook": ("POST", "/api/webhooks", {"url": "https://example.org/", "channels": ["a:b"], "description": "d", "since": "1h", "enabled": False}),
    "fault": ("POST", "/api/faults", {"kind": "close", "protocol": "sse", "channel": "a:b", "user": "u", "connection": "c", "probability": 0.5, "count": 1, "seed": 1, "duration": "1s", "code": 4000, "text": "t"}),
    "record": ("POST", "/records/it", {"naturalKey": "k", "data": {"x": "y"}, "id": "rec_1"}),
    "record, merged": ("PATCH", "/records/it/it", {"data": {"x": "y"}}),
    "record, replaced": ("PUT", "/records/it/it", {"data": {"x": "y"}}),
    "model": ("PUT", "/models/it", {"schema": {"type": "object"}, "private": False}),
    "snapshot": ("POST", "/collab/it/snapshots", {"name": "n"}),
    "webhook, changed": ("PATCH", "/api/webhooks/it", {"url": "https://example.org/", "channels": ["a:b"], "description": "d", "since": "1h", "enabled": False}),
}  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to every value in a body but itself."""
    found = [at] if at else []
    if isinstance(value, dict):
        found += [path for name, item in value.items() for path in places(item, (*at, name))]
    elif isinstance(value, list):
        found += [path for number, item in enumerate(value) for path in places(item, (*at, number))]
    return found


def replaced(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    if isinstance(value, dict):
        return {name: replaced(item, at[1:], new) if name == at[0] else item for name, item in value.items()}
    return [replaced(item, at[1:], new) if number == at[0] else item for number, item in enumerate(value)]


def test_every_writing_route_stands_in_the_table_of_bodies() -> None:
    async def routes() -> set[tuple[str, str]]:
        async with running_server() as server:
            found = {(route.method, route.pattern) for route in server.running.server.routes if route.method != "GET"}
            return {(method, re.sub(r"\{\w+\}", "it", pattern)) for method, pattern in found}

    bodiless = trio.run(routes) - {(method, path) for method, path, _ in FIELDS.values()}
    assert bodiless == {
        ("DELETE", "/api/connections/it"),
        ("DELETE", "/api/keys/it"),
        ("DELETE", "/api/faults"),
        ("DELETE", "/api/faults/it"),
        ("POST", "/api/session"),  # a small body of strangers: see tests/endpoints/test_logins.py
        ("DELETE", "/api/session"),
        ("POST", "/api/tickets"),
        ("DELETE", "/api/webhooks/it"),
        ("POST", "/api/webhooks/it/rotate"),
        ("POST", "/api/webhooks/it/test"),
        ("POST", "/blog/v1/articles/it/ticket"),
        ("DELETE", "/conversations/it/members/it"),
        ("POST", "/notifications/it/read"),
        ("POST", "/notifications/read-all"),
        ("DELETE", "/streams/it"),
        ("POST", "/streams/it/messages"),  # any JSON, or lines; see below
        ("DELETE", "/records/it/it"),
        ("POST", "/records/it/it/publish"),
        ("POST", "/records/it/it/unpublish"),
        ("DELETE", "/models/it"),
        ("PUT", "/collab/it/document"),  # any JSON, a text or an update: see tests/endpoints/test_documents.py
        ("DELETE", "/collab/it"),
        ("DELETE", "/collab/it/snapshots/it"),
        ("POST", "/collab/it/snapshots/it/restore"),
        ("POST", "/graphql"),  # documents: see test_graphql.py
        ("POST", "/socket.io"),  # packets: see tests/endpoints/test_engine.py
        ("POST", "/socket.io/"),
    }


@pytest.mark.parametrize("name", FIELDS)
async def test_a_lone_surrogate_is_refused_in_every_text_of_every_body(
    name: str, server: InProcess, admin: httpx.AsyncClient
) -> None:
    method, path, body = FIELDS[name]
    for at in places(body):
        for surrogate in SURROGATES:
            text = orjson.dumps(replaced(body, at, "MARK")).replace(b"MARK", surrogate.encode())
            refused(await admin.request(method, path, content=text))
    names = orjson.dumps({**body, "MARK": 1}).replace(b"MARK", b"\\ud800")
    refused(await admin.request(method, path, content=names))
    assert (await admin.get("/api/channels")).json()["items"] == []


async def test_a_surrogate_is_refused_in_every_path_and_query(server: InProcess) -> None:
    key = await server.key("admin", "root")
    for encoded in ("%ED%A0%80", "%ED%BF%BF", "%FF", "%C0%80"):
        for target in (
            f"/api/channels/{encoded}/history",
            f"/api/channels/a:b/history?since={encoded}",
            f"/api/channels?after={encoded}&prefix={encoded}",
            f"/api/connections?after={encoded}&filter={encoded}",
            f"/console/{encoded}",
            f"/console/views/{encoded}",
            f"/api/samples/{encoded}",
            f"/api/samples/milestone?channel={encoded}&turn={encoded}",
            f"/blog/v1/articles/{encoded}",
            f"/blog/v1/articles/{encoded}/comments",
            f"/blog/v1/articles?after={encoded}",
            f"/conversations/{encoded}/members",
            f"/conversations/c/members?after={encoded}",
            f"/jobs/{encoded}",
            f"/jobs?after={encoded}&userId={encoded}&status={encoded}",
            f"/notifications?after={encoded}&userId={encoded}",
            f"/streams/{encoded}",
            f"/streams/{encoded}/messages",
            f"/streams/s/messages?channel={encoded}",
            f"/streams?after={encoded}",
            f"/records/{encoded}",
            f"/records/{encoded}/{encoded}",
            f"/records/m?filter={encoded}&after={encoded}",
            f"/models/{encoded}",
            f"/collab?after={encoded}",
            f"/collab/{encoded}/document",
            f"/collab/r/document?name={encoded}&format={encoded}",
            f"/collab/r/snapshots/{encoded}",
            f"/graphql?query={encoded}",
            f"/graphql?query=%7B__typename%7D&variables={encoded}",
        ):
            peer = await tcp(server)
            await peer.send(head(f"GET {target}", X_Api_Key=key))
            assert (await peer.answer()).code == "bad_request"
        for target in (f"/blog/ws/articles/{encoded}", f"/blog/ws/articles/a?token={encoded}"):
            peer = await tcp(server)
            assert (await peer.upgrade(target, X_Api_Key=key)).code == "bad_request"


WRONG: list[Any] = [None, True, 0, -1, 1.5, 10**18, "", "x" * 5000, [], ["x"], [[]], {}, {"a": {}}, [None], {"": ""}]


@pytest.mark.parametrize("name", FIELDS)
async def test_a_wrong_type_in_any_field_is_400_in_a_few_words_and_repeats_nothing(
    name: str, server: InProcess, admin: httpx.AsyncClient
) -> None:
    method, path, body = FIELDS[name]
    await admin.post("/blog/v1/articles", json={"slug": "it", "title": "It"})
    for at in places(body):
        free = at[-1] == "data" or "data" in at
        for number, wrong in enumerate(WRONG):
            answer = await admin.request(method, path, json=replaced(body, at, wrong))
            if answer.status_code in {200, 201}:
                good = type(wrong) is type(_at(body, at)) or wrong is None or free
                assert good, f"{at} took {wrong!r:.50}"
            else:
                refused(answer, 400, 403, 404, 409)
                assert "xxxx" not in answer.text, number
    for whole in (*WRONG, "x"):
        if not isinstance(whole, dict):
            refused(await admin.request(method, path, content=orjson.dumps(whole)), 400)


def _at(value: Any, at: tuple[Any, ...]) -> Any:
    for step in at:
        value = value[step]
    return value


@pytest.mark.parametrize("name", FIELDS)
async def test_a_megabyte_of_nonsense_is_not_sent_back(name: str, server: InProcess, admin: httpx.AsyncClient) -> None:
    method, path, body = FIELDS[name]
    for at in places(body):
        if "data" not in at:
            answer = await admin.request(method, path, json=replaced(body, at, "<script>" * 125_000))
            if answer.status_code >= 400:
                refused(answer, 400, 403, 404, 413)
                assert "<script>" not in answer.text
            else:  # only what is kept as a hash may be that long
                assert at in {("visitor",), ("content",), ("status",)} and len(answer.content) < 400


HOSTILE_JSON = {
    "50,000 deep lists": b"[" * 50_000 + b"]" * 50_000,
    "50,000 deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "50,000 deep without an end": b"[" * 50_000,
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "too large a number": b"1e999",
    "5,000 digits": b"9" * 5000,
    "5,000 digits after the point": b"0." + b"9" * 5000,
    "a leading zero": b"01",
    "a comment": b"1/**/",
    "a trailing comma": b"[1,]",
    "single quotes": b"{'a':1}",
    "a NUL": b"\0",
    "a byte order mark": b"\xef\xbb\xbf1",
    "UTF-16": '"a"'.encode("utf-16"),
    "Latin-1": b'"\xe9"',
    "a control character": b'"\x01"',
    "a bad escape": b'"\\x"',
    "two values": b"1 1",
    "nothing": b"",
}
FINE = {"5,000 digits after the point"}


@pytest.mark.parametrize("name", FIELDS)
async def test_what_is_no_json_is_400_over_every_door(name: str, server: InProcess, admin: httpx.AsyncClient) -> None:
    method, path, body = FIELDS[name]
    first = next(iter(body))
    for label, value in HOSTILE_JSON.items():
        for at in (("data",) if "data" in body else (first,)), (first,):
            text = orjson.dumps(replaced(body, at, "MARK")).replace(b'"MARK"', value)
            answer = await admin.request(method, path, content=text)
            refusal = answer.status_code == 400 or (label in FINE and answer.status_code == 201)
            assert refusal, f"{label}: {answer.text}"
        if value:  # an empty body is an empty object
            refused(await admin.request(method, path, content=value), 400)


@pytest.mark.parametrize("value", HOSTILE_JSON.values(), ids=HOSTILE_JSON)
async def test_a_streams_messages_are_json_or_refused_however_they_come(
    value: bytes, server: InProcess, admin: httpx.AsyncClient
) -> None:
    fine = value in {HOSTILE_JSON[item] for item in FINE}
    for type in ("application/json", "application/x-ndjson"):
        for path in ("/streams/s/messages", "/streams/s/messages?channel=errors"):
            answer = await admin.post(path, content=value, headers={"Content-Type": type})
            if fine or (not value and "nd" in type):  # no lines are no mistake
                assert answer.status_code in {200, 201}
            else:
                refused(answer, 400)
    assert (await admin.get("/api/channels")).json()["items"] == []  # streams keep nothing unless they are told to
    text = await admin.post("/streams/s/messages", content=value, headers={"Content-Type": "text/plain"})
    assert text.status_code == (201 if value else 200)


async def test_a_line_without_an_end_is_refused_at_the_limit(server: InProcess, admin: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 65536

    answer = await admin.post("/streams/s/messages", content=endless(), headers={"Content-Type": "text/plain"})
    assert refused(answer, 413)["detail"] == "a line may have 1048576 bytes (accepted before: 0)"


async def test_of_two_equal_names_the_last_counts(server: InProcess, admin: httpx.AsyncClient) -> None:
    body = b'{"channel":"a:first","channel":"a:last","event":"e","data":{"x":1,"x":2}}'
    assert (await admin.post("/api/publish", content=body)).json()["channel"] == "a:last"
    (event,) = (await admin.get("/api/channels/a:last/history")).json()["items"]
    assert event["data"] == {"x": 2}
    assert (await admin.get("/api/channels/a:first/history")).json()["items"] == []


NAMES = [
    "__proto__", "constructor", "a:__proto__", "../../etc/passwd", "a:..", "a:%00", "a:%2e%2e", "*a", "a:b*", "a:?", "a:[a-z]",
    "a:'; DROP TABLE events; --", "a:' OR '1'='1", 'a:"', "a:\\", "a:`id`", "a:$(id)", "a:{{7*7}}", "a:<script>", "a:_", "a:%",
    "a:%_%", "a:b:c:d", ":", "::", "a:", ":a", "#", "a:b#c", "a?b=c", "a/b", "a&b", "a;b", "a:b|c", "-", ".", "..", "x" * 255,
]  # fmt: skip


@pytest.mark.parametrize("channel", [name for name in NAMES if " " not in name])
async def test_a_channels_name_is_data_and_nothing_else(
    channel: str, server: InProcess, admin: httpx.AsyncClient
) -> None:
    for name in (channel, "zz:other"):
        assert (await admin.post("/api/publish", json={"channel": name, "event": "e", "data": 1})).status_code == 201
    peer = await tcp(server)  # httpx would make sense of the dots
    key = await server.key("admin", "root")
    await peer.send(head(f"GET /api/channels/{quote(channel, safe='')}/history", X_Api_Key=key))
    assert [item["channel"] for item in (await peer.answer()).json["items"]] == [channel]
    answer = await admin.get("/api/channels", params={"prefix": channel})
    assert [item["channel"] for item in answer.json()["items"]] == [channel]
    assert (await admin.get("/api/channels/zz:other/history")).json()["items"][0]["offset"] == 1


@pytest.mark.parametrize(
    "channel",
    ["", " ", "a b", "a:' OR 1=1", "a\0", "a\n", "a\r\nb", "é", "a:\u202e", "ａ", "*", "a:*", "x" * 256, "a\x7f", "\ud83d\ude00"],
)  # fmt: skip
async def test_what_is_no_name_of_a_channel_is_refused(
    channel: str, server: InProcess, admin: httpx.AsyncClient
) -> None:
    channel = channel.encode("utf-16", "surrogatepass").decode("utf-16")
    assert (
        refused(await admin.post("/api/publish", json={"channel": channel, "event": "e"}))["code"] == "invalid_channel"
    )
    for text in (
        orjson.dumps({"channel": channel, "event": "e"}),
        orjson.dumps({"events": [{"channel": channel, "event": "e"}]}),
    ):
        answer = await admin.post(
            "/api/publish/batch" if text.startswith(b'{"events') else "/api/publish", content=text
        )
        assert refused(answer)["code"] == "invalid_channel"
    if channel:
        refused(await admin.get(f"/api/channels/{quote(channel, safe='')}/history"))


# --- numbers and places in a query


@pytest.mark.parametrize(
    "query",
    [
        "limit=" + "9" * 5000, "limit=٣", "limit=³", "limit=-1", "limit=0", "limit=1e3", "limit=0x10", "limit=", "limit=10001", "limit= 1",
        "limit=1_0", "limit=NaN", "order=up", "order=", "wait=-1s", "wait=NaN", "wait=1e9", "wait=x", "wait=1y", "since=",
        "since=\0", "since=" + "a" * 65, "since=2026-13-01", "since=2026-02-30T00:00:00Z",
        "since=0000-01-01", "since=\u0662h", "order=desc&since=2h", "since=x y",
    ],
    ids=lambda query: ascii(query)[:30],
)  # fmt: skip
async def test_a_number_or_place_that_is_none_is_400(query: str, server: InProcess, admin: httpx.AsyncClient) -> None:
    name, _, value = query.rpartition("=")
    refused(await admin.get(f"/api/channels/a:b/history?{name}={quote(value, safe='')}"))


@pytest.mark.parametrize(
    "body",
    [
        {"user": "u", "ttl": "9" * 400}, {"user": "u", "ttl": "9" * 5000}, {"user": "u", "ttl": "0"}, {"user": "u", "ttl": "-1s"},
        {"user": "u", "ttl": "1e400"}, {"user": "u", "ttl": "NaN"}, {"user": "u", "subscribe": "changes:*"},
        {"user": "u", "subscribe": {"a": 1}}, {"user": "u", "subscribe": ["a:b"] * 129}, {"user": "u" * 256}, {"user": "a\u0000"},
    ],
    ids=lambda body: str(body)[:40],
)  # fmt: skip
async def test_a_token_that_makes_no_sense_is_not_signed(
    body: dict[str, Any], server: InProcess, admin: httpx.AsyncClient
) -> None:
    refused(await admin.post("/api/tokens", json=body))


@pytest.mark.parametrize("expires", ["9" * 400 + "d", "0s", "-1d", "1e9d", "36501d", "NaN", "inf"])
async def test_a_key_never_lives_for_ever_by_a_number_too_large(
    expires: str, server: InProcess, admin: httpx.AsyncClient
) -> None:
    refused(await admin.post("/api/keys", json={"kind": "blog", "user": "u", "expires": expires}))


# --- rates (14, 22)


async def test_a_flood_of_publishes_is_429_and_the_rest_goes_on_later() -> None:
    async with serving(publish_rate=20) as server:
        client, other = await server.operator(), await server.operator()
        event = {"channel": "a:b", "event": "e"}
        answers = [await client.post("/api/publish", json=event) for _ in range(60)]
        late = [answer for answer in answers if answer.status_code == 429]
        assert late and {answer.status_code for answer in answers} == {201, 429}
        assert int(late[-1].headers["retry-after"]) >= 1 and late[-1].headers["x-ratelimit-limit"] == "20"
        assert (await other.post("/api/publish", json=event)).status_code == 201  # another key
        assert (await client.get("/healthz")).status_code == 200


async def test_a_flood_of_anonymous_views_is_429_and_a_made_up_address_resets_nothing() -> None:
    async with serving(anonymous_rate=5) as server:
        await (await server.operator()).post("/blog/v1/articles", json={"slug": "it", "title": "It"})
        seen = []
        for number in range(20):
            spoofed = {
                "X-Forwarded-For": f"10.0.0.{number}",
                "X-Real-IP": f"10.0.0.{number}",
                "Forwarded": "for=1.2.3.4",
            }
            answer = await server.http().post("/blog/v1/articles/it/views", json={}, headers=spoofed)
            seen.append(answer.status_code)
        assert seen[:5] == [200] * 5 and set(seen[6:]) == {429}


async def test_who_connects_and_leaves_over_and_over_leaves_nothing_behind(server: InProcess) -> None:
    key = await server.key("admin", "root")
    core = server.running.server
    for _ in range(100):
        peer = await tcp(server)
        await peer.upgrade("/blog/ws/articles/a", X_Api_Key=key)
        await trio.aclose_forcefully(peer.stream)
    with trio.fail_after(5):
        while len(core.connections) or core.hub.fanout.topics:  # noqa: ASYNC110  # state of ours, without an event
            await trio.sleep(0.01)


async def test_who_shows_no_credential_gets_no_subscription_and_no_place_in_a_queue(server: InProcess) -> None:
    core = server.running.server
    for headers in ({}, {"X_Api_Key": "rtk_wrong"}, {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}):
        peer: Peer = await tcp(server)
        await peer.upgrade("/blog/ws/articles/a", **headers)
        assert await peer.close_code() == 4401
        assert not core.hub.fanout.topics
    peer = await tcp(server)
    await peer.send(post("/api/publish", b"x" * 10))
    assert (await peer.answer()).status == 401
    assert core.hub.committer._queues.events == 0

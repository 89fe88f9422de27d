"""Web pages of others: what they may not do with a server that their visitor can reach."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import trio
from trio_websocket import ConnectionClosed

from tests.security.test_requests import REBOUND
from tests.servers import InProcess
from tests.transports.doors import Answer, Peer, frame, handshake, head, post, serving, tcp

STRANGER = "https://evil.example"
STRANGERS = (STRANGER, "null", "http://localhost.evil.example", "http://192.0.2.7:8000", "http://10.0.0.5:5173")
NEIGHBOURS = (
    "http://localhost:5173",
    "http://127.0.0.1:3000",
    "http://127.8.8.8",
    "http://[::1]:5173",
    "https://app.localhost:8443",
    "https://listed.example",
    "http://localhost",  # its own
)
EVENT = {"channel": "article:a", "event": "e", "data": 1}


@pytest.fixture
async def dev() -> AsyncIterator[InProcess]:
    async with serving(dev=True, allowed_origins=("https://listed.example",)) as server:
        yield server


def operators(origin: str) -> dict[str, bytes]:
    """What the operator alone may ask for, as a page sends it, in the ways that a key can be presented."""
    return {
        "keys": head("GET /api/keys", Authorization="Bearer rtk_dev", Origin=origin),
        "query": head("GET /api/keys?token=rtk_dev", Origin=origin),
        "faults": post("/api/faults", {"kind": "latency", "latency": 1}, X_Api_Key="rtk_dev", Origin=origin),
        "publish": post("/api/publish", EVENT, X_Api_Key="rtk_dev", Origin=origin),
        "batch": post("/api/publish/batch?apiKey=rtk_dev", {"events": [EVENT]}, Origin=origin),
        "jobs": post("/jobs", {"type": "import"}, X_Api_Key="rtk_dev", Origin=origin),
        "tickets": post("/api/tickets", X_Api_Key="rtk_dev", Origin=origin),
        "beside": post(
            "/graphql",
            {"query": "{ __typename }"},
            X_Api_Key="rtk_dev",
            Authorization="Bearer JWT",
            Content_Type="application/json",
            Origin=origin,
        ),
        "metrics": head("GET /metrics", Origin=origin),
        "live": head("GET /api/live?token=rtk_dev", Origin=origin, Accept="text/event-stream"),
        "sse": head("GET /sse/article:a?token=rtk_dev", Origin=origin, Accept="text/event-stream"),
    }


async def told(server: InProcess, raw: bytes) -> Answer:
    """What the server at ``localhost`` answers to a page's request."""
    peer = await tcp(server)
    await peer.send(raw.replace(b"JWT", server.token("ann").encode()))
    return await peer.answer(streaming=True)


@pytest.mark.parametrize("origin", STRANGERS)
async def test_with_dev_a_strangers_page_has_no_use_for_the_operators_key(dev: InProcess, origin: str) -> None:
    for name, raw in operators(origin).items():
        answer = await told(dev, raw)
        assert (answer.status, answer.code) == (403, "origin_not_allowed"), (name, answer)
    operator = await dev.operator()
    assert (await operator.get("/api/channels")).json()["items"] == []


@pytest.mark.parametrize("origin", NEIGHBOURS)
async def test_with_dev_pages_of_this_machine_and_listed_ones_have(dev: InProcess, origin: str) -> None:
    for name, raw in operators(origin).items():
        answer = await told(dev, raw)
        assert answer.status in {200, 201}, (name, answer)
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_with_dev_an_operators_key_over_a_websocket_is_not_for_a_strangers_page(dev: InProcess) -> None:
    for path in ("/blog/ws/articles/a", "/_events", "/collab/room"):
        with trio.fail_after(5), pytest.raises(ConnectionClosed):
            async with dev.websocket(f"{path}?token=rtk_dev", Origin=STRANGER) as websocket:
                while True:  # where errors are messages, one says why
                    await websocket.get_message()
        assert websocket.closed is not None and websocket.closed.code == 4403, path


async def test_with_dev_graphql_says_so_to_a_page_that_presents_it_once_connected(dev: InProcess) -> None:
    async def connected(origin: str) -> Peer:
        peer = await tcp(dev)
        asked = {"Host": "localhost", "Origin": origin, "Sec_WebSocket_Protocol": "graphql-transport-ws"}
        assert (await peer.upgrade("/graphql/ws", **asked)).status == 101
        await peer.send(frame('{"type":"connection_init","payload":{"apiKey":"rtk_dev"}}'))
        return peer

    assert b"connection_ack" in await (await connected(NEIGHBOURS[0])).text()
    assert await (await connected(STRANGER)).close_code() == 4403


async def test_with_dev_the_apis_stay_open_to_any_page(dev: InProcess) -> None:
    token = dev.token("ann")
    async with (
        dev.websocket("/blog/ws/articles/hello?token=mbk_dev", Origin=STRANGER) as blog,
        dev.websocket(f"/ws?token={token}", Origin=STRANGER) as commands,
        dev.websocket(f"/_events?token={token}", Origin="null") as events,
    ):
        assert json.loads(await commands.get_message())["type"] == "connected"
        subscribe = {"type": "subscribe", "channel": "article:hello", "data": {"channel": "article:hello"}}
        for websocket in (commands, events):
            await websocket.send_message(json.dumps(subscribe))
            assert json.loads(await websocket.get_message())["type"] == "subscribed"
        await (await dev.operator()).post("/api/publish", json={**EVENT, "channel": "article:hello"})
        for websocket in (blog, commands, events):
            assert json.loads(await websocket.get_message())["data"] == 1
    stream = await told(dev, head("GET /sse/changes:product?apiKey=pk_live_dev", Origin=STRANGER))
    assert stream.status == 200
    job = post("/jobs", {"type": "import", "userId": "dev"}, X_Api_Key="pk_live_dev", Origin=STRANGER)
    assert (await told(dev, job)).status == 201


@pytest.mark.parametrize("host", REBOUND)
async def test_with_dev_a_page_that_points_its_own_name_here_is_421(dev: InProcess, host: str) -> None:
    for raw in (
        head("GET /metrics", Host=host),
        head("GET /healthz", Host=host),
        handshake("/ws", Host=host, Origin=f"http://{host}"),
    ):
        peer = await tcp(dev)
        await peer.send(raw)
        answer = await peer.answer()
        assert (answer.status, answer.code) == (421, "misdirected")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "app.localhost:8000", "127.0.0.1", "[::1]:8000"])
async def test_with_dev_this_machine_has_any_name_that_only_it_has(dev: InProcess, host: str) -> None:
    peer = await tcp(dev)
    await peer.send(head("GET /healthz", Host=host))
    assert (await peer.answer()).status == 200


async def test_with_dev_beyond_loopback_a_container_has_any_name() -> None:
    async with serving(dev=True, dev_anywhere=True, host="0.0.0.0") as server:
        for host in ("rtlite:8000", "192.0.2.7", "dev.example"):
            peer = await tcp(server)
            await peer.send(head("GET /healthz", Host=host))
            assert (await peer.answer()).status == 200


# What a stranger's page has a browser send without asking its user: an image, a script's plain GET, a form.
BEHIND_ONES_BACK = {
    "an image": {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
    "an image of a sibling": {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"},
    "a script": {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "cors", "Origin": STRANGER},
    "an old browser's script": {"Origin": STRANGER},
    "a sandboxed frame": {"Origin": "null"},
}
# And what comes of the user's own doing.
OF_ONES_OWN = {
    "a program": {},
    "the address line": {"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate"},
    "our own page": {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"},
    "an old browser's page of ours": {"Origin": "http://localhost"},
    "a listed page": {"Sec_Fetch_Site": "cross-site", "Origin": "https://listed.example"},
}


@pytest.fixture
async def server() -> AsyncIterator[InProcess]:
    async with serving(login_rate=3, allowed_origins=("https://listed.example",)) as server:
        yield server


async def asked(server: InProcess, secret: str, headers: dict[str, str]) -> int:
    return (await told(server, head(f"GET /api/channels?token={secret}", **headers))).status


@pytest.mark.parametrize("headers", BEHIND_ONES_BACK.values(), ids=BEHIND_ONES_BACK)
async def test_a_strangers_page_locks_its_visitor_out_of_nothing(server: InProcess, headers: dict[str, str]) -> None:
    key = await server.key("admin", "root")
    for _ in range(3):
        assert await asked(server, "bad", headers) == 401
    for own in OF_ONES_OWN.values():
        assert await asked(server, key, own) == 200
    async with server.websocket("/blog/ws/articles/a", key, Origin="https://listed.example"):
        pass


@pytest.mark.parametrize("headers", BEHIND_ONES_BACK.values(), ids=BEHIND_ONES_BACK)
async def test_who_guesses_as_a_strangers_page_would_is_counted_as_such_pages_are(
    server: InProcess, headers: dict[str, str]
) -> None:
    key = await server.key("admin", "root")
    for _ in range(3):
        assert await asked(server, "rtk_guess", headers) == 401
    for other in (headers, *BEHIND_ONES_BACK.values()):
        assert await asked(server, key, other) == 429


@pytest.mark.parametrize("headers", OF_ONES_OWN.values(), ids=OF_ONES_OWN)
async def test_who_guesses_by_himself_is_locked_out(server: InProcess, headers: dict[str, str]) -> None:
    key = await server.key("admin", "root")
    for _ in range(3):
        assert await asked(server, "rtk_guess", headers) == 401
    for other in OF_ONES_OWN.values():
        assert await asked(server, key, other) == 429


async def test_without_dev_the_key_is_a_secret_and_whoever_has_it_may() -> None:
    async with serving() as server:
        key = await server.key("admin", "root")
        answer = await told(server, head("GET /api/keys", X_Api_Key=key, Origin=STRANGER))
        assert answer.status == 200 and "access-control-allow-origin" not in answer.headers

"""``/api/session``: the cookie, where it counts, and from which pages."""

from __future__ import annotations

import re

import httpx
import pytest
import trio

from tests.servers import InProcess
from tests.streams import ask
from tests.transports.doors import Peer, head, serving, tcp

PUBLISH = {"channel": "article:a", "event": "e", "data": 1}
STREAM = {"Accept": "text/event-stream"}


def page(server: InProcess) -> dict[str, str]:
    """What a browser says of a request by our own page that may change something."""
    return {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}


async def logged_in(server: InProcess, key: str) -> httpx.AsyncClient:
    client = server.http()
    answer = await client.post("/api/session", json={"key": key}, headers=page(server))
    assert answer.status_code == 201, answer.text
    return client


def cookies(client: httpx.AsyncClient) -> str:
    """The session's cookie as a header, under its name here and under that of raw requests, whose host has no port."""
    (cookie,) = client.cookies.jar
    return f"{cookie.name}={cookie.value}; rtlite_session={cookie.value}"


def cookie_of(answer: httpx.Response) -> tuple[str, str, set[str]]:
    """Name, value and attributes of the cookie that an answer sets."""
    (line,) = answer.headers.get_list("set-cookie")
    pair, *attributes = line.split("; ")
    name, _, value = pair.partition("=")
    return name, value, set(attributes)


async def test_an_admin_key_buys_a_session_that_counts_under_api_and_for_metrics_alone() -> None:
    async with serving() as server:
        client = await logged_in(server, await server.key("admin", "op"))
        state = (await client.get("/api/session")).json()
        assert state["dev"] is False and state["session"]["user"] == "op"
        for path in ("/api/keys", "/api/connections", "/api/channels", "/api/webhooks", "/metrics"):
            assert (await client.get(path)).status_code == 200, path
        assert (
            await client.get("/metrics", headers={"Sec-Fetch-Site": "none"})
        ).status_code == 200  # typed by its user
        for path in ("/streams", "/blog/v1/subscribers", "/jobs", "/records/product", "/collab/info"):
            assert (await client.get(path)).status_code == 401, path
        stream = await ask(await tcp(server), "/sse/article:a", Cookie=cookies(client))
        assert stream.status == 401
        peer = await tcp(server)
        await peer.upgrade("/_events", Cookie=cookies(client))
        assert await peer.close_code() == 4401


async def test_the_cookie_is_for_no_script_no_other_site_and_is_random() -> None:
    async with serving(console_session=600) as server:
        client, key = server.http(), await server.key("admin", "op")
        answer = await client.post("/api/session", json={"key": key}, headers=page(server))
        name, value, attributes = cookie_of(answer)
        assert name == f"rtlite_session_{server.port}"
        assert re.fullmatch("[A-Za-z0-9_-]{43}", value) and value not in answer.text and key not in answer.text
        assert attributes == {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=600"}
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("settings", "headers", "secure"),
    [
        ({}, {}, False),
        ({}, {"X-Forwarded-Proto": "https"}, False),  # who says so is nobody that we trust
        ({"trusted_proxy": ("127.0.0.1",)}, {"X-Forwarded-Proto": "https"}, True),
        ({"public_url": "https://live.example"}, {}, True),
    ],
)
async def test_over_tls_the_cookie_is_for_tls_alone(settings: dict, headers: dict[str, str], secure: bool) -> None:
    async with serving(**settings) as server:
        key = await server.key("admin", "op")
        answer = await server.http().post(
            "/api/session", json={"key": key}, headers={"Sec-Fetch-Site": "same-origin", **headers}
        )
        name, value, attributes = cookie_of(answer)
        assert name.startswith("__Host-") is ("Secure" in attributes) is secure
        shown = {"Cookie": f"{name}={value}", **headers}
        assert (await server.http().get("/api/keys", headers=shown)).status_code == 200


@pytest.mark.parametrize("kind", ["blog", "project", "stream"])
async def test_another_key_a_token_or_a_ticket_logs_nobody_in(kind: str) -> None:
    async with serving() as server:
        client, admin = server.http(), await server.operator()
        ticket = (await admin.post("/api/tickets")).json()["ticket"]
        shown = [await server.key(kind, "ann"), server.token("ann", role="admin"), ticket]
        for secret in shown:
            answer = await client.post("/api/session", json={"key": secret}, headers=page(server))
            assert answer.status_code == 403 and "set-cookie" not in answer.headers
        for secret in ("", "rtk_wrong", ticket):
            answer = await client.post("/api/session", json={"key": secret}, headers=page(server))
            assert answer.status_code == 401 and "set-cookie" not in answer.headers


async def test_wrong_keys_are_limited_as_at_any_door() -> None:
    async with serving(login_rate=3) as server:
        client, key = server.http(), await server.key("admin", "op")
        for _ in range(3):
            answer = await client.post("/api/session", json={"key": "rtk_guess"}, headers=page(server))
            assert answer.status_code == 401
        answer = await client.post("/api/session", json={"key": key}, headers=page(server))
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 401),
        (b"[]", 400),
        (b'{"key": 1}', 400),
        (b'{"key": null}', 400),
        (b'{"key": "\\ud800"}', 400),
        (b'{"other": "x"}', 401),
        (b"[" * 2000, 400),
        (b'{"key": "' + b"x" * 4096 + b'"}', 413),
        (b'{"key": "' + b"x" * 4000 + b'"}', 401),
    ],
)
async def test_a_login_that_is_none_is_refused_in_few_words(body: bytes, status: int) -> None:
    async with serving() as server:
        answer = await server.http().post("/api/session", content=body, headers=page(server))
        assert answer.status_code == status and len(answer.content) < 400 and b"xxx" not in answer.content


STRANGERS = {
    "another port": {"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"},
    "another port, without fetch metadata": {"Origin": "http://127.0.0.1:3000"},
    "another name of the host": {"Origin": "http://localhost:{port}", "Sec-Fetch-Site": "cross-site"},
    "another site": {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    "a listed origin": {"Origin": "https://good.example", "Sec-Fetch-Site": "cross-site"},
    "a sandboxed frame": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "https of the same host": {"Origin": "https://127.0.0.1:{port}"},
    "a form without origin": {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"},
    "no browser": {},
}


@pytest.mark.parametrize("dev", [False, True], ids=["", "dev"])
@pytest.mark.parametrize("stranger", STRANGERS)
async def test_no_page_of_another_origin_or_port_changes_anything_with_the_cookie(stranger: str, dev: bool) -> None:
    async with serving(dev=dev, allowed_origins=("https://good.example",)) as server:
        client = await logged_in(server, await server.key("admin", "op"))
        headers = {name: value.format(port=server.port) for name, value in STRANGERS[stranger].items()}
        made = (await client.post("/api/keys", json={"kind": "blog", "user": "a"}, headers=page(server))).json()
        for method, path, body in (
            ("POST", "/api/publish", PUBLISH),
            ("POST", "/api/publish/batch", {"events": [PUBLISH]}),
            ("POST", "/api/keys", {"kind": "admin", "user": "evil"}),
            ("DELETE", f"/api/keys/{made['id']}", None),
            ("POST", "/api/tickets", None),
            ("DELETE", "/api/session", None),
            ("POST", "/api/session", {"key": ""}),
        ):
            answer = await client.request(method, path, json=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed"), path
            assert "set-cookie" not in answer.headers
        assert (await client.get("/api/channels")).json()["items"] == []
        assert (await client.get("/api/session")).json()["session"] is not None


async def test_what_a_page_of_another_origin_reads_with_the_cookie_it_may_not_see() -> None:
    async with serving(dev=True, allowed_origins=("https://good.example",)) as server:
        client = await logged_in(server, "rtk_dev")
        for origin in ("http://127.0.0.1:3000", "https://good.example"):
            answer = await client.get("/api/keys", headers={"Origin": origin})
            # Browsers show an answer that came with a cookie only where it allows credentials: never here.
            assert answer.status_code == 403 or "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("secret", ["A" * 43, "", "x"])
async def test_a_login_never_takes_over_the_cookie_that_a_browser_brings(secret: str) -> None:
    async with serving() as server:
        key, name = await server.key("admin", "op"), f"rtlite_session_{server.port}"
        headers = {**page(server), "Cookie": f"{name}={secret}"}
        answer = await server.http().post("/api/session", json={"key": key}, headers=headers)
        assert cookie_of(answer)[1] != secret
        assert (await server.http().get("/api/keys", headers={"Cookie": f"{name}={secret}"})).status_code == 401


async def test_a_second_login_of_a_browser_ends_its_first() -> None:
    async with serving() as server:
        key = await server.key("admin", "op")
        client = await logged_in(server, key)
        first = {"Cookie": cookies(client)}
        await client.post("/api/session", json={"key": key}, headers=page(server))
        assert (await server.http().get("/api/keys", headers=first)).status_code == 401
        assert (await client.get("/api/keys")).status_code == 200


async def test_logging_out_ends_the_session_and_its_stream() -> None:
    async with serving() as server:
        client = await logged_in(server, await server.key("admin", "op"))
        shown = {"Cookie": cookies(client)}
        stream = await ask(await tcp(server), "/api/live", **shown, **STREAM)
        assert stream.status == 200
        answer = await client.delete("/api/session", headers=page(server))
        assert answer.status_code == 204 and "Max-Age=0" in cookie_of(answer)[2]
        assert '"code":"revoked"' in (await closed(stream)).data
        assert (await server.http().get("/api/keys", headers=shown)).status_code == 401


async def test_a_revoked_key_ends_its_sessions_and_their_streams_at_once() -> None:
    async with serving() as server:
        key = await server.key("admin", "op")
        clients = [await logged_in(server, key) for _ in range(2)]
        streams = [await ask(await tcp(server), "/api/live", Cookie=cookies(c), **STREAM) for c in clients]
        bystander = await logged_in(server, await server.key("admin", "other"))
        await server.revoke(key)
        for stream in streams:
            await closed(stream)
        for client in clients:
            assert (await client.get("/api/keys")).status_code == 401
            assert (await client.get("/api/session")).json()["session"] is None
        assert (await bystander.get("/api/keys")).status_code == 200


async def test_a_session_expires_with_its_stream() -> None:
    async with serving(console_session=1.0) as server:
        client = await logged_in(server, await server.key("admin", "op"))
        stream = await ask(await tcp(server), "/api/live", Cookie=cookies(client), **STREAM)
        with trio.fail_after(10):
            assert '"code":"expired"' in (await closed(stream)).data
        assert (await server.http().get("/api/keys", headers={"Cookie": cookies(client)})).status_code == 401


async def test_with_dev_a_session_is_given_without_a_key_to_our_own_page() -> None:
    async with serving(dev=True) as server:
        client = server.http()
        assert (await client.get("/api/session")).json() == {"dev": True, "session": None}
        answer = await client.post("/api/session", json={}, headers=page(server))
        assert answer.status_code == 201 and answer.json()["session"]["user"] == "dev"
        assert (await client.get("/api/keys")).status_code == 200


async def test_the_body_of_a_stranger_is_not_waited_for_and_that_of_a_session_is() -> None:
    async with serving() as server:
        client = await logged_in(server, await server.key("admin", "op"))
        begun = head("POST /api/keys", Content_Length="100000", Origin="http://localhost", Cookie=cookies(client))
        peer: Peer = await tcp(server)
        await peer.send(begun)
        await peer.send(b" " * 100_000)
        assert (await peer.answer()).code == "invalid_json"  # it was read
        stranger = await tcp(server)
        await stranger.send(head("POST /api/keys", Content_Length="100000", Cookie="rtlite_session=" + "A" * 43))
        assert (await stranger.answer()).code == "unauthorized"


async def closed(stream):  # type: ignore[no-untyped-def]
    """The last word of a stream."""
    with trio.fail_after(5):
        return await stream.until("closed")

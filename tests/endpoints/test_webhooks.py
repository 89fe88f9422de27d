"""``/api/webhooks``, with real endpoints at the other end."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import httpx
import orjson
import pytest
import trio

from rtlite.domain import courier
from tests import receivers
from tests.receivers import Receiver, receiving
from tests.servers import InProcess, running_server

ALL = [
    ("GET", "/api/webhooks"),
    ("POST", "/api/webhooks"),
    ("GET", "/api/webhooks/x"),
    ("PATCH", "/api/webhooks/x"),
    ("DELETE", "/api/webhooks/x"),
    ("POST", "/api/webhooks/x/test"),
    ("POST", "/api/webhooks/x/rotate"),
    ("GET", "/api/webhooks/x/attempts"),
]


async def created(client: httpx.AsyncClient, receiver: Receiver, *channels: str, **more: object) -> dict:
    body = {"url": receiver.url, "channels": channels or ["news:*"], **more}
    answer = await client.post("/api/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def publish(client: httpx.AsyncClient, channel: str, *data: object) -> None:
    for item in data:
        answer = await client.post("/api/publish", json={"channel": channel, "event": "tick", "data": item})
        assert answer.status_code == 201


async def test_an_event_reaches_the_endpoint_signed_with_the_secret_that_was_shown_once() -> None:
    async with receiving() as receiver, running_server(webhook_private=True) as server:
        client = await server.operator()
        webhook = await created(client, receiver, description="the shop")
        await publish(client, "news:a", {"text": "hello"})
        request = await receiver.request()
        payload = request.verified(webhook["secret"])
        assert (payload["type"], payload["data"], payload["channel"]) == ("tick", {"text": "hello"}, "news:a")
        for path in ("/api/webhooks", f"/api/webhooks/{webhook['id']}", f"/api/webhooks/{webhook['id']}/attempts"):
            assert "whsec" not in (await client.get(path)).text
        shown = (await client.get(f"/api/webhooks/{webhook['id']}")).json()
        assert shown == {name: value for name, value in webhook.items() if name != "secret"}
        assert (await client.get("/api/webhooks")).json() == {"items": [shown], "next": None}


async def test_what_is_published_while_a_courier_looks_into_the_history_does_not_wait_for_the_next_event(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is not in what the courier sees there, and the bell has rung already."""
    data = str(tmp_path / "rtlite.db")
    async with receiving() as receiver, running_server(webhook_private=True, data=data) as server:
        client, other = await server.operator(), await server.operator()
        token, look, looks = trio.lowlevel.current_trio_token(), courier.last_sequence, []

        def look_slowly(connection: sqlite3.Connection) -> int:
            looks.append(look(connection))
            if len(looks) == 2:  # all is delivered
                trio.from_thread.run(publish, other, "news:a", "second", trio_token=token)
            return looks[-1]

        await created(client, receiver)
        await trio.sleep(0.1)
        monkeypatch.setattr(courier, "last_sequence", look_slowly)
        await publish(client, "news:a", "first")
        assert [orjson.loads((await receiver.request()).body)["data"] for _ in range(2)] == ["first", "second"]


@pytest.mark.parametrize("channel", ["stream:dwd23RWdwE", "stream:dwd23RWdwE:errors"])
@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("pattern", [True, False])
async def test_a_stream_reaches_it_whether_its_messages_are_kept_or_not(
    channel: str, history: bool, pattern: bool
) -> None:
    async with receiving() as receiver, running_server(webhook_private=True) as server:
        client = await server.operator()
        answer = await client.put("/streams/dwd23RWdwE", json={"storeHistory": history})
        assert answer.status_code in {200, 201}, answer.text
        webhook = await created(client, receiver, "stream:*" if pattern else channel)
        await publish(client, channel, *range(20))
        assert [request.verified(webhook["secret"])["data"] for request in await receiver.requests(20)] == list(
            range(20)
        )


async def test_a_stream_whose_history_is_turned_on_and_off_goes_on_reaching_it() -> None:
    async with receiving() as receiver, running_server(webhook_private=True) as server:
        client = await server.operator()
        webhook = await created(client, receiver, "stream:s")
        for number in range(6):
            await client.put("/streams/s", json={"storeHistory": number % 2 == 0})
            await trio.sleep(0.05)
            await publish(client, "stream:s", number)
            assert (await receiver.request()).verified(webhook["secret"])["data"] == number


async def test_it_is_changed_tried_rotated_and_deleted() -> None:
    async with receiving() as first, receiving(500) as second, running_server(webhook_private=True) as server:
        client = await server.operator()
        webhook = await created(client, first)
        path = f"/api/webhooks/{webhook['id']}"
        assert (await client.post(f"{path}/test")).json()["delivered"] is True
        assert (await first.request()).verified(webhook["secret"])["type"] == "webhook.test"
        changed = (await client.patch(path, json={"url": second.url, "channels": ["other:*"]})).json()
        assert (changed["url"], changed["channels"], changed["enabled"]) == (second.url, ["other:*"], True)
        tried = (await client.post(f"{path}/test")).json()
        assert (tried["delivered"], tried["status"], tried["error"]) == (False, 500, "answered 500")
        fresh = (await client.post(f"{path}/rotate")).json()["secret"]
        await second.request()
        await client.post(f"{path}/test")
        request = await second.request()
        assert fresh != webhook["secret"]
        assert request.verified(fresh) == request.verified(webhook["secret"])
        page = (await client.get(f"{path}/attempts?limit=2")).json()
        assert [item["status"] for item in page["items"]] == [500, 500]
        rest = (await client.get(f"{path}/attempts?before={page['next']}")).json()
        assert [(item["status"], item["delivered"]) for item in rest["items"]] == [(200, True)] and rest["next"] is None
        assert (await client.delete(path)).status_code == 204
        assert (await client.get(path)).status_code == 404
        await publish(client, "other:a", 1)
        await trio.sleep(0.1)
        assert second.came == 0


async def test_a_secret_in_its_url_is_used_and_never_shown() -> None:
    async with receiving() as receiver, running_server(webhook_private=True) as server:
        client = await server.operator()
        url = f"{receiver.url}?room=7&access_token=canary&token=canary"
        made = (await client.post("/api/webhooks", json={"url": url, "channels": ["news:*"]})).json()
        path, shown = f"/api/webhooks/{made['id']}", f"{receiver.url}?room=7&access_token=***&token=***"
        assert made["url"] == shown
        # Who sends back what is shown changes nothing.
        assert (await client.patch(path, json={"url": shown, "description": "7"})).json()["description"] == "7"
        for answer in (
            await client.get(path),
            await client.get("/api/webhooks"),
            await client.post(f"{path}/rotate"),
            await client.post(f"{path}/test"),
            await client.get(f"{path}/attempts"),
        ):
            assert answer.status_code == 200 and "canary" not in answer.text
        assert (await receiver.request()).target == "/hook?room=7&access_token=canary&token=canary"


async def test_the_stars_in_place_of_a_secret_are_no_url() -> None:
    async with receiving() as receiver, running_server(webhook_private=True) as server:
        client = await server.operator()
        webhook = await created(client, receiver)
        masked = {"url": f"{receiver.url}?token=***", "channels": ["news:*"]}
        for answer in (
            await client.post("/api/webhooks", json=masked),
            await client.patch(f"/api/webhooks/{webhook['id']}", json=masked),
        ):
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
            assert answer.json()["detail"] == "url: *** stands for a secret; the whole URL is wanted"


async def test_since_tells_whether_all_is_there() -> None:
    async with receiving() as receiver, running_server(webhook_private=True) as server:
        client = await server.operator()
        await publish(client, "news:a", 1, 2)
        webhook = await created(client, receiver, since="1h")
        assert webhook["recovered"] is True
        assert len(await receiver.requests(2)) == 2
        answer = await client.patch(f"/api/webhooks/{webhook['id']}", json={"since": "c0ffee00-1"})
        assert answer.json()["recovered"] is False


@pytest.mark.parametrize(("method", "path"), ALL)
async def test_only_the_operator_may(method: str, path: str) -> None:
    async with running_server() as server:
        assert (await server.http().request(method, path)).status_code == 401
        for secret in (
            await server.key("blog", "b"),
            await server.key("project", "p", write=True),
            await server.key("stream", "s"),
            server.token("u", role="admin"),
        ):
            assert (await server.http(secret).request(method, path)).status_code == 403


async def test_what_there_is_not_is_404_and_what_is_wrong_is_400() -> None:
    async with running_server(webhook_private=True) as server:
        client = await server.operator()
        for method, path in ALL[2:]:
            answer = await client.request(method, path, json={})
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        for body in (
            {"url": "http://127.0.0.1/"},
            {"url": "http://127.0.0.1/", "channels": []},
            {"url": "http://127.0.0.1/", "channels": ["*"]},
            {"url": "http://127.0.0.1/", "channels": ["a:b:*"]},
            {"url": "http://127.0.0.1/", "channels": ["a:*"], "since": "\x00"},
            {"url": "nothing", "channels": ["a:*"]},
        ):
            assert (await client.post("/api/webhooks", json=body)).status_code == 400, body
        for query in ("limit=0", "limit=1001", "before=x", "limit=%D9%A3"):
            answer = await client.get(f"/api/webhooks/x/attempts?{query}")
            assert answer.status_code == 400, query


# --- the own network (security checklist, line 50)


@pytest.mark.parametrize("way", ["created", "changed"])
async def test_an_endpoint_in_the_own_network_is_refused_unless_a_setting_allows_it(way: str) -> None:
    async with receiving() as receiver, running_server(data=":memory:") as server:
        client = await server.operator()
        body = {"url": receiver.url, "channels": ["news:*"]}
        if way == "created":
            answer = await client.post("/api/webhooks", json=body)
        else:
            good = await client.post("/api/webhooks", json={**body, "url": "https://example.org/", "enabled": False})
            answer = await client.patch(f"/api/webhooks/{good.json()['id']}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert receiver.connections == 0


async def test_dev_lets_webhooks_reach_the_own_machine() -> None:
    async with receiving() as receiver, running_server(dev=True) as server:
        client = await server.operator()
        await created(client, receiver)
        await publish(client, "news:a", 1)
        await receiver.request()


async def test_an_endpoint_of_another_name_that_leads_inside_is_refused_at_each_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *more: int, **options: int) -> list[object]:
        inside = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        return [inside] if host == "public.example" else resolve(host, port, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with receiving() as receiver, running_server(webhook_ports=(receiver.port,)) as server:
        client = await server.operator()
        url = f"https://public.example:{receiver.port}/"
        webhook = (await client.post("/api/webhooks", json={"url": url, "channels": ["news:*"]})).json()
        tried = (await client.post(f"/api/webhooks/{webhook['id']}/test")).json()
        assert (tried["status"], tried["error"]) == (None, "its address may not be reached")
        assert receiver.connections == 0


# --- nobody waits for an endpoint


async def stuck(client: httpx.AsyncClient, receiver: Receiver, server: InProcess, count: int) -> None:
    """So many webhooks whose deliveries hang."""
    for _ in range(count):
        await created(client, receiver)
    await publish(client, "news:a", 0)
    await receiver.requests(count)


async def test_hung_endpoints_hold_up_neither_publishers_nor_others() -> None:
    async with receiving(receivers.hang) as hung, receiving() as good, running_server(webhook_private=True) as server:
        client = await server.operator()
        await stuck(client, hung, server, 20)
        webhook = await created(client, good)
        begun = trio.current_time()
        await publish(client, "news:a", *range(100))
        assert trio.current_time() - begun < 5
        got = [request.verified(webhook["secret"])["data"] for request in await good.requests(100)]
        assert got == list(range(100))


async def test_hung_endpoints_do_not_keep_the_server_from_stopping() -> None:
    async with receiving(receivers.hang) as hung:
        async with running_server(webhook_private=True, shutdown_timeout=2.0) as server:
            client = await server.operator()
            await stuck(client, hung, server, 20)
            begun = trio.current_time()
        assert trio.current_time() - begun < 2

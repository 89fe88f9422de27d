"""Keys, tokens and tickets: where they must not be found, and how fast they end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx
import trio

from tests.servers import ServerProcess
from tests.transports.doors import BINARY, frame, handshake, serving, tcp


async def test_no_clear_secret_is_in_the_file_its_log_a_backup_or_any_answer_of_a_running_server(
    tmp_path: Path,
) -> None:
    async with ServerProcess(tmp_path / "rtlite.db") as server:
        operator = await server.operator()
        key = (await operator.post("/api/keys", json={"kind": "blog", "user": "alice"})).json()["key"]
        token = (await operator.post("/api/tokens", json={"user": "alice"})).json()["token"]
        ticket = (await operator.post("/api/tickets")).json()["ticket"]
        admin = server.admin_key or ""
        browser = server.http(origin=server.url)
        assert (await browser.post("/api/session", json={"key": admin})).status_code == 201
        (cookie,) = browser.cookies.jar
        secrets = {"key": key, "token": token, "ticket": ticket, "admin": admin, "login": cookie.value or ""}
        seen: list[str] = []

        async def ask(client: httpx.AsyncClient, method: str, path: str) -> None:
            answer = await client.request(method, path)
            seen.append(f"{answer.headers} {answer.text}")

        for secret in (key, token, f"{key}x", admin):
            for form in (secret, quote(secret, safe=""), secret.replace("_", "%5F").replace(".", "%2E")):
                for path in (
                    f"/api/keys?token={form}",
                    f"/blog/v1/subscribers?apiKey={form}",
                    f"/nowhere/{form}",
                    f"/api/channels/{form}/history?token={form}&since={form}",
                    f"/blog/v1/articles/{form}",
                    f"/%ff?token={form}",
                ):
                    await ask(server.http(), "GET", path)
            for headers in ({"user_agent": secret}, {"referer": f"http://x/?token={secret}"}, {"x_api_key": secret}):
                await ask(server.http(**headers), "GET", "/nowhere")
            async with server.websocket(f"/blog/ws/notifications?token={secret}"):
                await ask(operator, "GET", "/api/connections")
        for path in ("/api/keys", "/api/connections", "/api/disconnects", "/api/session", "/api/channels", "/metrics"):
            await ask(operator, "GET", path)
            await ask(browser, "GET", path)
        await trio.to_thread.run_sync(_back_up, server.data, tmp_path / "copy.db")
        places = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
        assert {"rtlite.db", "rtlite.db-wal", "rtlite.db.log", "copy.db"} <= set(places)
    places |= {f"{path.name} after the stop": path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    places["an answer"] = "\n".join(seen).encode()
    for name, secret in secrets.items():
        for place, content in places.items():
            count = content.count(secret.encode())
            expected = place.startswith("rtlite.db.log") and name == "admin"  # shown once, at the first start
            assert count == expected, f"{name} is {count} times in {place}"
            assert content.count(secret[-30:].encode()) == expected, f"the end of {name} is in {place}"


def _back_up(data: Path, target: Path) -> None:
    import subprocess
    import sys

    subprocess.run(
        [sys.executable, "-m", "rtlite", "backup", str(target), "--data", str(data)], check=True, capture_output=True
    )


async def test_a_revoked_key_ends_its_live_connections_and_new_ones_within_2_seconds() -> None:
    async with serving() as server:
        operator = await server.operator()
        made = (await operator.post("/api/keys", json={"kind": "blog", "user": "alice"})).json()
        bystander_key = await server.key("blog", "alice")
        live = [await tcp(server) for _ in range(5)]
        for peer in live:
            await peer.upgrade("/blog/ws/notifications", X_Api_Key=made["key"])
        bystander = await tcp(server)
        await bystander.upgrade("/blog/ws/notifications", X_Api_Key=bystander_key)
        await server.subscribed("notifications:alice", 6)
        started = time.monotonic()
        assert (await operator.delete(f"/api/keys/{made['id']}")).status_code == 200
        for peer in live:
            assert await peer.close_code() == 1008
        assert (await server.http(made["key"]).get("/blog/v1/subscribers")).status_code == 401
        late = await tcp(server)
        await late.upgrade("/blog/ws/notifications", X_Api_Key=made["key"])
        assert await late.close_code() == 4401
        assert time.monotonic() - started < 2
        await operator.post("/api/publish", json={"channel": "notifications:alice", "event": "e", "data": {"n": 1}})
        assert await bystander.text() == b'{"type":"e","n":1}'


async def test_a_ticket_in_a_url_is_worthless_once_used_or_old() -> None:
    async with serving(ticket_lifetime=0.3) as server:
        operator = await server.operator()
        ask: Callable[[], object] = lambda: operator.post("/api/tickets")  # noqa: E731
        used = (await ask()).json()["ticket"]  # type: ignore[attr-defined]
        assert (await server.http().get(f"/api/keys?token={used}")).status_code == 200
        assert (await server.http().get(f"/api/keys?token={used}")).status_code == 401
        old = (await ask()).json()["ticket"]  # type: ignore[attr-defined]
        await trio.sleep(0.35)
        assert (await server.http().get(f"/api/keys?token={old}")).status_code == 401


async def test_what_is_read_at_an_address_with_a_credential_does_not_pass_the_address_on() -> None:
    async with serving() as server:
        key = await server.key("admin", "root")
        for path in (f"/api/keys?token={key}", f"/api/keys?apiKey={key}", "/nowhere?token=x", "/healthz?token=x"):
            assert (await server.http().get(path)).headers["referrer-policy"] == "no-referrer"
        assert "referrer-policy" not in (await server.http(key).get("/api/keys")).headers


async def test_a_ticket_is_used_up_by_whoever_comes_first_of_many_at_once() -> None:
    async with serving() as server:
        ticket = (await (await server.operator()).post("/api/tickets")).json()["ticket"]
        statuses: list[int] = []

        async def take() -> None:
            statuses.append((await server.http().get(f"/api/keys?token={ticket}")).status_code)

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(take)
        assert sorted(statuses) == [200] + [401] * 9


async def test_a_credential_in_a_frame_is_no_credential() -> None:
    async with serving() as server:
        key = await server.key("admin", "root")
        peer = await tcp(server)
        await peer.send(handshake("/blog/ws/articles/a"), frame(key), frame(key, BINARY), frame(f'{{"token":"{key}"}}'))
        assert (await peer.answer()).status == 101
        assert await peer.close_code() == 4401

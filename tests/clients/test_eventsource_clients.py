"""Real clients of server-sent events: npm's eventsource, Node's fetch, Chromium's EventSource and fetch.

The JavaScript of the source text's reference runs unchanged but for the host.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import httpx
import trio

from tests.clients.runtimes import Client, Runtime, snippet
from tests.servers import Doors, InProcess, ServerProcess, running_server

NOTIFICATION = {
    "id": "notif_abc123",
    "type": "order_update",
    "title": "Order Shipped",
    "message": "Your order #1234 has been shipped.",
    "userId": "usr_abc123",
}

# An EventSource that tells all it sees.
TELLING = """
const source = new EventSource(%s)
for (const name of ["connected", "closed", "message"]) source.addEventListener(name, event => {
  const { data, event: what, code } = JSON.parse(event.data)
  console.log(name, code ?? what ?? null, data ?? null, event.lastEventId)
})
source.addEventListener("error", () => console.log("error", source.readyState))
"""

CLOSED = 2


async def publish(server: Doors, channel: str, event: str, data: Any) -> None:
    client = await server.operator()
    answer = await client.post("/api/publish", json={"channel": channel, "event": event, "data": data})
    assert answer.status_code == 201, answer.text


def telling(url: str) -> str:
    return TELLING % json.dumps(url)


class TestSnippets:
    async def test_the_inbox_snippet_is_connected_and_gets_the_event_of_the_text(self, eventsource: Runtime) -> None:
        async with eventsource.client() as client, running_server(allowed_origins=client.origins) as server:
            names = f'const customerId = "usr_abc123", customerToken = "{server.token("usr_abc123")}";\n'
            await client.run(names + snippet("eventsource.js", server))
            assert await client.says() == ["Connected to notifications:usr_abc123"]
            await publish(server, "notifications:usr_abc123", "notification.new", NOTIFICATION)
            assert await client.says() == ["Event:", "notification.new", NOTIFICATION]

    async def test_the_snippet_with_two_connections_hears_both(self, eventsource: Runtime) -> None:
        async with eventsource.client() as client, running_server(allowed_origins=client.origins) as server:
            key = await server.key("project", "shop")
            names = f'const userId = "usr_1", token = "{server.token("usr_1")}", apiKey = "{key}";\n'
            listening = (
                "for (const it of [notifications, productChanges]) it.onmessage = ({ data }) => console.log(data)"
            )
            await client.run(names + snippet("eventsource-many.js", server) + listening)
            for channel in ("notifications:usr_1", "changes:product"):
                await server.subscribed(channel)
                await publish(server, channel, "x", 1)
                assert json.loads((await client.says())[0])["channel"] == channel

    async def test_the_fetch_snippet_gets_connected_and_every_event_and_passes_heartbeats_over(
        self, fetching: Runtime
    ) -> None:
        async with (
            fetching.client() as client,
            running_server(allowed_origins=client.origins, ping_interval=0.05) as server,
        ):
            program = "const handleEvent = event => console.log(event)\n" + snippet("sse-fetch.js", server)
            await client.run(f'{program}\nconnectSSE("changes:product", "{await server.key("project", "shop")}")')
            (connected,) = await client.says()
            assert (connected["channel"], connected["userId"]) == ("changes:product", "shop")
            for number in range(3):
                await trio.sleep(0.12)  # a heartbeat or two
                await publish(server, "changes:product", "UPDATED", {"number": number})
                assert await client.says() == [
                    {"channel": "changes:product", "event": "UPDATED", "data": {"number": number}}
                ]


class TestReconnecting:
    async def test_every_event_arrives_once_and_in_order_though_the_server_is_killed_again_and_again(
        self, eventsource: Runtime, tmp_path: Path, full: bool
    ) -> None:
        count, kills = (2000, {300, 900, 1500}) if full else (400, {100, 300})
        async with eventsource.client() as client:
            origins = {"allowed_origins": ",".join(client.origins)} if client.origins else {}
            async with ServerProcess(tmp_path / "rtlite.db", sse_retry="200ms", **origins) as server:
                url = f"{server.url}/sse/news:1?token={server.admin_key}"
                await client.run(
                    f"""const seen = []
                    const source = new EventSource({json.dumps(url)})
                    source.addEventListener("connected", () => console.log("connected"))
                    source.addEventListener("message", event => {{
                      seen.push(JSON.parse(event.data).data)
                      if (seen.at(-1) === {count - 1}) setTimeout(() => console.log("all", seen), 100)
                    }})"""
                )
                assert await client.says() == ["connected"]
                for number in range(count):
                    if number in kills:
                        async with trio.open_nursery() as nursery:  # it is killed while this one is published
                            nursery.start_soon(publish_surely, server, number)
                            await server.stop(signal.SIGKILL)
                            await server.start()
                    else:
                        await publish_surely(server, number)
                connections = 0
                while (said := await client.says()) == ["connected"]:
                    connections += 1
                assert said == ["all", list(range(count))]
                assert connections >= len(kills)

    async def test_who_is_there_before_the_first_event_misses_nothing(
        self, eventsource: Runtime, tmp_path: Path
    ) -> None:
        async with eventsource.client() as client:
            origins = {"allowed_origins": ",".join(client.origins)} if client.origins else {}
            async with ServerProcess(tmp_path / "rtlite.db", sse_retry="1s", **origins) as server:
                await client.run(telling(f"{server.url}/sse/news:1?token={server.admin_key}"))
                assert (await client.says())[0] == "connected"
                await server.kill()
                await server.start()
                await publish_surely(server, 0)  # before it is back
                while (said := await client.says())[0] != "message":
                    pass
                assert said[2] == 0

    async def test_a_stop_of_the_server_is_told_and_survived(self, eventsource: Runtime, tmp_path: Path) -> None:
        async with eventsource.client() as client:
            origins = {"allowed_origins": ",".join(client.origins)} if client.origins else {}
            async with ServerProcess(tmp_path / "rtlite.db", **origins) as server:
                await client.run(telling(f"{server.url}/sse/news:1?token={server.admin_key}"))
                assert (await client.says())[0] == "connected"
                await server.terminate()
                assert (await client.says())[:2] == ["closed", "stopping"]
                await server.start()
                while (said := await client.says())[0] != "connected":
                    assert said == ["error", 0]


class TestStatuses:
    """An EventSource gives up for good at any status but 200."""

    async def test_what_no_retry_mends_ends_it(self, eventsource: Runtime) -> None:
        async with eventsource.client() as client, running_server(allowed_origins=client.origins) as server:
            blog = await server.key("blog", "alice")
            for target in (
                "/sse/changes:product?apiKey=pk_live_wrong",  # 401
                f"/sse/changes:product?apiKey={blog}",  # 403
                f"/sse/a:b:*?apiKey={blog}",  # 400
                f"/sse/a/b?apiKey={blog}",  # 404
            ):
                await client.run(telling(server.url + target))
                assert await client.says() == ["error", CLOSED]

    async def test_who_is_closed_by_the_operator_stops(self, eventsource: Runtime) -> None:
        async with (
            eventsource.client() as client,
            running_server(allowed_origins=client.origins, sse_retry=0.1) as server,
        ):
            await client.run(telling(f"{server.url}/sse/changes:a?apiKey={await server.key('project', 'shop')}"))
            assert (await client.says())[0] == "connected"
            operator = await server.operator()
            (shown,) = (await operator.get("/api/connections")).json()["items"]
            await operator.delete(f"/api/connections/{shown['id']}")
            assert (await client.says())[:2] == ["closed", "closed_by_operator"]
            assert await client.says() == ["error", 0]
            assert await client.says() == ["error", CLOSED]

    async def test_overload_is_survived(self, eventsource: Runtime) -> None:
        async with (
            eventsource.client() as client,
            running_server(allowed_origins=client.origins, max_connections=1, sse_retry_busy=0.2) as server,
        ):
            await client.run(await both(server))
            said = [await client.says() for _ in range(3)]
            assert ["closed", "over_capacity"] in [line[:2] for line in said]
            await until_served(server, client)


async def both(server: InProcess) -> str:
    """One that takes the only place and leaves it after a moment, and one that comes meanwhile."""
    url = f"{server.url}/sse/changes:a?apiKey={await server.key('project', 'shop')}"
    return f"""const first = new EventSource({json.dumps(url)})
    first.addEventListener("connected", () => {{
      globalThis.source = new EventSource({json.dumps(url + "&second")})
      source.addEventListener("closed", event => {{
        console.log("closed", JSON.parse(event.data).code)
        first.close()
      }})
      source.addEventListener("message", () => console.log("message"))
      source.addEventListener("connected", () => console.log("connected"))
      source.addEventListener("error", () => console.log("error", source.readyState))
    }})"""


async def until_served(server: InProcess, client: Client) -> None:
    with trio.fail_after(10):
        while True:
            await publish(server, "changes:a", "x", 1)
            with trio.move_on_after(0.2):
                while (await client.says())[0] != "message":
                    pass
                return


async def publish_surely(server: ServerProcess, number: int) -> None:
    """Publish with an id, again and again, until the server says that it is stored."""
    client = await server.operator()
    body = {"channel": "news:1", "event": "tick", "data": number, "id": f"number-{number}"}
    with trio.fail_after(30):
        while True:
            try:
                answer = await client.post("/api/publish", json=body)
                assert answer.status_code in {200, 201}, answer.text
                return
            except httpx.TransportError:
                await trio.sleep(0.02)

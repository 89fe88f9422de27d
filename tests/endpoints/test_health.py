from __future__ import annotations

import trio
import trio.testing

from tests.transports.doors import head, post, serving, tcp


def value(metrics: str, name: str) -> float:
    """The sum over a metric's labels."""
    lines = [line for line in metrics.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


async def test_alive_and_ready_are_open_to_anyone() -> None:
    async with serving() as server:
        client = server.http()
        assert (await client.get("/healthz")).json()["status"] == "ok"
        assert (await client.get("/readyz")).json() == {"status": "ready"}
        assert (await client.head("/healthz")).status_code == 200


async def test_only_a_server_for_development_says_that_it_is_one() -> None:
    async with serving() as server:
        assert "dev" not in (await server.http().get("/healthz")).json()
    async with serving(dev=True) as server:
        assert (await server.http().get("/healthz")).json()["dev"] is True


async def test_a_server_that_stops_says_on_an_open_connection_that_it_is_not_ready() -> None:
    async with serving(shutdown_spread=0.5) as server:
        admin = await server.key("admin", "root")
        sockets = [await tcp(server) for _ in range(3)]
        for peer in sockets:
            await peer.upgrade("/blog/ws/articles/a", X_Api_Key=admin)
        why = server.running.server.why_not_ready
        assert why() is None
        waiting = await tcp(server)
        await waiting.send(head("GET /api/channels/a:b/history?wait=1s", X_Api_Key=admin), head("GET /readyz"))
        await trio.testing.wait_all_tasks_blocked(0.05)
        server.running.stop()
        assert why() == "stopping"
        assert (await waiting.answer()).status == 200  # what was under way is answered


async def test_metrics_are_the_operators_but_with_dev() -> None:
    async with serving() as server:
        assert (await server.http().get("/metrics")).status_code == 401
        assert (await server.http(await server.key("blog", "b")).get("/metrics")).status_code == 403
    async with serving(dev=True) as server:
        assert (await server.http().get("/metrics")).status_code == 200


async def test_metrics_move() -> None:
    async with serving() as server:
        client = await server.operator()
        admin = await server.key("admin", "root")
        before = (await client.get("/metrics")).text
        peer = await tcp(server)
        await peer.upgrade("/blog/ws/articles/a", X_Api_Key=admin)
        await server.subscribed("article:a")
        publisher = await tcp(server)
        body = {"channel": "article:a", "event": "e", "id": "one"}
        await publisher.send(post("/api/publish", body, X_Api_Key=admin), post("/api/publish", body, X_Api_Key=admin))
        assert [(await publisher.answer()).status for _ in range(2)] == [201, 200]
        await peer.text()
        await server.http("rtk_wrong").get("/api/keys")
        during = (await client.get("/metrics")).text
        await trio.aclose_forcefully(peer.stream)
        while value((await client.get("/metrics")).text, "rtlite_connections"):
            pass
        after = (await client.get("/metrics")).text

        def rose(name: str) -> float:
            return value(during, name) - value(before, name)

        assert rose("rtlite_connections") == rose("rtlite_connected_total") == 1
        assert rose("rtlite_events_published_total") == rose("rtlite_events_delivered_total") == 1
        assert rose("rtlite_events_duplicate_total") == rose("rtlite_logins_failed_total") == 1
        assert rose("rtlite_commit_seconds_count") >= 1
        assert 'rtlite_http_requests_total{lane="lean",status="201"} 1.0' in during
        assert value(after, "rtlite_closed_total") == value(during, "rtlite_closed_total") + 1

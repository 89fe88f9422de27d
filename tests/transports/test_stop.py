"""An orderly stop, whatever the clients do."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import trio

from tests.servers import InProcess, ServerProcess
from tests.transports.doors import Peer, close_frame, head, post, serving, tcp


async def never_reading(server: InProcess, admin: str, count: int) -> list[Peer]:
    """Half of them WebSockets with a backlog, half of them requests for something large."""
    peers = [await tcp(server, receive_buffer=4096) for _ in range(count)]
    for number, peer in enumerate(peers):
        if number % 2:
            await peer.send(head("GET /api/channels/article:a/history", X_Api_Key=admin))
        else:
            await peer.upgrade("/blog/ws/articles/a", X_Api_Key=admin)
    return peers


async def publish(server: InProcess, admin: str, count: int) -> None:
    peer = await tcp(server)
    for _ in range(count):
        await peer.send(
            post("/api/publish", {"channel": "article:a", "event": "e", "data": "x" * 100_000}, X_Api_Key=admin)
        )
        assert (await peer.answer()).status == 201


async def test_reading_clients_are_told_1001_and_idle_ones_are_just_closed() -> None:
    async with serving(shutdown_timeout=5) as server:
        admin = await server.key("admin", "root")
        sockets = [await tcp(server) for _ in range(20)]
        for peer in sockets:
            await peer.upgrade("/blog/ws/articles/a", X_Api_Key=admin)
        idle = await tcp(server)
        await idle.send(head("GET /readyz"))
        assert (await idle.answer()).status == 200
        before = trio.current_time()
        server.running.stop()
        for peer in sockets:
            assert await peer.close_code() == 1001
            await peer.send(close_frame(1001))
            assert await peer.ended() == b""
        assert await idle.ended() == b""
        assert trio.current_time() - before < 3


async def test_clients_that_never_read_hold_up_a_stop_no_longer_than_its_timeout() -> None:
    before = 0.0
    async with serving(shutdown_timeout=1.0) as server:
        admin = await server.key("admin", "root")
        await publish(server, admin, 5)
        peers = await never_reading(server, admin, 20)
        await publish(server, admin, 20)
        assert any(item.outbox.queued for item in server.running.server.connections)
        before = trio.current_time()
        server.running.stop()
        for listed in list(Peer.opened):  # they stay open, and silent, until the server is gone
            if listed in peers:
                Peer.opened.remove(listed)
        kept = server._stack.pop_all()
    assert 0.7 < trio.current_time() - before < 2.5
    await kept.aclose()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_with_clients_that_never_read_ends_in_order_and_in_time(number, tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "rtlite.db", shutdown_timeout="2s") as server:
        admin = server.admin_key
        await publish(server, admin, 5)
        await never_reading(server, admin, 10)
        await publish(server, admin, 20)
        before = trio.current_time()
        assert await server.stop(number) == 0
        assert trio.current_time() - before < 4
        await server.start()  # nothing of it is lost
        peer = await tcp(server)
        await peer.send(head("GET /api/channels/article:a/history?limit=1&order=desc", X_Api_Key=admin))
        assert (await peer.answer()).json["items"][0]["offset"] == 25
    for peer in Peer.opened:
        await trio.aclose_forcefully(peer.stream)

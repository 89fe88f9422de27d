"""Peers that are gone without a word: found by the heartbeat, and nothing of them stays."""

from __future__ import annotations

import os
from pathlib import Path

import trio

from tests.faults.machine import skip
from tests.faults.peers import vanish, websocket
from tests.faults.world import FaultyServer, descriptors

COUNT = 50


async def seconds_until_forgotten(server: FaultyServer, limit: float) -> float:
    """How long 50 vanished subscribers keep a subscription or a file descriptor; ``limit`` if longer."""
    if os.geteuid() != 0:
        skip("TCP_REPAIR needs root")
    client = await server.operator()
    key = server.admin_key or ""
    peers = [websocket(server.port, "/blog/ws/articles/dead", key) for _ in range(COUNT)]
    await server.subscribed("article:dead", COUNT)
    assert len((await client.get("/api/connections")).json()["items"]) == COUNT
    before = descriptors(server.pid) - COUNT
    for peer in peers:
        vanish(peer)
    begun = trio.current_time()
    with trio.move_on_after(limit):
        while descriptors(server.pid) > before:  # noqa: ASYNC110  # the kernel tells nobody
            await trio.sleep(0.02)
        assert (await client.get("/api/connections")).json()["items"] == []
        assert 'rtlite_connections{protocol="blog"} 0.0' in (await client.get("/metrics")).text
    return trio.current_time() - begun


async def test_fifty_peers_that_vanish_without_fin_or_rst_are_forgotten_after_one_ping(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "dead.db", ping_interval="1s", pong_timeout="1s") as server:
        seconds = await seconds_until_forgotten(server, 8)
    print(f"forgotten after {seconds:.2f} s, with a ping each second and a second for the pong")
    assert seconds < 1 + 1 + 1


async def test_without_a_heartbeat_vanished_peers_would_stay(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "dead.db", ping_interval="10m") as server:
        assert await seconds_until_forgotten(server, 2.2) >= 2.2

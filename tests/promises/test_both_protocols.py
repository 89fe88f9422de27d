"""One process, one channel, half of its listeners on WebSockets and half on event streams: all hear the same event."""

from __future__ import annotations

import contextlib
import selectors
import socket
from pathlib import Path

import pytest
import trio

from tests.faults import peers
from tests.faults.test_many_connections import many_descriptors
from tests.servers import ServerProcess

MARK = b"an event for all of them"


def open_all(server: ServerProcess, count: int) -> list[socket.socket]:
    """So many of each, all greeted or upgraded."""
    opened = []
    key = server.admin_key or ""
    request = f"GET /sse/article:a?token={key} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    for number in range(count):
        source = f"127.0.0.{2 + number % 2}"
        opened.append(peers.websocket(server.port, "/blog/ws/articles/a", key, source=source))
        stream = peers.connect(server.port, request, source=source)
        answer = b""
        while b"event: connected" not in answer or not answer.endswith(b"\n\n\r\n"):
            received = stream.recv(4096)
            assert received, answer
            answer += received
        assert answer.startswith(b"HTTP/1.1 200 ")
        opened.append(stream)
    return opened


def hear(opened: list[socket.socket], seconds: float) -> int:
    """How many get the event in time."""
    heard: dict[socket.socket, bytes] = {}
    with selectors.DefaultSelector() as selector:
        for peer in opened:
            selector.register(peer, selectors.EVENT_READ)
        while len(selector.get_map()):
            ready = selector.select(seconds)
            if not ready:
                break
            for key, _ in ready:
                peer = key.fileobj
                assert isinstance(peer, socket.socket)
                heard[peer] = heard.get(peer, b"") + peer.recv(4096)
                if MARK in heard[peer]:
                    selector.unregister(peer)
    return sum(MARK in data for data in heard.values())


async def all_hear(tmp_path: Path, count: int) -> None:
    async with ServerProcess(tmp_path / "both.db", ping_interval="10m", max_connections=2 * count) as server:
        opened = await trio.to_thread.run_sync(open_all, server, count)
        try:
            await server.subscribed("article:a", 2 * count)
            async with trio.open_nursery() as nursery:
                begun = trio.current_time()

                async def publish() -> None:
                    body = {"channel": "article:a", "event": "news", "data": MARK.decode()}
                    answer = await (await server.operator()).post("/api/publish", json=body)
                    assert answer.status_code == 201
                    print(f"answered after {trio.current_time() - begun:.2f} s")

                nursery.start_soon(publish)
                heard = await trio.to_thread.run_sync(hear, opened, 10.0)
                print(f"{heard} connections heard it within {trio.current_time() - begun:.2f} s")
            assert heard == 2 * count
        finally:
            for peer in opened:
                with contextlib.suppress(OSError):
                    peer.close()


@pytest.mark.full
async def test_5000_listeners_of_each_protocol_hear_an_event(tmp_path: Path) -> None:
    with many_descriptors(11_000):
        await all_hear(tmp_path, 5_000)


async def test_100_listeners_of_each_protocol_hear_an_event(tmp_path: Path) -> None:
    await all_hear(tmp_path, 100)

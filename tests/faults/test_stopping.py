"""Clients that never read: they do not keep the server from stopping, and cost the kernel little."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from tests.faults import peers
from tests.faults.machine import skip
from tests.faults.world import FaultyServer, flood

KIB = 1024


@contextlib.contextmanager
def several(count: int, make: Callable[[], socket.socket]) -> Iterator[list[socket.socket]]:
    """So many sockets, closed at the end."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(make()) for _ in range(count)]


async def behind(server: FaultyServer, count: int, least: int) -> None:
    """Wait until for this many clients so many bytes wait that the kernel did not take."""
    client = await server.operator()
    with trio.fail_after(10):
        while True:
            waiting = [item["queued"] for item in (await client.get("/api/connections")).json()["items"]]
            if sum(size >= least for size in waiting) >= count:
                return
            await trio.sleep(0.05)


async def seconds_to_stop(server: FaultyServer, limit: float) -> float:
    """SIGTERM with 100 WebSockets and 20 answers that nobody reads and 20 requests that never end."""
    key, port = server.admin_key or "", server.port

    def subscribe() -> socket.socket:
        return peers.websocket(port, "/blog/ws/articles/flood", key, receive_buffer=8 * KIB)

    def ask() -> socket.socket:
        request = "GET /api/channels/article:flood/history?limit=1000 HTTP/1.1\r\nHost: x\r\nX-Api-Key: {}\r\n\r\n"
        return peers.connect(port, request.format(key).encode(), receive_buffer=8 * KIB)

    def begin() -> socket.socket:
        request = "POST /api/publish HTTP/1.1\r\nHost: x\r\nX-Api-Key: {}\r\nContent-Length: 1000\r\n\r\n{{"
        return peers.connect(port, request.format(key).encode())

    with several(100, subscribe), several(20, begin):
        await server.subscribed("article:flood", 100)
        await flood(server, "article:flood", 4 * 1024 * KIB)
        with several(20, ask):
            await behind(server, 100, 256 * KIB)
            begun = time.monotonic()
            with trio.move_on_after(limit):
                assert await server.terminate() == 0
                return time.monotonic() - begun
    return limit


async def test_100_clients_that_never_read_do_not_keep_the_server_from_stopping_in_time(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "stop.db", shutdown_timeout="2s") as server:
        seconds = await seconds_to_stop(server, 10)
    print(f"stopped in {seconds:.2f} s, of 2 s that it may take")
    assert seconds < 3


@pytest.mark.full
async def test_100_clients_that_never_read_do_not_keep_the_server_from_stopping_in_10_s(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "stop.db") as server:
        seconds = await seconds_to_stop(server, 15)
    print(f"stopped in {seconds:.2f} s with the settings as they come")
    assert seconds <= 10


async def test_server_that_lets_its_connections_finish_does_not_stop_in_time(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "stop.db", shutdown_timeout="200ms", altered="stubborn") as server:
        begun = time.monotonic()
        with several(1, lambda: peers.connect(server.port, b"POST /api/publish HTTP/1.1\r\nContent-Length: 9\r\n")):
            server.signal_stop()
            with trio.move_on_after(1.2):
                await server.ended()
        assert time.monotonic() - begun >= 1.2


async def kernel_memory(server: FaultyServer) -> int:
    """What the kernel holds for one client that does not read any more, in bytes."""
    if os.geteuid() != 0:
        skip("a send buffer past the machine's limit needs root")
    if shutil.which("ss") is None:
        skip("ss is not installed (Debian: iproute2)")
    key = server.admin_key or ""

    def subscribe() -> socket.socket:  # the peer's own buffer must not grow and take it all
        return peers.websocket(server.port, "/blog/ws/articles/flood", key, receive_buffer=256 * KIB)

    with several(1, subscribe) as (peer,):
        await server.subscribed("article:flood")

        def read(wanted: int) -> None:
            while wanted > 0:
                wanted -= len(peer.recv(wanted))

        async with trio.open_nursery() as nursery:  # the kernel gives much only to who has read much
            nursery.start_soon(trio.to_thread.run_sync, read, 8 * 1024 * KIB)
            await flood(server, "article:flood", 8 * 1024 * KIB)
        await flood(server, "article:flood", 16 * 1024 * KIB)
        await behind(server, 1, 1)
        held = 0
        with trio.move_on_after(1):  # it fills up page by page
            while held <= 400 * KIB:
                held = max(held, *peers.kernel_memory(server.port))
                await trio.sleep(0.05)
        print(f"{held // KIB} KiB in the kernel")
        return held


@pytest.mark.full  # how far the kernel grows a buffer depends on the machine's load
async def test_client_that_stopped_reading_costs_the_kernel_less_than_400_kib(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "kernel.db") as server:
        assert 16 * KIB < await kernel_memory(server) <= 400 * KIB


@pytest.mark.full  # how far the kernel grows a buffer depends on the machine's load
async def test_with_the_send_buffer_that_linux_grows_to_the_kernel_would_hold_more(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "kernel.db", altered="roomy") as server:
        assert await kernel_memory(server) > 400 * KIB

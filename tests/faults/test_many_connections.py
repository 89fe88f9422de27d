"""15,000 idle connections on one process, and what is left when they are gone: nothing."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import trio

from tests.faults import peers
from tests.faults.machine import skip
from tests.faults.world import FaultyServer, descriptors, resident

CHANNELS = 100


@attrs.frozen
class Census:
    """What a server holds."""

    connections: int
    subscribers: int
    descriptors: int
    tasks: int


async def take_census(server: FaultyServer) -> Census:
    client = server.http(server.admin_key)
    client.timeout = 60
    try:
        channels = (await client.get("/api/channels", params={"prefix": "article:"})).json()["items"]
        return Census(
            len((await client.get("/api/connections")).json()["items"]),
            sum(item["subscribers"] for item in channels),
            descriptors(server.pid),
            (await client.get("/healthz")).json()["tasks"],
        )
    finally:
        await client.aclose()


@contextlib.contextmanager
def many_descriptors(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        skip(f"{count} file descriptors are wanted, {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def come_and_go(server: FaultyServer, count: int, patience: float = 20) -> tuple[Census, Census]:
    """Open so many, look, and close them all; returns what the server held before and holds after."""
    client = server.http(server.admin_key)
    for number in range(CHANNELS):  # so that they are listed
        assert (await client.post("/api/publish", json={"channel": f"article:{number}", "event": "first"})).is_success
    await client.aclose()
    before = await take_census(server)
    memory = resident(server.pid)
    opened: list[socket.socket] = []

    def open_all() -> None:
        for number in range(count):
            path = f"/blog/ws/articles/{number % CHANNELS}"
            opened.append(
                peers.websocket(server.port, path, server.admin_key or "", source=f"127.0.0.{2 + number % 2}")
            )

    try:
        begun = trio.current_time()
        await trio.to_thread.run_sync(open_all)
        seconds = trio.current_time() - begun
        with trio.fail_after(10):
            while (during := await take_census(server)).subscribers < count:
                pass
        each = (resident(server.pid) - memory) / count / 1024
        print(f"{count} connections in {seconds:.1f} s, {each:.1f} KiB each; {during}")
        assert (during.connections, during.subscribers) == (count, count)
        if count > 1_000:
            assert each <= 40
    finally:
        for number, peer in enumerate(opened):
            if number % 2:
                peers.reset(peer)
            else:
                peer.close()
    begun = trio.current_time()
    after = await take_census(server)
    first = trio.current_time() - begun
    with trio.move_on_after(patience):
        while after != before:
            await trio.sleep(0.1)
            after = await take_census(server)
    if after.descriptors != before.descriptors:
        for descriptor in Path(f"/proc/{server.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since it was listed
                print(f"left open: {descriptor.name} {descriptor.readlink()}")
    print(f"all left: the first answer after {first:.1f} s, all gone after {trio.current_time() - begun:.1f} s")
    return before, after


@pytest.mark.full
async def test_15000_idle_connections_come_and_go_and_leave_nothing(tmp_path: Path) -> None:
    with many_descriptors(16_000):
        async with FaultyServer(
            tmp_path / "many.db", altered="census", ping_interval="10m", max_connections=15_500
        ) as server:
            before, after = await come_and_go(server, 15_000)
    assert after == before


async def test_300_connections_come_and_go_and_leave_nothing(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "many.db", altered="census", ping_interval="10m") as server:
        before, after = await come_and_go(server, 300)
    assert after == before


async def test_file_descriptor_that_is_left_open_is_seen(tmp_path: Path) -> None:
    async with FaultyServer(tmp_path / "many.db", altered="census,leaking", ping_interval="10m") as server:
        before, after = await come_and_go(server, 20, patience=1)
    assert after.descriptors >= before.descriptors + 20
    assert after.connections == before.connections

"""A reader that stops reading hurts nobody, and misses nothing where there is history."""

from __future__ import annotations

import socket
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
import trio
import trio_websocket

from rtlite.errors import Reason
from tests.servers import ServerProcess

MIB = 1024 * 1024


def resident(pid: int) -> int:
    """A process's memory, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


@asynccontextmanager
async def reluctant_reader(
    server: ServerProcess, path: str
) -> AsyncIterator[tuple[trio_websocket.WebSocketConnection, trio.Nursery]]:
    """A WebSocket with a small receive buffer, so that what it does not read stays with the server."""
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    await sock.connect(("127.0.0.1", server.port))
    async with trio.SocketStream(sock) as stream, trio.open_nursery() as nursery:
        host = f"127.0.0.1:{server.port}"
        yield await trio_websocket.wrap_client_stream(nursery, stream, host, path, max_message_size=2 * MIB), nursery
        nursery.cancel_scope.cancel()


async def flood(server: ServerProcess, key: str, channel: str, size: int, total: int) -> int:
    """Publish numbered events of ``size`` bytes until ``total`` bytes went; returns how many."""
    client = server.http(key)
    number = 0
    while number * size < total:
        lines = []
        for _ in range(max(1, MIB // size)):
            number += 1
            data = {"number": number, "padding": "x" * size}
            lines.append(orjson.dumps({"channel": channel, "event": "tick", "data": data}))
        answer = await client.post(
            "/api/publish/batch",
            content=b"\n".join(lines),
            headers={"Content-Type": "application/x-ndjson"},
            timeout=60,
        )
        assert answer.status_code == 201, answer.text
    return number


async def latencies(server: ServerProcess, key: str, channel: str, count: int) -> list[float]:
    """Publish to receive, for ``count`` small events on a channel of one's own."""
    client = server.http(key)
    times = []
    async with server.websocket(f"/blog/ws/articles/{channel.partition(':')[2]}", key) as websocket:
        await server.subscribed(channel)
        await client.post("/api/publish", json={"channel": channel, "event": "first"})
        await websocket.get_message()
        for _ in range(count):
            begun = trio.current_time()
            await client.post("/api/publish", json={"channel": channel, "event": "tick"})
            await websocket.get_message()
            times.append(trio.current_time() - begun)
            await trio.sleep(0.01)
    return times


async def flood_and_watch(server: ServerProcess, key: str, channel: str, total: int) -> tuple[int, float]:
    """Much through one channel; how many events that were, and another channel's median latency meanwhile."""
    times: list[float] = []

    async def watch() -> None:
        times.extend(await latencies(server, key, "article:others", 100))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        count = await flood(server, key, channel, 64 * 1024, total)
    return count, statistics.median(times)


async def read_after_a_flood(tmp_path: Path, total: int, pause: float = 0.0) -> None:
    async with ServerProcess(tmp_path / "slow.db", publish_rate=0) as server:
        key = server.admin_key
        assert key is not None
        # The same flood with nobody slow: it fills the caches, and says what latency the flood itself costs.
        _, alone = await flood_and_watch(server, key, "article:control", total)
        async with reluctant_reader(server, f"/blog/ws/articles/slow?token={key}") as (reader, _):
            await server.subscribed("article:slow")
            before, begun = resident(server.pid), trio.current_time()
            count, beside = await flood_and_watch(server, key, "article:slow", total)
            await trio.sleep(max(0.0, begun + pause - trio.current_time()))
            grown = resident(server.pid) - before
            seen = []
            with trio.fail_after(60):
                while len(seen) < count:
                    seen.append(orjson.loads(await reader.get_message())["number"])
        print(f"memory +{grown / MIB:.1f} MiB; others' median latency {alone:.4f} s without it, {beside:.4f} s with it")
        assert seen == list(range(1, count + 1))
        assert grown < 5 * MIB
        assert beside < 2 * alone + 0.02
        metrics = (await server.http(key).get("/metrics")).text
        assert "rtlite_readers_spilled_total 0.0" not in metrics


async def test_reader_that_stops_while_much_goes_through_costs_no_memory_and_gets_every_event_once(
    tmp_path: Path,
) -> None:
    await read_after_a_flood(tmp_path, 40 * MIB)


@pytest.mark.full
async def test_reader_that_stops_for_30_s_while_100_mb_go_through_gets_every_event_once(tmp_path: Path) -> None:
    await read_after_a_flood(tmp_path, 100 * MIB, pause=30)


async def test_reader_that_stops_on_a_channel_without_history_is_closed_with_its_own_code(tmp_path: Path) -> None:
    config = tmp_path / "rtlite.toml"
    config.write_text("[channels.article]\nhistory = false\n")
    async with ServerProcess(tmp_path / "slow.db", publish_rate=0, config=config) as server:
        key = server.admin_key
        assert key is not None
        async with reluctant_reader(server, f"/blog/ws/articles/slow?token={key}") as (reader, _):
            await server.subscribed("article:slow")
            await flood(server, key, "article:slow", 64 * 1024, 16 * MIB)
            numbers = []
            with trio.fail_after(10), pytest.raises(trio_websocket.ConnectionClosed) as closed:
                while True:
                    numbers.append(orjson.loads(await reader.get_message())["number"])
        assert closed.value.reason is not None
        assert closed.value.reason.code == Reason.TOO_SLOW.value.blog == 4408
        assert numbers == list(range(1, len(numbers) + 1)), "what came before the close is whole and in order"

"""A reader that stops reading hurts nobody, and misses nothing where there is history."""

from __future__ import annotations

import socket
import statistics
import tempfile
from pathlib import Path

import orjson
import pytest
import trio
import trio_websocket

from rtlite.errors import Reason
from tests.servers import ServerProcess

TOTAL = 100 * 1024 * 1024
MIB = 1024 * 1024


def resident(pid: int) -> int:
    """A process's memory, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


async def connect_reluctantly(
    server: ServerProcess, path: str, nursery: trio.Nursery
) -> trio_websocket.WebSocketConnection:
    """A WebSocket with a small receive buffer, so that what it does not read stays with the server."""
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    await sock.connect(("127.0.0.1", server.port))
    return await trio_websocket.wrap_client_stream(
        nursery, trio.SocketStream(sock), f"127.0.0.1:{server.port}", path, max_message_size=2 * MIB
    )


async def flood(server: ServerProcess, key: str, channel: str, size: int, total: int) -> int:
    """Publish numbered events of ``size`` bytes until ``total`` bytes went; returns how many."""
    client = server.http(key)
    number = 0
    while number * size < total:
        lines = []
        for _ in range(max(1, 4 * MIB // size)):
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
        await client.post("/api/publish", json={"channel": channel, "event": "first"})
        await websocket.get_message()
        for _ in range(count):
            begun = trio.current_time()
            await client.post("/api/publish", json={"channel": channel, "event": "tick"})
            await websocket.get_message()
            times.append(trio.current_time() - begun)
            await trio.sleep(0.01)
    return times


async def read_after_a_flood(tmp_path: Path, pause: float) -> None:
    async with ServerProcess(tmp_path / "slow.db", publish_rate=0) as server, trio.open_nursery() as nursery:
        key = server.admin_key
        assert key is not None
        quiet = await latencies(server, key, "article:quiet", 50)
        await flood(server, key, "article:warm-up", 64 * 1024, 16 * MIB)  # what the allocator keeps anyway
        reader = await connect_reluctantly(server, f"/blog/ws/articles/slow?token={key}", nursery)
        before = resident(server.pid)
        begun = trio.current_time()
        busy: list[float] = []

        async def watch_others() -> None:
            busy.extend(await latencies(server, key, "article:others", 100))

        nursery.start_soon(watch_others)
        count = await flood(server, key, "article:slow", 64 * 1024, TOTAL)
        await trio.sleep(max(0.0, begun + pause - trio.current_time()))
        grown = resident(server.pid) - before
        seen = []
        with trio.fail_after(60):
            while len(seen) < count:
                seen.append(orjson.loads(await reader.get_message())["number"])
        assert seen == list(range(1, count + 1))
        assert grown < 5 * MIB, f"grew by {grown / MIB:.1f} MiB"
        metrics = (await server.http(key).get("/metrics")).text
        assert "rtlite_readers_spilled_total 0.0" not in metrics
        # "Not visibly": each other reader waits behind one 4 MiB batch at most, never behind the slow one.
        print(
            f"grown {grown / MIB:.1f} MiB; median quiet {statistics.median(quiet):.4f} s, busy {statistics.median(busy):.4f} s"
        )
        assert statistics.median(busy) < 0.25
        nursery.cancel_scope.cancel()


async def test_reader_that_stops_while_100_mb_go_through_costs_no_memory_and_gets_every_event_once(
    tmp_path: Path,
) -> None:
    await read_after_a_flood(tmp_path, pause=0)


@pytest.mark.full
async def test_reader_that_stops_for_30_s_while_100_mb_go_through_gets_every_event_once(tmp_path: Path) -> None:
    await read_after_a_flood(tmp_path, pause=30)


async def test_reader_that_stops_on_a_channel_without_history_is_closed_with_its_own_code() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "rtlite.toml"
        config.write_text("[channels.article]\nhistory = false\n")
        async with (
            ServerProcess(Path(folder) / "slow.db", publish_rate=0, config=config) as server,
            trio.open_nursery() as nursery,
        ):
            key = server.admin_key
            assert key is not None
            reader = await connect_reluctantly(server, f"/blog/ws/articles/slow?token={key}", nursery)
            await flood(server, key, "article:slow", 64 * 1024, 16 * MIB)
            numbers = []
            with trio.fail_after(10), pytest.raises(trio_websocket.ConnectionClosed) as closed:
                while True:
                    numbers.append(orjson.loads(await reader.get_message())["number"])
            assert closed.value.reason is not None
            assert closed.value.reason.code == Reason.TOO_SLOW.value.blog == 4408
            assert numbers == list(range(1, len(numbers) + 1)), "what came before the close is whole and in order"
            nursery.cancel_scope.cancel()

"""A flood from 20 connections ends with the flood: latency and memory are then what they were.

The second client publishes and receives over connections that it had before. Its latency
is measured while it is quiet, during the flood, and after it; what is asserted is the last.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from tests.security.flooder import KINDS
from tests.servers import ServerProcess
from tests.transports.doors import PING, PONG, TEXT, Peer, frame, post

SLACK = 0.015
"""Seconds that this machine's other work may take at any time."""
MOST_MEMORY = 50 * 1024 * 1024
SHORT = ["heads", "fragments"]


class Victim:
    def __init__(self, reader: Peer, writer: Peer, key: str) -> None:
        self.reader = reader
        self.writer = writer
        self.key = key
        self.number = 0

    async def once(self) -> float:
        """Seconds from a publish until the event is there."""
        self.number += 1
        event = {"channel": "article:victim", "event": "e", "data": {"n": self.number}}
        started = time.perf_counter()
        await self.writer.send(post("/api/publish", event, X_Api_Key=self.key))
        while (arrived := await self.reader.frame())[0] == PING:
            await self.reader.send(frame(arrived[1], PONG))
        assert arrived == (TEXT, b'{"type":"e","n":%d}' % self.number)
        took = time.perf_counter() - started
        assert (await self.writer.answer()).status == 201
        return took

    async def p99(self, samples: int) -> float:
        taken = []
        for _ in range(samples):
            taken.append(await self.once())
            await trio.sleep(0.002)
        return sorted(taken)[math.ceil(samples * 0.99) - 1]


def memory(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * 4096


async def connect(port: int) -> Peer:
    return Peer(await trio.open_tcp_stream("127.0.0.1", port))


async def survive(kind: str, seconds: float, samples: int, folder: Path) -> None:
    async with ServerProcess(folder / "rtlite.db") as server:
        assert server.admin_key
        key = (await (await server.operator()).post("/api/keys", json={"kind": "admin", "user": "victim"})).json()[
            "key"
        ]
        reader, writer = await connect(server.port), await connect(server.port)
        async with reader.stream, writer.stream:
            assert (await reader.upgrade("/blog/ws/articles/victim", X_Api_Key=key)).status == 101
            await server.subscribed("article:victim")
            victim = Victim(reader, writer, key)
            await victim.p99(100)  # warm
            quiet = await victim.p99(samples)
            before = memory(server.pid)
            command = [
                sys.executable,
                "-m",
                "tests.security.flooder",
                str(server.port),
                server.admin_key,
                kind,
                str(seconds),
            ]
            flood = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
            during, highest = [], before
            while flood.poll() is None:
                during.append(await victim.once())
                highest = max(highest, memory(server.pid))
                await trio.sleep(0.005)
            assert flood.stdout is not None
            rounds = int(await flood.stdout.receive_some())
            await flood.stdout.aclose()
            ended = time.monotonic()
            after = await victim.p99(samples)
            while after > 2 * quiet + SLACK and time.monotonic() - ended < 5:  # a busy moment is no proof
                after = await victim.p99(samples)
            grown = memory(server.pid) - before
            worst = sorted(during)[math.ceil(len(during) * 0.99) - 1]
            print(
                f"{kind}: {rounds} rounds; p99 quiet {quiet * 1000:.1f}, during {worst * 1000:.1f}, after {after * 1000:.1f} ms;"
                f" memory +{(highest - before) >> 20} MiB at most, +{grown >> 20} MiB after"
            )
            assert rounds >= 20
            assert after <= 2 * quiet + SLACK
            assert highest - before <= MOST_MEMORY
            assert (await (await server.operator()).get("/healthz")).status_code == 200
            text = (await (await server.operator()).get("/metrics")).text
            assert "rtlite_faults_total 0.0" in text
        assert await server.terminate() == 0


@pytest.mark.parametrize("kind", SHORT)
async def test_after_a_short_flood_latency_and_memory_are_what_they_were(kind: str, tmp_path: Path) -> None:
    await survive(kind, 1.5, 150, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
async def test_after_a_flood_of_any_kind_latency_and_memory_are_what_they_were(kind: str, tmp_path: Path) -> None:
    await survive(kind, 5, 500, tmp_path)

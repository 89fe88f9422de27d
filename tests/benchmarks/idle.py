"""Idle connections: resident memory of each, and how fast they connect.

Each is authenticated (rtlite), subscribed, and has answered at least one ping before the
memory is read; a first hundred connects before the first reading, so that what the server
loads once is not counted. Two client processes, because of the limit of descriptors each
process has. Memory in the kernel, the same for all servers, is not resident memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.benchmarks.loading import Load, loads
from tests.benchmarks.ours import Rtlite
from tests.benchmarks.plan import Plan
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Row

IDLE = "idle connections"
_WARM = 100
_SOURCES = [f"127.0.0.{number}" for number in range(2, 8)]  # 28,000 ports each


def measure(plan: Plan, peers: list[type[Server]]) -> Iterator[Row]:
    for size in plan.idle_sizes:
        for kind in (Rtlite, *peers):
            server = kind()
            server.ping_seconds = plan.ping_seconds
            with server, loads(2) as pair:
                yield row(server, pair, size)


def row(server: Server, pair: list[Load], size: int, measured: str = IDLE) -> Row:
    pair[0]("subscribe", count=_WARM, **server.subscriber)
    time.sleep(1)
    memory, cpu = server.rss(), server.cpu()
    started = time.perf_counter()
    for load, sources in zip(pair, (_SOURCES[::2], _SOURCES[1::2]), strict=True):
        load.begin("subscribe", count=size // 2, sources=sources, **server.subscriber)
    answers = [load.end() for load in pair]
    seconds = time.perf_counter() - started
    cpu = server.cpu() - cpu
    connected = sum(answer["connected"] for answer in answers)
    time.sleep(server.ping_seconds + 3)
    each = (server.rss() - memory) / max(1, connected)
    closed = [load("close") for load in pair]
    words = [*{failure for answer in answers for failure in answer["failures"]}]
    if lost := sum(answer["lost"] for answer in closed):
        words.append(f"LOST {lost}")
    figures = {
        "KiB each": each / 1024,
        "connects/s": connected / seconds,
        "µs CPU/connect": 1e6 * cpu / max(1, connected),
        "pings each": sum(answer["pings"] for answer in closed) / (connected + _WARM),
    }
    if connected < size:
        words.append(f"only {connected:,} connected")
    return Row(f"{measured}, {size:,}", server.name, figures, "; ".join(words))

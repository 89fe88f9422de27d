"""Durable publishes a second: committed with fsync before the answer.

Over HTTP with keep-alive connections, and over WebSockets (``/_events``), one request at a time
on each; in process, by a Trio program that calls the hub. The yardstick for HTTP is a bare Node
server that reads the body and answers 201: the ratio says what routing, authentication, JSON,
SQLite and fsync cost.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from tests.benchmarks.install import CACHE, ROOT
from tests.benchmarks.loading import Load, loads
from tests.benchmarks.ours import Rtlite
from tests.benchmarks.plan import Plan
from tests.benchmarks.rivals import NodeHttp
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Row

HTTP_16 = "POST, 16 connections"
_WARM_SECONDS = 1.0


def measure(plan: Plan, peers: list[type[Server]]) -> Iterator[Row]:
    yield from _beside_node(plan, peers)
    for publishers in (1, 64):
        for size in (1, 1000):
            # By default 20,000 events may wait, and publishers past that are told to come back later.
            queue = max(20_000, 2 * publishers * size)
            with Rtlite("--queue-events", str(queue)) as server, loads() as (load,):
                name = f"publish over HTTP, {publishers} × {size:,}"
                yield _row(name, server, _hammer(plan, server, load, publishers, size), size)
    for publishers in (1, 64):
        for size in (1, 1000):
            yield _in_process(plan, publishers, size)
    for publishers in (1, 64):
        # By default a connection has 50 commands a second.
        with Rtlite("--command-rate", "0") as server, loads() as (load,):
            answer = _hammer_sockets(plan, server, load, publishers)
            yield _row(f"publish over WebSocket, {publishers} × 1", server, answer)


def _beside_node(plan: Plan, peers: list[type[Server]]) -> Iterator[Row]:
    """In turns, and of each the median round: a machine that others use too is twice as fast at times."""
    kinds = [kind for kind in (Rtlite, NodeHttp) if kind is Rtlite or kind in peers]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(kind()) for kind in kinds]
        (load,) = stack.enter_context(loads())
        rounds: list[list[Row]] = [[] for _ in servers]
        for _ in range(plan.publish_rounds):
            for server, rows in zip(servers, rounds, strict=True):
                rows.append(_row(HTTP_16, server, _hammer(plan, server, load, 16)))
    for rows in rounds:
        yield sorted(rows, key=lambda row: row.figures["requests/s"])[len(rows) // 2]


def _hammer(plan: Plan, server: Any, load: Load, connections: int, size: int = 1) -> dict[str, Any]:
    return _timed(plan, server, load, "hammer", connections=connections, **server.publish(size))


def _hammer_sockets(plan: Plan, server: Rtlite, load: Load, connections: int) -> dict[str, Any]:
    return _timed(plan, server, load, "hammer_sockets", connections=connections, **server.publish_over_websocket())


def _timed(plan: Plan, server: Server, load: Load, op: str, **arguments: Any) -> dict[str, Any]:
    """One command of the load generator, and how busy the server was meanwhile."""
    before = server.cpu()
    answer = load(op, seconds=plan.publish_seconds, warm=_WARM_SECONDS, **arguments)
    cores = (server.cpu() - before) / (plan.publish_seconds + _WARM_SECONDS)
    return {**answer, "cores": cores}


def _row(measured: str, server: Server, answer: dict[str, Any], size: int = 1) -> Row:
    requests = answer["requests"] / answer["seconds"]
    figures = {"requests/s": requests} if size == 1 else {"events/s": requests * size, "requests/s": requests}
    figures |= {"ms p50": answer["latency"]["p50"], "ms p99": answer["latency"]["p99"]}
    figures["cores busy"] = answer["cores"]
    refused = ", ".join(f"{count} answers {status}" for status, count in answer["refused"].items())
    return Row(measured, server.name, figures, refused)


def _in_process(plan: Plan, publishers: int, size: int) -> Row:
    """See :mod:`tests.benchmarks.embedded`."""
    arguments = [CACHE / "data", publishers, size, plan.publish_seconds]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.embedded", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures = json.loads(done.stdout)
    return Row(f"publish in process, {publishers} × {size:,}", "rtlite", figures)

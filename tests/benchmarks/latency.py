"""Latency from publish to receive: one publisher, 100 subscribers, 50 messages a second.

From the moment the client makes the message to the moment each subscriber's callback has
it, on one clock. rtlite's share holds the commit with its fsync: an event is durable before
anyone sees it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.loading import loads
from tests.benchmarks.ours import Rtlite
from tests.benchmarks.plan import Plan
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Row

LATENCY = "publish to receive"


def measure(plan: Plan, peers: list[type[Server]]) -> Iterator[Row]:
    for kind in (Rtlite, *peers):
        with kind() as server, loads() as (load,):
            load("subscribe", count=plan.latency_subscribers, **server.subscriber)
            load("settle", publisher=server.publisher)
            answer = load(
                "fan_out",
                publisher=server.publisher,
                messages=plan.latency_messages,
                interval=plan.latency_interval,
                clocked=True,
            )
        figures = {f"ms {name}": answer["latency"][name] for name in ("p50", "p99", "max")}
        yield Row(LATENCY, server.name, figures, f"MISSING {answer['missing']}" if answer["missing"] else "")

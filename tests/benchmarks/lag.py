"""Event-loop lag: round trips of WebSocket pings on a second connection while publishers run.

The client of the pings is a process of its own. On two cores it waits for the scheduler too,
beside the server and the publishers' client: the figures are an upper bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.benchmarks.loading import loads
from tests.benchmarks.ours import Rtlite
from tests.benchmarks.plan import Plan
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Row

LAG = "ping beside publishers"
_INTERVAL = 0.010


def measure(plan: Plan, peers: list[type[Server]]) -> Iterator[Row]:
    with Rtlite() as server, loads(2) as (publishers, pinger):
        ping = {"seconds": plan.lag_seconds, "interval": _INTERVAL, **server.subscriber}
        ping["url"] = ping["url"].replace("bench", "quiet")  # not a reader of what is published
        yield _row(pinger("ping", **ping), "nobody publishes")
        for count, size in ((64, 1), (16, 1000)):  # 16,000 of the 20,000 events that may wait by default
            publishers.begin("hammer", **server.publish(size), connections=count, seconds=plan.lag_seconds, warm=1.0)
            answer = pinger("ping", **{**ping, "seconds": plan.lag_seconds - 1})
            done = publishers.end()
            events = size * done["requests"] / done["seconds"]
            yield _row(answer, f"{count} publishers, {size:,} in a request: {events:,.0f} events/s")


def _row(answer: dict[str, Any], remark: str) -> Row:
    return Row(LAG, "rtlite", {f"ms {name}": answer[name] for name in ("p50", "p99", "max")}, remark)

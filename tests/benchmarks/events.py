"""Server-sent events: fan-out and idle streams, measured as those of WebSockets are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.benchmarks import fanout, idle
from tests.benchmarks.loading import loads
from tests.benchmarks.ours import Rtlite
from tests.benchmarks.plan import Plan
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Row

PACED = "SSE fan-out, paced"
IDLE = "SSE idle streams"


class Streams(Rtlite):
    """rtlite, whose subscribers are streams."""

    @property
    def subscriber(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/sse/{self.channel}"
        return {"url": url, "headers": {"Authorization": f"Bearer {self.key}"}, "events": True}


def measure(plan: Plan, _: list[type[Server]]) -> Iterator[Row]:
    yield fanout.paced(plan, Streams, PACED)
    server = Streams()
    server.ping_seconds = plan.ping_seconds
    with server, loads(2) as pair:
        yield idle.row(server, pair, plan.idle_streams, IDLE)

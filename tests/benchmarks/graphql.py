"""GraphQL: fan-out and idle subscriptions of the source text's ``OnRecordChange``, beside npm graphql-ws.

Each subscriber has a socket and an operation with an id of its own. The peer keeps nothing
and asks nobody who they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.benchmarks import fanout, idle
from tests.benchmarks.loading import loads
from tests.benchmarks.ours import BATCH_PATH, JSON, NDJSON, Rtlite
from tests.benchmarks.plan import Plan
from tests.benchmarks.rivals import GraphQlWs
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Row

PACED = "GraphQL fan-out, paced"
BURST = "GraphQL fan-out, burst"
IDLE = "GraphQL idle subscriptions"

_CHANNEL = "changes:product"
_QUERY = """
subscription OnRecordChange($modelKey: String!) {
  recordChanged(modelKey: $modelKey) { type record { id modelKey naturalKey data updatedAt } }
}
"""


def _subscriber(port: int, init: dict[str, str]) -> dict[str, Any]:
    operation = {"query": _QUERY, "operationName": "OnRecordChange", "variables": {"modelKey": "product"}}
    return {"url": f"ws://127.0.0.1:{port}/graphql/ws", "graphql": {"init": init, "payload": operation}}


class Subscriptions(Rtlite):
    """rtlite, whose subscribers listen to the changes of a model."""

    channel = _CHANNEL

    def ready(self) -> None:
        super().ready()
        self.key = self.post("/api/keys", '{"kind":"project","user":"bench"}')["key"]

    @property
    def subscriber(self) -> dict[str, Any]:
        return _subscriber(self.port, {"apiKey": self.key})

    @property
    def publisher(self) -> dict[str, Any]:
        return {**super().publisher, "change": True}


class Peer(GraphQlWs):
    """npm graphql-ws; it takes the same requests to publish."""

    @property
    def subscriber(self) -> dict[str, Any]:
        return _subscriber(self.port, {"apiKey": "pk_live_bench"})

    @property
    def publisher(self) -> dict[str, Any]:
        batch = {"path": BATCH_PATH, "headers": {"Content-Type": NDJSON}}
        one = {"host": "127.0.0.1", "port": self.port, "path": "/api/publish", "headers": {"Content-Type": JSON}}
        return {**one, "batch": batch, "channel": _CHANNEL, "change": True}


def measure(plan: Plan, peers: list[type[Server]]) -> Iterator[Row]:
    both: list[type[Server]] = [Subscriptions, *([Peer] if GraphQlWs in peers else [])]
    for kind in both:
        yield fanout.paced(plan, kind, PACED)
    for kind in both:
        yield fanout.bursts(plan, kind, BURST)
    for kind in both:
        server = kind()
        server.ping_seconds = plan.ping_seconds
        with server, loads(2) as pair:
            yield idle.row(server, pair, plan.idle_streams, IDLE)

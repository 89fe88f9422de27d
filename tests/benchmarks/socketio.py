"""Socket.IO: fan-out and idle connections of a stream with history, beside npm socket.io, over WebSocket.

npm socket.io broadcasts as its documentation does it; it keeps nothing and asks nobody who they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.benchmarks import fanout, idle
from tests.benchmarks.loading import loads
from tests.benchmarks.ours import Rtlite
from tests.benchmarks.plan import Plan
from tests.benchmarks.rivals import SocketIo
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Row

PACED = "Socket.IO fan-out, paced"
BURST = "Socket.IO fan-out, burst"
IDLE = "Socket.IO idle connections"


class Sockets(Rtlite):
    """rtlite, whose subscribers listen to a stream."""

    channel = "stream:bench"

    def ready(self) -> None:
        super().ready()
        self.key = self.post("/api/keys", '{"kind":"stream","user":"bench"}')["key"]
        self.put("/streams/bench", '{"storeHistory":true}', self.key)

    def command(self) -> list[str]:
        return [*super().command(), "--socketio-ping-interval", f"{self.ping_seconds}s"]

    @property
    def subscriber(self) -> dict[str, Any]:
        query = f"EIO=4&transport=websocket&stream=bench&token={self.key}"
        return {"url": f"ws://127.0.0.1:{self.port}/socket.io/?{query}", "socketio": True}


def measure(plan: Plan, peers: list[type[Server]]) -> Iterator[Row]:
    both = [Sockets, *(peer for peer in peers if peer is SocketIo)]
    for kind in both:
        yield fanout.paced(plan, kind, PACED)
    for kind in both:
        yield fanout.bursts(plan, kind, BURST)
    for kind in both:
        server = kind()
        server.ping_seconds = plan.ping_seconds
        with server, loads(2) as pair:
            yield idle.row(server, pair, plan.idle_streams, IDLE)

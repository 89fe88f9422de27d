"""Cold start: from the command to the line that says ready (rtlite, Node) or to the first accept (nginx).

With ``--full`` also after ``kill -9`` with 1 GB of history, which rtlite checks as it starts.
"""

from __future__ import annotations

import signal
import statistics
from collections.abc import Iterator

from tests.benchmarks.load.message import FIRST, event
from tests.benchmarks.ours import Rtlite
from tests.benchmarks.plan import Plan
from tests.benchmarks.rivals import NodeHttp
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Row

START = "start to ready"
_CHANNELS, _EVENTS = 1000, 1000  # of 1 KB


def measure(plan: Plan, peers: list[type[Server]]) -> Iterator[Row]:
    first, again = [], []
    for _ in range(plan.starts):
        with Rtlite() as server:
            first.append(server.start_seconds)
            server.stop()
            again.append(server.start())
    yield Row(START, "rtlite", _figures(first), "the first start: makes the database and a key")
    yield Row(START, "rtlite", _figures(again), "again")
    for kind in peers:
        if kind is not NodeHttp:
            yield _peer(plan, kind)
    if plan.history_gigabyte:
        yield _gigabyte(plan)


def _peer(plan: Plan, kind: type[Server]) -> Row:
    seconds = []
    for _ in range(plan.starts):
        with kind() as server:
            seconds.append(server.start_seconds)
    return Row(START, kind.name, _figures(seconds))


def _gigabyte(plan: Plan) -> Row:
    with Rtlite() as server:
        for channel in range(_CHANNELS):
            server.post_batch([event(f"article:{channel}", FIRST + number, 1024) for number in range(_EVENTS)])
        size = sum(file.stat().st_size for file in server.directory.glob("rtlite.db*")) / 1e9
        seconds = []
        for _ in range(plan.starts):
            server.stop(signal.SIGKILL)
            seconds.append(server.start())
    return Row(START, "rtlite", _figures(seconds), f"after kill -9, with {size:.1f} GB on disk (in the page cache)")


def _figures(seconds: list[float]) -> dict[str, float]:
    return {"s": statistics.median(seconds), "s at worst": max(seconds)}

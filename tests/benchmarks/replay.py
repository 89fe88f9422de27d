"""Replay: 10,000 events out of history to one subscriber that connects with ``?since=``.

From the first byte of the handshake to the last event, median of several runs. nchan does the
same from its memory; the others keep no messages for who was not there.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from tests.benchmarks.load.message import FIRST, event
from tests.benchmarks.loading import loads
from tests.benchmarks.ours import Rtlite
from tests.benchmarks.plan import Plan
from tests.benchmarks.rivals import Nchan
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Row

REPLAY = "replay of history"
_PAGE = 1000


def measure(plan: Plan, peers: list[type[Server]]) -> Iterator[Row]:
    for kind in (Rtlite, *(peer for peer in peers if peer is Nchan)):
        with kind() as server, loads() as (load,):
            place = _fill_rtlite(server, plan) if isinstance(server, Rtlite) else _fill_nchan(server, plan, load)
            answers = [load("replay", events=plan.replay_events, **place) for _ in range(plan.replays)]
        seconds = statistics.median(answer["seconds"] for answer in answers)
        figures = {"events/s": plan.replay_events / seconds, "ms": 1000 * seconds}
        disorder = max(answer["disorder"] for answer in answers)
        yield Row(REPLAY, server.name, figures, f"OUT OF ORDER {disorder}" if disorder else "")


def _fill_rtlite(server: Rtlite, plan: Plan) -> dict[str, Any]:
    receipt: dict[str, Any] = {}
    for first in range(0, plan.replay_events, _PAGE):
        receipt = server.post_batch([event(server.channel, FIRST + first + number) for number in range(_PAGE)])[0]
    return {**server.subscriber, "url": f"{server.subscriber['url']}?since={receipt['epoch']}-0"}


def _fill_nchan(server: Server, plan: Plan, load: Any) -> dict[str, Any]:
    load("fan_out", publisher=server.publisher, messages=plan.replay_events)
    return {"url": server.subscriber["url"].replace("/sub", "/replay"), "headers": None}

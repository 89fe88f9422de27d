"""What the operator sees live: rates, latencies, what is busy, and the events themselves.

Nothing is measured while nobody looks: the committer tells an observer of each batch, and there is one
only then. Whatever is kept is bounded, and nobody is waited for: who is shown less is told how much.
"""

from __future__ import annotations

import heapq
import math
import os
import resource
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Annotated, Any, Final

import attrs
import trio

from rtlite.hub.hub import Hub
from rtlite.hub.topics import Outbox
from rtlite.log import get_logger
from rtlite.metrics import Metrics, by_label, value
from rtlite.model import Event, now_ms, rfc3339
from rtlite.rules import Rule
from rtlite.transports.connections import Connection, ConnectionJson, Connections

log = get_logger(__name__)

_TICK: Final = 1.0  # seconds between two snapshots
_WINDOW: Final = 10  # ticks over which rates of channels and latencies are taken
_REMEMBERED: Final = 300  # snapshots for the charts of a page that opens
_MOST_CHANNELS: Final = 5_000  # that are told apart within a tick
_SHOWN_CHANNELS: Final = 100
_SHOWN_CONNECTIONS: Final = 20
_STEP: Final = math.log(1.1)  # latencies are counted to 10 %
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@attrs.frozen
class Wanted:
    """Which events a tail shows: what is empty is not asked.

    :param channel: a name, or how it begins and ``*``. :param text: is looked for in the name and the data.
    """

    channel: str = ""
    event: str = ""
    text: str = ""

    def covers(self, event: Event) -> bool:
        return (
            (not self.channel or self._names(event.channel))
            and (not self.event or event.name == self.event)
            and (not self.text or self.text in event.name or self.text.encode() in event.data)
        )

    def _names(self, channel: str) -> bool:
        name = self.channel
        return channel.startswith(name[:-1]) if name.endswith("*") else channel == name


class Tail:
    """The newest events that one page wants, until it takes them.

    :param most: how many may wait, and :param largest: how many bytes of data. Others are counted in ``dropped``.
    """

    def __init__(self, wanted: Wanted, most: int, largest: int) -> None:
        self.wanted = wanted
        self._most = most
        self._largest = largest
        self._events: list[Event] = []
        self._bytes = 0
        self.dropped = 0

    def note(self, events: Sequence[Event]) -> None:
        for event in events:
            if not self.wanted.covers(event):
                continue
            if len(self._events) < self._most and self._bytes < self._largest:
                self._events.append(event)
                self._bytes += len(event.data)
            else:
                self.dropped += 1

    def take(self) -> tuple[list[Event], int]:
        """What waits, and how many were dropped since the last time."""
        taken, self._events, self._bytes = (self._events, self.dropped), [], 0
        self.dropped = 0
        return taken


class _Window:
    """Counts over the last ticks."""

    def __init__(self) -> None:
        self.now: Counter[Any] = Counter()
        self.sums: Counter[Any] = Counter()
        self._past: deque[Counter[Any]] = deque()

    def turn(self) -> None:
        """A tick is over."""
        self._past.append(self.now)
        self.sums.update(self.now)
        self.now = Counter()
        if len(self._past) > _WINDOW:
            self.sums.subtract(self._past.popleft())
            self.sums = +self.sums


class Monitor:
    """:ivar latest: the newest snapshot; :ivar past: the numbers of those before, the oldest first."""

    def __init__(self, hub: Hub, connections: Connections, metrics: Metrics) -> None:
        self._hub = hub
        self._connections = connections
        self._metrics = metrics
        self._watchers = 0
        self._watched = trio.Event()
        self._tails: dict[Tail, None] = {}
        self.latest: dict[str, Any] = {}
        self.past: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)

    async def run(self) -> None:
        """Measure while anybody looks, until cancelled."""
        while True:
            await self._watched.wait()
            self._begin()
            self._hub.committer.observer = self._note
            try:
                while self._watchers:
                    try:
                        self._measure()
                    except Exception:  # the server goes on without a console
                        log.exception("the console's numbers could not be taken")
                    await trio.sleep(_TICK)
            finally:
                self._hub.committer.observer = None
            self._watched = trio.Event()

    @contextmanager
    def watched(self, tail: Tail | None) -> Iterator[None]:
        """Someone looks while this lasts, and the events go to ``tail``."""
        self._watchers += 1
        self._watched.set()
        if tail is not None:
            self._tails[tail] = None
        try:
            yield
        finally:
            self._watchers -= 1
            if tail is not None:
                del self._tails[tail]

    def _begin(self) -> None:
        self._latencies, self._channels = _Window(), _Window()
        self._last: dict[str, tuple[str, int]] = {}
        self._since: float | None = None
        self._ticks: deque[float] = deque(maxlen=_WINDOW)  # seconds that each took
        self._published, self._delivered = value(self._metrics.published), value(self._metrics.delivered)
        self._ended = self._connections.ended

    def _note(self, events: Sequence[Event], seconds: float) -> None:
        """A batch has been stored and fanned out."""
        self._latencies.now[round(math.log(max(seconds, 1e-6)) / _STEP)] += len(events)
        counts = self._channels.now
        for event in events:
            if event.channel in counts or len(counts) < _MOST_CHANNELS:
                counts[event.channel] += 1
                self._last[event.channel] = event.name, event.timestamp
        for tail in self._tails:
            tail.note(events)

    def _measure(self) -> None:
        now = time.monotonic()
        elapsed = None if self._since is None else max(now - self._since, 1e-3)  # at first nothing was measured
        self._since = now
        published, delivered = value(self._metrics.published), value(self._metrics.delivered)
        if elapsed is not None:
            self._ticks.append(elapsed)
            self._latencies.turn()
            self._channels.turn()
        busy = self._channels.sums
        self._last = {name: last for name, last in self._last.items() if name in busy}
        numbers = {
            "time": rfc3339(now_ms()),
            "published": elapsed and round((published - self._published) / elapsed, 1),
            "delivered": elapsed and round((delivered - self._delivered) / elapsed, 1),
            "p50": self._latency(0.5),
            "p99": self._latency(0.99),
            "connections": len(self._connections),
            "memory": resident(),
        }
        self._published, self._delivered = published, delivered
        ended, self._ended = self._connections.ended - self._ended, self._connections.ended
        self.latest = numbers | {
            "protocols": {name: int(count) for name, count in by_label(self._metrics.connections).items() if count},
            "waiting": int(value(self._metrics.queued)),
            "channels": [self._channel(name) for name in heapq.nlargest(_SHOWN_CHANNELS, busy, key=busy.__getitem__)],
            "activeChannels": len(busy),
            "slow": self._slow(),
            "disconnects": [item.as_json() for item in self._connections.recent(min(ended, _SHOWN_CONNECTIONS))],
        }
        self.past.append(numbers)

    def _channel(self, name: str) -> dict[str, Any]:
        event, timestamp = self._last[name]
        return {
            "channel": name,
            "rate": round(self._channels.sums[name] / sum(self._ticks), 1),
            "event": event,
            "lastEvent": rfc3339(timestamp),
            "subscribers": sum(topic.subscribers for topic in self._hub.fanout.listening(name)),
        }

    def _latency(self, share: float) -> float | None:
        """Seconds within which so many events of the last ticks were stored and handed over."""
        left = share * self._latencies.sums.total()
        for bucket, count in sorted(self._latencies.sums.items()):
            left -= count
            if left <= 0:
                return round(math.exp(bucket * _STEP), 6)
        return None

    def _slow(self) -> list[WatchedConnection]:
        """Connections that have not taken what was sent, the furthest behind first."""
        behind = self._hub.fanout.behind()
        slow = [item for item in self._connections if item.outbox.queued or reads_history(item, behind)]
        return [watched(item, behind) for item in heapq.nlargest(_SHOWN_CONNECTIONS, slow, key=_queued)]


class WatchedConnection(ConnectionJson):
    """A connection; whether it is live, or reads from history what it was too slow for or asked for."""

    reads: Annotated[str, Rule(enum=["live", "history"])]


def watched(connection: Connection, behind: Set[Outbox]) -> WatchedConnection:
    """:param behind: what :meth:`Fanout.behind` says."""
    return {**connection.as_json(), "reads": "history" if reads_history(connection, behind) else "live"}


def reads_history(connection: Connection, behind: Set[Outbox]) -> bool:
    return connection.outbox in behind or connection.carried in behind


def _queued(connection: Connection) -> int:
    return connection.outbox.queued


def resident() -> int:
    """Bytes of memory that this process has, where the system says so; else the most it ever had."""
    try:
        with open("/proc/self/statm") as file:  # no disk: the kernel makes it as it is read
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

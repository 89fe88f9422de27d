"""What faults do to events on their way to one subscriber: late, lost, twice, in another order.

Who has no fault does not come here. Who has one gets another way out, and its events one by one
(:mod:`rtlite.hub.parcels`). What is decided for an event is decided once, when it is taken: one that is
refused because too much waits comes again, from the history, as for any slow reader.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import trio

from rtlite.faults import Draws
from rtlite.hub.parcels import Parcel


class Outbox(Protocol):
    """The way out that faults stand before."""

    def offer(self, data: bytes) -> bool: ...
    async def send(self, data: bytes) -> None: ...
    async def room(self, size: int) -> None: ...


class Impaired:
    """The way out of one subscriber, while faults are for it.

    :param outbox: the way out without them.
    :param limit: bytes that may wait here.
    :param spawn: starts a task that lives as long as the connection.
    :param closed: whether the subscriber wants nothing any more.
    :param retire: called when no fault is for it any more and nothing waits here.
    :ivar draws: what decides, in order.
    """

    def __init__(
        self,
        outbox: Outbox,
        limit: int,
        spawn: Callable[[Callable[[], Awaitable[Any]]], None],
        closed: Callable[[], bool],
        retire: Callable[[], None],
    ) -> None:
        self.outbox = outbox
        self.draws: Sequence[Draws] = ()
        self._limit = limit
        self._spawn = spawn
        self._closed = closed
        self._retire = retire
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._held: tuple[float, bytes] | None = None
        self._queued = 0
        self._last = 0.0
        self._sending = False
        self._changed = trio.Event()

    def offer(self, data: bytes) -> bool:
        if self._queued and self._queued + len(data) > self._limit:
            return False
        if isinstance(data, Parcel):
            self._strike(data)
        else:
            self._put(data)
            self._release()
        return True

    async def send(self, data: bytes) -> None:
        """Take ``data`` once there is room. :raises trio.BrokenResourceError: the connection is gone."""
        await self.room(len(data))
        self._put(data)

    async def room(self, size: int) -> None:
        """As that of the way out. :raises trio.BrokenResourceError: the connection is gone."""
        while self._queued and self._queued + size > self._limit // 2:
            await self._changed.wait()
        await self.outbox.room(size)

    def decide_by(self, draws: Sequence[Draws]) -> None:
        """From now on these decide; if there are none, all that waits goes out at once."""
        self.draws = draws
        if draws:
            return
        self._release()
        self._waiting = deque((0.0, data) for _, data in self._waiting)
        self._last = 0.0
        self._tell()
        if not self._queued:
            self._retire()

    def _strike(self, parcel: Parcel) -> None:
        copies, delay, hold = 1, 0.0, 0.0
        for draw in self.draws:
            kind = draw.fault.kind.name
            if kind == "reorder" and self._held is not None:  # this is the one that passes it
                continue
            if not draw.fault.covers(parcel.channel) or not draw.strikes():
                continue
            match kind:
                case "drop":
                    return
                case "duplicate":
                    copies += 1
                case "latency":
                    delay += draw.delay()
                case "reorder":
                    hold = draw.delay()
        data = bytes(parcel) * copies
        if hold:
            self._held = (trio.current_time() + hold, data)
            self._queued += len(data)
            self._begin()
        else:
            self._put(data, delay)
            self._release()

    def _put(self, data: bytes, delay: float = 0.0) -> None:
        """Behind all that waits, since a delay changes no order."""
        if not delay and not self._waiting and self.outbox.offer(data):
            return
        self._last = max(self._last, trio.current_time() + delay)
        self._waiting.append((self._last, data))
        self._queued += len(data)
        self._begin()

    def _release(self) -> None:
        """What was held back goes out now."""
        if self._held is not None:
            _, data = self._held
            self._held = None
            self._queued -= len(data)
            self._put(data)

    def _begin(self) -> None:
        self._tell()
        if not self._sending:
            self._sending = True
            self._spawn(self._drain)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _drain(self) -> None:
        """Send what waits when it is due; ends when nothing does, or the connection is gone."""
        try:
            while self._queued and not self._closed():
                due = min(entry[0] for entry in (self._waiting[0] if self._waiting else None, self._held) if entry)
                if due > trio.current_time():
                    changed = self._changed
                    with trio.CancelScope(deadline=due):
                        await changed.wait()
                elif self._waiting and self._waiting[0][0] <= trio.current_time():
                    await self._send_first()
                else:
                    self._release()
        finally:
            self._waiting.clear()
            self._held = None
            self._queued = 0
            self._sending = False
            self._tell()
            if not self.draws:
                self._retire()

    async def _send_first(self) -> None:
        size = len(self._waiting[0][1])
        await self.outbox.room(size)
        if self._waiting and not self._closed() and self.outbox.offer(self._waiting[0][1]):
            self._queued -= len(self._waiting.popleft()[1])
            self._tell()
